"""The least and the most that networks of a space cost."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from hwnas.network import costs, decided_once, layer_placements, lower
from hwnas.ops import Operator, Shape
from hwnas.space import AnySpace, Architecture, FunctionSpace, Space, Stage, Value
from hwnas.space.space import open_options

LOOKED_AT = 300
"""Number of networks that an extent is estimated from where walking is expensive: of a function that has more of them,
of a space whose shared choices can be picked in more ways."""


@dataclass(frozen=True)
class Range:
    """The least and the most of a quantity."""

    least: int
    most: int


@dataclass(frozen=True)
class Part:
    """Shapes, costs and operators of one stage over all networks; in a function's space, those of one slot."""

    name: str
    entering: tuple[Shape, ...]
    leaving: tuple[Shape, ...]
    params: Range
    macs: Range
    operators: tuple[Operator, ...]
    optional: bool
    """True if some networks leave it out."""


@dataclass(frozen=True)
class Extent:
    """Ranges over all networks of a space, and over what each part of them can be."""

    params: Range
    macs: Range
    parts: tuple[Part, ...]
    networks: int | None
    """From how many networks this was taken; None where it is exact, MACs at the least and the largest resolution."""


Bounds = tuple[int, int, int, int]
"""Least and most parameters, least and most MACs."""
States = dict[Shape, Bounds]
NO_COSTS: Bounds = (0, 0, 0, 0)


def extent_of(space: AnySpace) -> Extent:
    """The extent of a space: exact, or from some hundred random networks and both ends where that takes too long."""
    if isinstance(space, FunctionSpace):
        return _of_function(space)
    picks = sum(1 for _ in islice(space.distinct, LOOKED_AT + 1))
    return _of_stages(space) if picks <= LOOKED_AT else _of_some(space)


def _of_stages(space: Space) -> Extent:
    """Networks are not walked one by one: of all that lead to one shape, the least and the most are carried on."""
    total: list[Bounds] = []
    seen = [_Seen() for _ in space.stages]
    for shared in space.distinct:
        shapes = sorted(space.input_shapes(shared))
        states: States = dict.fromkeys((shapes[0], shapes[-1]), NO_COSTS)
        for stage, collected in zip(space.stages, seen, strict=True):
            states = _through(space, stage, shared, states, collected)
        total += states.values()
    parts = tuple(collected.part(stage) for stage, collected in zip(space.stages, seen, strict=True))
    params, macs = _ranges(_merged(total))
    return Extent(params, macs, parts, None)


def _of_some(space: Space) -> Extent:
    """Ranges over some networks; a part is what a network's layers in one stage are together."""
    rng = random.Random(0)
    architectures = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(LOOKED_AT))]
    networks = [lower(space, architecture) for architecture in architectures]
    seen = [_Seen() for _ in space.stages]
    for network in networks:
        shape = network.input_shape
        placed = list(zip(network.slots, network.operators, network.costs, strict=True))
        for stage, collected in zip(space.stages, seen, strict=True):
            here = [(op, cost) for slot, op, cost in placed if slot.rpartition("_")[0] == stage.name]
            collected.entering[shape] = None
            shape = here[-1][1].output_shape if here else shape
            collected.leaving[shape] = None
            collected.operators |= dict.fromkeys(operator for operator, _ in here)
            params, macs = sum(cost.params for _, cost in here), sum(cost.macs for _, cost in here)
            collected.bounds.append((params, params, macs, macs))
    totals = [costs(network) for network in networks]
    parts = tuple(collected.part(stage) for stage, collected in zip(space.stages, seen, strict=True))
    ranges = _range([total.params for total in totals]), _range([total.macs for total in totals])
    return Extent(*ranges, parts, len(networks))


class _Seen:
    """Shapes, bounds and operators of one stage, collected so far."""

    def __init__(self) -> None:
        self.entering: dict[Shape, None] = {}
        self.leaving: dict[Shape, None] = {}
        self.bounds: list[Bounds] = []
        self.operators: dict[Operator, None] = {}

    def part(self, stage: Stage) -> Part:
        params, macs = _ranges(_merged(self.bounds))
        entering, leaving = tuple(self.entering), tuple(self.leaving)
        return Part(stage.name, entering, leaving, params, macs, tuple(self.operators), stage.may_be_empty)


def _through(space: Space, stage: Stage, shared: Mapping[str, Value], before: States, collected: _Seen) -> States:
    """The bounds of what leaves a stage, given those of what enters it."""
    from hwnas.ops.costs import operator_costs

    depths = {int(depth) for depth in open_options(stage.depth, shared)}
    after: States = dict(before) if 0 in depths else {}
    collected.bounds += [NO_COSTS] if 0 in depths else []
    collected.entering |= dict.fromkeys(before)
    for fixed in decided_once(space, stage, shared):
        so_far, alone = before, dict.fromkeys(before, NO_COSTS)
        for index in range(1, max(depths) + 1):
            grown: States = {}
            grown_alone: States = {}
            for placed in layer_placements(space, stage, index, fixed, so_far, shared):
                part = operator_costs(*placed.link)
                cost = part.params, part.params, part.macs, part.macs
                _note(grown, placed.leaving, _sum(so_far[placed.shape], cost))
                _note(grown_alone, placed.leaving, _sum(alone[placed.shape], cost))
                collected.operators[placed.operator] = None
            so_far, alone = grown, grown_alone
            if index in depths:
                collected.bounds += alone.values()
                for shape, bounds in so_far.items():
                    _note(after, shape, bounds)
    collected.leaving |= dict.fromkeys(after)
    return after


def _note(states: States, shape: Shape, bounds: Bounds) -> None:
    states[shape] = _merged([states[shape], bounds]) if shape in states else bounds


def _sum(one: Bounds, other: Bounds) -> Bounds:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def _merged(bounds: Iterable[Bounds]) -> Bounds:
    least_params, most_params, least_macs, most_macs = zip(*bounds, strict=True)
    return min(least_params), max(most_params), min(least_macs), max(most_macs)


def _ranges(bounds: Bounds) -> tuple[Range, Range]:
    return Range(*bounds[:2]), Range(*bounds[2:])


def _of_function(space: FunctionSpace) -> Extent:
    architectures, exact = _some(space)
    networks = [lower(space, architecture) for architecture in architectures]
    totals = [costs(network) for network in networks]
    slots: dict[str, dict[tuple[Operator, Shape], None]] = {}
    for network in sorted(networks, key=lambda network: -len(network.slots)):  # the longest tells the order of slots
        for slot, link in zip(network.slots, network.links, strict=True):
            slots.setdefault(slot, {})[link] = None
    parts = [_slot(name, links, all(name in net.slots for net in networks)) for name, links in slots.items()]
    return Extent(
        _range([total.params for total in totals]),
        _range([total.macs for total in totals]),
        tuple(parts),
        None if exact else len(networks),
    )


def _some(space: FunctionSpace) -> tuple[list[Architecture], bool]:
    """Return all architectures of a small function, else both ends and random ones; and whether these are all."""
    if space.counted and space.count <= LOOKED_AT:
        return list(space.enumerate()), True
    rng = random.Random(0)
    return [space.smallest(), space.largest(), *(space.random(rng) for _ in range(LOOKED_AT))], False


def _slot(name: str, links: Iterable[tuple[Operator, Shape]], always: bool) -> Part:
    from hwnas.ops.costs import operator_costs

    links = list(links)
    parts = [operator_costs(*link) for link in links]
    least = [] if always else [0]
    return Part(
        name,
        tuple(dict.fromkeys(shape for _, shape in links)),
        tuple(dict.fromkeys(part.output_shape for part in parts)),
        _range([*least, *(part.params for part in parts)]),
        _range([*least, *(part.macs for part in parts)]),
        tuple(dict.fromkeys(operator for operator, _ in links)),
        not always,
    )


def _range(values: list[int]) -> Range:
    return Range(min(values), max(values))
