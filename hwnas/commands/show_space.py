"""Contents of a space, for people and programs."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeGuard

from hwnas.cost_ranges import Extent, Part, extent_of
from hwnas.network import costs, lower
from hwnas.ops import Operator, Shape
from hwnas.report.spaces.facts import BlockFacts, KnobFacts, SpaceView, StageFacts
from hwnas.space import AnySpace, FunctionSpace, Knob, Space
from hwnas.tasks.ends import is_plain, shape_text, specs_of

if TYPE_CHECKING:
    from hwnas.traced.operator import Traced

HIDDEN_KNOBS = ("digest", "in_channels", "out_channels")
"""Knobs of operators that show no choice."""


def view(space: AnySpace) -> SpaceView:
    """Return a space as it is read: its stages in order with their choices, counts, sizes and costs.

    Args:
        space: as `open_space` returns it.

    Returns:
        The stages, and the numbers of architectures, parameters and MACs.

    Raises:
        SpaceError: an operator refuses its knobs.

    Example:
        >>> from hwnas import pipeline
        >>> space, _ = pipeline.open_space("space.yaml")
        >>> pipeline.view(space).architectures
        4
    """
    extent, count = extent_of(space), _count(space)
    first = lower(space, space.largest()).operators[0]
    if isinstance(space, FunctionSpace):
        resolution = KnobFacts("resolution", _sides(extent.parts[0].entering), "space")
        stages = tuple(map(_slot, extent.parts))
        shared = tuple(KnobFacts(choice.name, choice.options, "space") for choice in space.choices)
    else:
        resolution = _input(space)
        shared = tuple(KnobFacts(name, options, "space") for name, options in space.shared.items())
        stages = tuple(_stages(space, extent))
    return SpaceView(
        name=space.name,
        source=space.source,
        architectures=_written(count) if count is not None else None,
        architectures_log10=math.log10(count) if count is not None else None,
        decisions=len(space.choices),
        resolution=resolution,
        shared=shared,
        stages=stages,
        params=extent.params,
        macs=extent.macs,
        looked_at=extent.networks,
        uncut=first.uncut if _is_traced(first) else None,
    )


def space_facts(space: AnySpace) -> dict[str, Any]:
    """Return the view of a space ready for JSON, with all choices and the ends of its costs.

    Args:
        space: as `open_space` returns it.

    Returns:
        The fields of `view`, the choices by name, and parameters, MACs and bytes of the smallest and the largest
        network by options.

    Raises:
        SpaceError: an operator refuses its knobs.

    Example:
        >>> from hwnas import pipeline
        >>> space, _ = pipeline.open_space("space.yaml")
        >>> pipeline.space_facts(space)["choices"][0]
        {'name': 'stem.width', 'options': [4, 16]}
    """
    ends = {"smallest": space.smallest(), "largest": space.largest()}
    return {
        **dataclasses.asdict(view(space)),
        "choices": [{"name": choice.name, "options": list(choice.options)} for choice in space.choices],
        **{
            end: {k: getattr(costs(lower(space, a)), k) for k in ("params", "macs", "activation_bytes")}
            for end, a in ends.items()
        },
    }


def _count(space: AnySpace) -> int | None:
    return None if isinstance(space, FunctionSpace) and not space.counted else space.count


def _written(count: int) -> int | None:
    """Return the number, or None if it has more digits than Python writes."""
    return count if count < 10**sys.int_info.default_max_str_digits else None


def _stages(space: Space, extent: Extent) -> Iterable[StageFacts]:
    for stage, part in zip(space.stages, extent.parts, strict=True):
        width = stage.width or Knob(tuple(dict.fromkeys(operator.out_channels for operator in part.operators)))
        yield StageFacts(
            name=stage.name,
            blocks=tuple(
                BlockFacts(block.label, block.op, tuple(_knob(n, k, "layer") for n, k in block.knobs.items()))
                for block in stage.blocks
            ),
            depth=_knob("depth", stage.depth, "stage"),
            width=_knob("width", width, "stage"),
            stride=stage.stride or 1,
            knobs=tuple(_knob(n, k, "stage" if n in stage.per_stage else "layer") for n, k in stage.knobs.items()),
            entering=part.entering,
            leaving=part.leaving,
            operators=len(part.operators),
            ways=_written(space.ways(stage, stage.depth.options)),
            params=part.params,
            macs=part.macs,
        )


def _slot(part: Part) -> StageFacts:
    """Return the facts of a slot of a function: its knobs are those that its operators differ in."""
    kinds: dict[str, list[Operator]] = {}
    for operator in part.operators:
        kinds.setdefault(_kind(operator), []).append(operator)
    return StageFacts(
        name=part.name,
        blocks=tuple(BlockFacts(kind, kind, tuple(_differing(operators))) for kind, operators in kinds.items()),
        depth=KnobFacts("depth", (0, 1) if part.optional else (1,), "stage"),
        width=KnobFacts("width", _values(operator.out_channels for operator in part.operators), "stage"),
        stride=1,
        knobs=(),
        entering=_channels_first(part.entering, part.operators),
        leaving=_channels_first(part.leaving, part.operators),
        operators=len(part.operators),
        ways=None,
        params=part.params,
        macs=part.macs,
    )


def _input(space: Space) -> KnobFacts:
    """Return the resolution of square images, or the sizes of another input after its channels."""
    if "resolution" in space.input:
        return _knob("resolution", space.input["resolution"], "space")
    shapes = space.input_shapes({name: options[0] for name, options in space.shared.items()})
    return KnobFacts("input", tuple(map(shape_text, shapes)), "space")


def _sides(shapes: Iterable[Shape]) -> tuple[int | str, ...]:
    """Return the sides of square inputs; of oblong ones both, as 32x48."""
    ordered = sorted({spec.shape for shape in shapes for spec in specs_of(shape)})
    return tuple(dict.fromkeys(s[-1] if len(set(s[1:])) < 2 else "x".join(map(str, s[1:])) for s in ordered))


def _channels_first(shapes: Iterable[Shape], operators: Iterable[Operator]) -> tuple[Shape, ...]:
    """Return the shapes with channels first: tokens of a module are (tokens, channels), ours (channels, tokens)."""
    traced = any(map(_is_traced, operators))
    return tuple(shape[::-1] if traced and is_plain(shape) and len(shape) == 2 else shape for shape in shapes)


def _is_traced(operator: Operator) -> TypeGuard[Traced]:
    """Return whether an operator is a part of a user's network; others are shown without importing PyTorch."""
    traced = sys.modules.get("hwnas.traced.operator")
    return traced is not None and isinstance(operator, traced.Traced)


def _kind(operator: Operator) -> str:
    return operator.children if _is_traced(operator) else operator.kind


def _differing(operators: list[Operator]) -> Iterable[KnobFacts]:
    for name in operators[0].knobs:
        values = _values(operator.knobs[name] for operator in operators)
        if name not in HIDDEN_KNOBS and len(values) > 1:
            yield KnobFacts(name, values, "layer")


def _values(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(dict.fromkeys(values), key=lambda value: (str(type(value)), value)))


def _knob(name: str, knob: Knob, per: str) -> KnobFacts:
    return KnobFacts(name, knob.options, knob.shared or per)
