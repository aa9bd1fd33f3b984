"""Facts of a network's operators, and the lines that tell what each adds to its latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.report import units
from hwnas.words import brief, counted

CALL_KIND = "overhead"
"""Kind of the entry that holds what a call costs besides its operators."""


@brief
@dataclass(frozen=True)
class OperatorFacts:
    """One operator of a network; of kind `overhead`, what a call costs besides them."""

    slot: str
    kind: str
    knobs: Mapping[str, Any]
    input_shape: tuple[int, ...]
    """Without the batch axis, as the other."""
    output_shape: tuple[int, ...]
    params: int
    macs: int
    activation_bytes: int
    """Most bytes of activations alive at once while it runs, its input included; batch 1, float32."""
    ms: float | None = None
    """Milliseconds that it adds to the network's predicted latency."""
    low_ms: float | None = None
    high_ms: float | None = None
    estimated: bool = False
    """True if the table has no row of it."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> OperatorFacts:
        """Return them from an entry of `operators` as `hwnas cost --json` prints it."""
        return cls(
            entry["slot"],
            entry["op"],
            entry["knobs"],
            tuple(entry["input"]),
            tuple(entry["output"]),
            entry["params"],
            entry["macs"],
            entry["activation_bytes"],
            entry.get("ms"),
            entry.get("low_ms"),
            entry.get("high_ms"),
            bool(entry.get("estimated")),
        )

    @property
    def is_call(self) -> bool:
        """Return whether it is no operator but what a call costs besides."""
        return self.kind == CALL_KIND

    @property
    def words(self) -> str:
        """Kind and knobs, channels aside."""
        rest = [f"{name} {value}" for name, value in self.knobs.items() if not name.endswith("_channels") and value]
        return ", ".join([self.kind, *rest])

    @property
    def output(self) -> str:
        """Size of what goes out."""
        return size_words(self.output_shape)


def size_words(shape: Sequence[int]) -> str:
    """`24x56x56`."""
    return "x".join(map(str, shape))


def own_operators(operators: Sequence[OperatorFacts]) -> list[OperatorFacts]:
    """Return the operators without the call's entry."""
    return [one for one in operators if not one.is_call]


def predicted_ms(operators: Sequence[OperatorFacts]) -> float | None:
    """Return the sum of what operators and the call add; None without a table."""
    times = [one.ms for one in operators if one.ms is not None]
    return sum(times) if operators and len(times) == len(operators) else None


def latency_lines(operators: Sequence[OperatorFacts], setup: str) -> Iterator[str]:
    """Yield a line for each operator: milliseconds, share of the sum, 90 % interval, slot and words; then their sum.

    Nothing is yielded without a table.
    """
    total = predicted_ms(operators)
    if total is None:
        return
    unit = units.time_unit([total])
    rows = [_cells(one, total, unit) for one in operators]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for one, row in zip(operators, rows, strict=True):
        cells = "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        name = "the call besides" if one.is_call else f"{one.slot}: {one.words}, to {one.output}"
        yield f"{cells}  {name}{' (no row: estimated)' if one.estimated else ''}"
    yield f"{units.timed(total, unit[1])} {unit[0]} in all, predicted for {setup}"


def estimated_words(operators: Sequence[OperatorFacts]) -> str:
    """Return how many operators have no row of their own; empty if none."""
    gaps = sum(one.estimated for one in operators)
    return f"{counted(gaps, 'operator')} without a row, estimated" if gaps else ""


def _cells(one: OperatorFacts, total: float, unit: tuple[str, float]) -> tuple[str, str, str]:
    ends = "" if one.low_ms is None or one.high_ms is None or one.is_call else _interval(one, unit)
    return f"{units.timed(one.ms, unit[1])} {unit[0]}", units.percent((one.ms or 0.0) / total), ends


def _interval(one: OperatorFacts, unit: tuple[str, float]) -> str:
    return f"{units.timed(one.low_ms, unit[1])} to {units.timed(one.high_ms, unit[1])}"
