"""Whether a space can be built: told before any work is done."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any

from hwnas.errors import SpaceError
from hwnas.lookup import member
from hwnas.network import costs, known_operators, lower, make_operator
from hwnas.space import AnySpace, Block, Choice, FunctionSpace, Space, Value
from hwnas.space.together import layers_of


def check_space(space: AnySpace) -> None:
    """Refuse a space that cannot be built, before any work: every option is lowered once, the smallest and the
    largest architecture are run on the meta device; modules that a function returns with weights as well.

    Raises:
        SpaceError: an operator refuses its knobs, a stride finds too small an input, an operator does not run, or
            two blocks of a stage can become the same operator.
    """
    if isinstance(space, Space):
        _refuse_pairs(space)
    index, most = 0, 1
    while index < most:

        def pick(choice: Choice, index: int = index) -> Value:
            nonlocal most
            most = max(most, len(choice.options))
            return choice.options[min(index, len(choice.options) - 1)]

        lower(space, space.sample(pick))
        index += 1
    if isinstance(space, Space):
        _refuse_overlaps(space)
    for architecture in (space.smallest(), space.largest()):
        network = lower(space, architecture)
        for slot, (operator, shape) in zip(network.slots, network.links, strict=True):
            stride = operator.knobs.get("stride", 1)
            if min(shape[1:], default=stride) < stride:
                raise SpaceError(
                    f"`{slot}` strides {stride} at resolution {min(shape[1:])}",
                    where=f"space `{space.name}`",
                    allowed="A stride is at most the resolution that reaches it",
                    do="Use a larger input resolution, or stride 1 there",
                )
        costs(network)
        if isinstance(space, FunctionSpace) and space.returns_module:
            from hwnas.traced.trial import try_out

            try_out(space, architecture, network.input_shape, dict(zip(network.slots, network.operators, strict=True)))


def _refuse_pairs(space: Space) -> None:
    """Refuse knobs of which each is allowed and two together are not, by operators that check what they are made of."""
    known = known_operators(space)
    for stage in space.stages:
        where = f"space `{space.name}`: stage `{stage.name}`"
        for block in stage.blocks:
            if hasattr(member(known, block.op, what="operator", where=where), "__post_init__"):
                stride = {} if stage.stride is None else {"stride": stage.stride}
                for knobs in layers_of(space, stage, block):
                    make_operator(block.op, {**knobs, **stride}, where=where, operators=known)


def _refuse_overlaps(space: Space) -> None:
    """Blocks of one stage must never become the same operator, or equal networks would have unequal architectures."""
    for stage in space.stages:
        for one, other in combinations(stage.blocks, 2):
            names = {*one.knobs, *other.knobs}
            if one.op == other.op and all(_options_of(space, one, n) & _options_of(space, other, n) for n in names):
                raise SpaceError(
                    f"the blocks `{one.label}` and `{other.label}` can become the same `{one.op}`",
                    where=f"space `{space.name}`: stage `{stage.name}`",
                    allowed="Blocks of a stage differ in at least one knob, whatever is picked",
                    do="Make their options disjoint in one knob, or merge the two blocks",
                )


def _options_of(space: Space, block: Block, knob: str) -> set[Value]:
    if knob in block.knobs:
        return set(block.knobs[knob].options)
    kind = member(known_operators(space), block.op, what="operator", where=block.label)
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(kind)}
    return {defaults[knob]}
