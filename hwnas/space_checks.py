"""Checks that a space can be built, made before any work is done."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations, pairwise
from typing import Any

from hwnas.errors import SpaceError, did_you_mean
from hwnas.network import Network, costs, known_operators, lower, make_operator
from hwnas.ops import Operator
from hwnas.ops.operator import new_module
from hwnas.registry import member
from hwnas.space import AnySpace, Block, Choice, FunctionSpace, Space, Value
from hwnas.space.architecture import ascends
from hwnas.space.together import layers_of
from hwnas.tasks.ends import is_plain, shape_text, specs_of

Progress = Callable[[float, float], None]
TRIED_AXES = (2, 1)
"""Axes after the channels with which an operator is tried, which does not say how many it takes."""


def check_space(space: AnySpace, progress: Progress = lambda done, total: None) -> None:
    """Refuse a space that cannot be built, before any work.

    Every option is built once; the smallest and the largest architecture are run on the meta device, modules that a
    function returns with weights as well.

    Args:
        space: a space of stages or of a function.
        progress: called with the number of steps done and of all.

    Raises:
        SpaceError: an operator refuses its knobs, cannot be built or does not run; a stride finds too small an input
            or is longer than its kernel; an even kernel changes the resolution; options are not in order from small to
            large; or two blocks of a stage can become the same operator.

    Example:
        >>> from hwnas import read_space
        >>> from hwnas.io.resources import find_file
        >>> check_space(read_space(find_file("digits", "search_spaces")))
    """
    from hwnas.ops.costs import check_built

    if isinstance(space, Space):
        _refuse_blocks_of_blocks(space)
        _refuse_pairs(space)
    slot_of: dict[Operator, str] = {}
    choices: dict[str, tuple[Choice, int]] = {}
    index, most = 0, 1
    while index < most:

        def pick(choice: Choice, index: int = index) -> Value:
            nonlocal most
            most = max(most, len(choice.options))
            choices.setdefault(choice.name, (choice, index))
            return _option(choice, index)

        network = lower(space, space.sample(pick))
        slot_of |= dict(zip(network.operators, network.slots, strict=True))
        index += 1
    if isinstance(space, Space):
        _refuse_overlaps(space)
    for architecture in (space.smallest(), space.largest()):
        _run(space, lower(space, architecture))
    if isinstance(space, FunctionSpace) and space.returns_module:
        _try_modules(space)
    else:
        for done, (operator, slot) in enumerate(slot_of.items()):
            progress(done, len(slot_of))
            with _at(space, slot):
                check_built(operator)
                _refuse_gaps(operator)
                _refuse_growth(operator)
    _refuse_unordered(space, choices.values())


def _option(choice: Choice, index: int) -> Value:
    return choice.options[min(index, len(choice.options) - 1)]


def _try_modules(space: FunctionSpace) -> None:
    """Build and run whole networks, not each of their operators: all of a module is built for any part of it."""
    from hwnas.traced.trial import try_out

    for architecture in (space.smallest(), space.largest()):
        network = lower(space, architecture)
        try_out(space, architecture, network.input_shape, dict(zip(network.slots, network.operators, strict=True)))


def _run(space: AnySpace, network: Network) -> None:
    """Run a network on the meta device, operator by operator."""
    from hwnas.ops.costs import operator_costs

    shape, last = network.input_shape, network.slots[-1]
    for slot, operator in zip(network.slots, network.operators, strict=True):
        with _at(space, slot):
            stride = operator.knobs.get("stride", 1)
            sides = [side for spec in specs_of(shape) for side in spec.shape[1:]]
            if isinstance(stride, int) and min(sides, default=stride) < stride:
                raise SpaceError(
                    f"`{slot}` strides {stride} at resolution {min(sides)}",
                    where=operator.describe(),
                    allowed="A stride is at most the resolution that reaches it",
                    do="Use a larger input resolution, or stride 1 there",
                )
            shape = operator_costs(operator, shape).output_shape
            if slot != last and not is_plain(shape):
                raise SpaceError(
                    f"`{slot}` gives {shape_text(shape)}",
                    where=operator.describe(),
                    allowed="Between operators runs one float32 tensor; the last one may give several",
                    do="Put it last, or have it give one tensor",
                )


@contextmanager
def _at(space: AnySpace, slot: str) -> Iterator[None]:
    """Add the slot to an operator's errors."""
    try:
        yield
    except SpaceError as error:
        where = f"space `{space.name}`: `{slot}`: {error.where}"
        raise SpaceError(error.met, where=where, allowed=error.allowed, do=error.do) from error


def _refuse_gaps(operator: Operator) -> None:
    """Refuse a stride that leaves rows of the input unread between those that the kernel reads.

    Of a kernel of 1 that is what is meant: published spaces take every other pixel where they skip a layer.
    """
    kernel, stride = operator.knobs.get("kernel", 1), operator.knobs.get("stride", 1)
    if isinstance(kernel, int) and isinstance(stride, int) and stride > kernel > 1 and _leaves_gaps(operator, stride):
        raise SpaceError(
            f"stride {stride} is beyond the reach of kernel {kernel}: rows of the input are never read",
            where=operator.describe(),
            allowed="A stride is at most its kernel, or the kernel is 1",
            do="Use a smaller stride or a larger kernel",
        )


def _leaves_gaps(operator: Operator, stride: int) -> bool:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = new_module(operator).eval()
        for axes in TRIED_AXES:
            inputs = torch.randn(1, operator.in_channels, *[4 * stride] * axes, requires_grad=True)
            try:
                [slopes] = torch.autograd.grad(module(inputs).square().sum(), inputs)
            except Exception:  # it takes no such input; whether it takes the space's own is told elsewhere
                continue
            read = slopes.abs().transpose(1, 2).flatten(2).sum((0, 2)).nonzero().flatten().tolist()
            return bool(read) and len(read) < read[-1] - read[0] + 1
    return False


def _refuse_growth(operator: Operator) -> None:
    """Refuse an even kernel that gives rows the input has none for: padding of half a kernel is one row too much.

    Of built-in operators only: another's kernel may be meant to do so.
    """
    from hwnas.ops.costs import operator_costs

    kernel, stride = operator.knobs.get("kernel", 1), operator.knobs.get("stride", 1)
    plain = isinstance(kernel, int) and isinstance(stride, int) and type(operator).__module__.startswith("hwnas.")
    if not plain or kernel % 2:
        return
    side, rows = 4 * stride, 4
    for axes in TRIED_AXES:
        with suppress(SpaceError):  # it takes no such input; whether it takes the space's own is told elsewhere
            rows = operator_costs(operator, (operator.in_channels, *[side] * axes)).output_shape[-1]
            break
    if rows != 4:
        raise SpaceError(
            f"the even kernel {kernel} changes the resolution: {rows} rows of {side} at stride {stride}, not 4",
            where=operator.describe(),
            allowed="An odd kernel keeps the resolution, or divides it by its stride",
            do=f"Use kernel {kernel - 1} or {kernel + 1}",
        )


def _refuse_unordered(space: AnySpace, choices: Iterable[tuple[Choice, int]]) -> None:
    """Refuse numbers, and true before false, in an order in which networks do not grow.

    Of some knobs, such as groups, the smaller number makes the larger operator: parameters decide. A choice comes with
    an index: it is open where all others have their option of that index.
    """
    seen: set[tuple[str, tuple[Value, ...]]] = set()
    for choice, index in choices:
        like = re.sub(r"\.\d+\.", ".", choice.name), choice.options
        if like in seen or ascends(choice.options):
            continue
        seen.add(like)
        sizes = _sizes(space, choice, index)
        ordered = sorted(choice.options, key=sizes.__getitem__)
        for before, after in pairwise(choice.options):
            if sizes[before] > sizes[after]:
                raise SpaceError(
                    f"`{choice.name}` does not list its options from small to large",
                    where=f"space `{space.name}`: choice `{choice.name}`",
                    allowed="The last option makes the largest network, which a supernet is trained from. It lists "
                    f"{_word(before)} with {_told(sizes[before])} before {_word(after)} with {_told(sizes[after])}",
                    do=f"Write [{', '.join(map(_word, ordered[:20]))}{', ...' if len(ordered) > 20 else ''}]",
                )


def _sizes(space: AnySpace, choice: Choice, index: int) -> dict[Value, tuple[int, int]]:
    """Return by option the parameters and MACs of the network with it, the other choices at their option of one index.

    MACs are counted, which takes longer, only where parameters are the same for all.
    """
    from hwnas.ops.costs import operator_params

    networks = {
        option: lower(space, space.sample(lambda one, o=option: o if one.name == choice.name else _option(one, index)))  # type: ignore[misc]
        for option in choice.options
    }
    params = {option: sum(map(operator_params, network.operators)) for option, network in networks.items()}
    if len(set(params.values())) > 1:
        return {option: (count, 0) for option, count in params.items()}
    with suppress(SpaceError):  # a network between the ends, which were run
        return {option: (params[option], costs(network).macs) for option, network in networks.items()}
    return dict.fromkeys(choice.options, (0, 0))


def _told(size: tuple[int, int]) -> str:
    params, macs = size
    return f"{macs:,} MACs" if macs else f"{params:,} parameters"


def _word(option: Value) -> str:
    return str(option).lower() if isinstance(option, bool) else str(option)


def _refuse_blocks_of_blocks(space: Space) -> None:
    """Tell a block that names no operator from a stage that does."""
    known = known_operators(space)
    for stage in space.stages:
        for block in stage.blocks:
            if block.op not in known and block.label != block.op:
                raise SpaceError(
                    f"the block `{block.label}` is made of `{block.op}`, which is no operator",
                    where=f"space `{space.name}`: stage `{stage.name}`",
                    allowed=f"A block is made of an operator, never of a block. {did_you_mean(block.op, known)}",
                    do="Correct its `op`",
                )


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
