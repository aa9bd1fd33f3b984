"""The operators of a space: every one that an architecture can put anywhere, with the shapes that enter it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from hwnas.network.chain import known_operators, lower, make_operator
from hwnas.ops import Operator, Shape
from hwnas.space import AnySpace, Architecture, FunctionSpace, Knob, Space, Stage, Value
from hwnas.space.space import open_options
from hwnas.tasks.ends import channels_of

SAMPLED_ARCHITECTURES = 5000
"""Random architectures that a function which cannot be counted is known by."""
UNFRUITFUL = 300
"""As many in a row without a new operator end the search for them where a function returns modules."""


@dataclass(frozen=True)
class Placed:
    """One operator that a space of stages can put into a slot: what decides it, what enters it and what leaves it."""

    slot: str
    picks: Mapping[str, Value]
    """Values of the choices that it depends on, including those with a single option, except its stage's depth."""
    operator: Operator
    shape: Shape
    leaving: Shape

    @property
    def link(self) -> tuple[Operator, Shape]:
        """Its row in a latency table."""
        return self.operator, self.shape


def operators_by_slot(space: AnySpace) -> dict[str, dict[tuple[Operator, Shape], None]]:
    """Every (operator, input shape) that the space can put into each slot, in a fixed order.

    Exact for spaces of stages, opened networks, and functions whose architectures are counted; of larger functions,
    those of 5,000 random architectures, or, where `lower` takes a while because they return modules, in as many as it
    takes until 300 in a row bring nothing new.
    """
    by_slot: dict[str, dict[tuple[Operator, Shape], None]] = {}
    if isinstance(space, Space):
        for placed in placements(space):
            by_slot.setdefault(placed.slot, {})[placed.link] = None
        return by_slot
    if (listed := getattr(space.build, "operators_by_slot", None)) is not None:
        return dict(listed())
    patience = UNFRUITFUL if space.returns_module else SAMPLED_ARCHITECTURES
    for architecture in _looked_through(space):
        network, fruitful = lower(space, architecture), False
        for slot, link in zip(network.slots, network.links, strict=True):
            fruitful |= link not in by_slot.setdefault(slot, {})
            by_slot[slot].setdefault(link)
        patience = UNFRUITFUL if fruitful and space.returns_module else patience - 1
        if patience == 0 and not space.counted:
            break
    return by_slot


def _looked_through(space: FunctionSpace) -> Iterator[Architecture]:
    """Yield all architectures if they are counted, else the ends of the space and random ones."""
    if space.counted:
        yield from space.enumerate()
        return
    rng = random.Random(0)
    yield from (space.largest(), space.smallest())
    yield from (space.random(rng) for _ in range(SAMPLED_ARCHITECTURES))


def operators_of(space: AnySpace) -> dict[tuple[Operator, Shape], None]:
    """Every (operator, input shape) that the space can produce: the rows that a latency table needs.

    Args:
        space: a space of stages or of a function.

    Returns:
        The pairs as the keys of a dictionary, in a fixed order; shapes are without the batch.

    Raises:
        SpaceError: an operator refuses its knobs.

    Example:
        >>> from hwnas import read_space
        >>> from hwnas.io.resources import find_file
        >>> space = read_space(find_file("digits", "search_spaces"))
        >>> len(operators_of(space))
        50
    """
    return {link: None for links in operators_by_slot(space).values() for link in links}


def placements(space: Space) -> Iterator[Placed]:
    """Every operator that any architecture puts anywhere, for each input shape and each set of picks that lead there.

    A stage is walked once for each decision that its layers share, because shapes follow such decisions together.
    """
    for shared in space.distinct:
        shapes: dict[Shape, None] = dict.fromkeys(space.input_shapes(shared))
        for stage in space.stages:
            leaving: dict[Shape, None] = {}
            depths = {int(depth) for depth in open_options(stage.depth, shared)}
            for fixed in decided_once(space, stage, shared):
                entering = shapes
                for index in range(1, max(depths) + 1):
                    left: dict[Shape, None] = {}
                    for placed in layer_placements(space, stage, index, fixed, entering, shared):
                        left[placed.leaving] = None
                        yield placed
                    if index in depths:
                        leaving |= left
                    entering = left
            shapes = leaving | shapes if 0 in depths else leaving


def decided_once(space: Space, stage: Stage, shared: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """Yield every decision for all layers of a stage, its width included, under picks of the shared choices."""
    knobs = {name: stage.knobs[name] for name in sorted(stage.per_stage)}
    if stage.width is not None or stage is space.stages[-1]:
        knobs["out_channels"] = stage.width or Knob((space.width,))
    for decided in product(*(open_options(knob, shared) for knob in knobs.values())):
        yield dict(zip(knobs, decided, strict=True))


def layer_placements(
    space: Space,
    stage: Stage,
    index: int,
    fixed: Mapping[str, Value],
    shapes: Iterable[Shape],
    shared: Mapping[str, Value],
) -> Iterator[Placed]:
    """Yield every form that one layer can take, `fixed` being decided for the whole stage."""
    known = known_operators(space)
    stride = {"stride": stage.stride} if stage.stride is not None and index == 1 else {}
    for block in stage.blocks:
        own = {name: knob for name, knob in {**block.knobs, **stage.knobs}.items() if name not in fixed}
        for values in product(*(open_options(knob, shared) for knob in own.values())):
            layer = dict(zip(own, values, strict=True))
            picks = stage.picks(index, block, {**fixed, **layer})
            for shape in shapes:
                knobs = {"in_channels": channels_of(shape), **fixed, **stride, **layer}
                where = f"space `{space.name}`: stage `{stage.name}`"
                operator = make_operator(block.op, knobs, where=where, operators=known)
                yield Placed(f"{stage.name}_{index}", picks, operator, shape, _output_shape(operator, shape))


def _output_shape(operator: Operator, shape: Shape) -> Shape:
    """Return the output shape of an operator; it is run unless it declares that it keeps the shape."""
    if operator.keeps_shape:
        return shape
    from hwnas.ops.costs import operator_costs

    return operator_costs(operator, shape).output_shape
