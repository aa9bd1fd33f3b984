"""Facts of a space that `hwnas show` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hwnas.cost_ranges import Range
from hwnas.tasks.ends import specs_of
from hwnas.words import brief

Value = int | float | str | bool


@dataclass(frozen=True)
class KnobFacts:
    """Options of one knob, and how often they are decided."""

    name: str
    options: tuple[Value, ...]
    per: str
    """`layer`, `stage`, or the name of the shared choice that decides it."""


@dataclass(frozen=True)
class BlockFacts:
    """An operator that a layer can be."""

    label: str
    op: str
    knobs: tuple[KnobFacts, ...]


@brief
@dataclass(frozen=True)
class StageFacts:
    """A stage; of a function, a slot."""

    name: str
    blocks: tuple[BlockFacts, ...]
    depth: KnobFacts
    width: KnobFacts
    stride: int
    knobs: tuple[KnobFacts, ...]
    entering: tuple[tuple[int, ...], ...]
    """Shapes without the batch axis, at the least and the largest resolution."""
    leaving: tuple[tuple[int, ...], ...]
    operators: int
    """Number of different operators that can stand here."""
    ways: int | None
    """In how many ways it can be decided, choices that are shared with other stages aside; None for a slot, and where
    they are too many to be written."""
    params: Range
    macs: Range


@brief
@dataclass(frozen=True)
class SpaceView:
    """A space as it is read by a person."""

    name: str
    source: str
    architectures: int | None
    """None if they are too many to count, or to be written as a number."""
    architectures_log10: float | None
    """None if they are not counted."""
    decisions: int
    """Number of choices."""
    resolution: KnobFacts
    shared: tuple[KnobFacts, ...]
    """Choices that several knobs of the stages refer to; of a function, all that it asks."""
    stages: tuple[StageFacts, ...]
    params: Range
    macs: Range
    looked_at: int | None
    """From how many networks the ranges are; None where they are exact."""
    uncut: str | None
    """Why a module is one operator, where it is one."""


def sides(shapes: Iterable[tuple[int, ...]]) -> str:
    """Describe shapes (channels, ...) apart from their channels.

    >>> sides([(3, 56, 56), (3, 112, 112)]), sides([(1, 49, 10)]), sides([(192, 196)]), sides([(64,)])
    ('56 to 112', '49x10', '196 positions', 'vector')
    """
    kinds: dict[str, set[tuple[int, ...]]] = {}
    for _, *sizes in (spec.shape for one in shapes for spec in specs_of(one)):
        unit = {0: "vector", 1: " positions"}.get(len(sizes), "")
        kinds.setdefault(unit, set()).add(tuple(sizes))
    parts = []
    for unit, known in kinds.items():
        ends = " to ".join(map(_side, sorted({min(known), max(known)})))
        parts.append(f"{ends}{unit}")
    return ", ".join(parts)


def _side(sizes: tuple[int, ...]) -> str:
    """Return `56` of a square, `49x10` of a rectangle."""
    return "x".join(map(str, sizes[:1] if len(set(sizes)) == 1 else sizes))


def options(knob: KnobFacts) -> str:
    """`3, 5, 7`; of many numbers the ends and how many: `128 to 224 (25)`."""
    if len(knob.options) > 6 and all(isinstance(option, int | float) for option in knob.options):
        numbers = sorted(float(option) for option in knob.options)
        return f"{numbers[0]:g} to {numbers[-1]:g} ({len(numbers)})"
    return ", ".join(_word(option) for option in knob.options)


def _word(option: Value) -> str:
    return {True: "yes", False: "no"}[option] if isinstance(option, bool) else f"{option}"
