"""Times that cannot be: rows, whole networks and overheads that the rest of their table contradicts.

Nothing here knows how long an operator should take. A row is compared with the whole networks that hold it, with the
rows of its kind that are nearest in size, and with a call that computes nothing; a whole network with the sum of its
rows, as that is for the others. All bounds are several times wider than anything seen on real tables.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwnas.measure.table_lines import RowKey, input_text

Floats = NDArray[np.float64]
Rule = Literal["slower-than-whole", "faster-than-nothing", "off-neighbours", "off-sum"]

MAX_NETWORK_RATIO = 3.0
"""Multiple of a whole network's time that one of its operators may take alone. Seen: 0.7."""
MAX_IDLE_RATIO = 10.0
"""Multiple of an operator's time that a call that computes nothing may take. Seen: 0.6."""
MAX_NEIGHBOR_RATIO = 30.0
"""Factor by which a row may be off a neighbour, beyond that by which their sizes differ."""
SUM = 10.0
"""Factor by which whole networks may be off the sums of their rows, each against the others. Seen: 1.5."""
NEAREST, FEWEST = 5, 3
"""Number of neighbours that judge a row, and the least number needed to judge. More than half of them decide."""
SAMPLE = 600
"""Number of rows that serve as neighbours, of a kind with more."""
PAIR_CHUNK = 256
SQUARED = frozenset({"kernel"})
"""Sizes that work grows with the square of."""
UNLIKE = 1.0
"""Distance of two words, in doublings: half of it for either of them."""


@dataclass(frozen=True)
class TimedOperator:
    """An operator's time, and what it is."""

    about: str
    ms: float
    kind: str
    facts: Mapping[str, Any]
    """Its knobs and sizes by name; without any it has no neighbours."""


@dataclass(frozen=True)
class Whole:
    """A whole network's time, and the places of its operators among the rows, None for one without a row."""

    about: str
    ms: float
    places: tuple[int | None, ...]


@dataclass(frozen=True)
class Outlier:
    """A time that cannot be."""

    rule: Rule
    of: Literal["row", "check", "overhead"]
    place: int
    """Index among the rows or the whole networks."""
    what: str


def facts_of(kind: str, knobs: Mapping[str, Any], shape: Sequence[Any]) -> dict[str, Any]:
    """Return a row's operator and its input by name."""
    if not all(isinstance(size, int) for size in shape):
        return {"op": kind, **knobs, "sizes": input_text(shape)}
    channels, *sizes = shape
    names = {1: ("length",), 2: ("height", "width")}.get(len(sizes))
    named = {"sizes": str(sizes)} if names is None else dict(zip(names, sizes, strict=True))
    return {"op": kind, "in_channels": channels, **knobs, **named}


def name_of(kind: str, knobs: Mapping[str, Any], shape: Sequence[Any]) -> str:
    """Return a row's name for people."""
    return f"{kind} {' '.join(f'{name}={value}' for name, value in knobs.items())} at {input_text(shape)}"


def row_of(key: RowKey, ms: float) -> TimedOperator:
    """Return a table's row by its key."""
    kind, knobs, shape = key[0], json.loads(key[1]), key[2]
    return TimedOperator(name_of(kind, knobs, shape), ms, kind, facts_of(kind, knobs, shape))


def outliers(
    rows: Sequence[TimedOperator], wholes: Sequence[Whole] = (), overhead_ms: float | None = None, unit: str = "ms"
) -> list[Outlier]:
    """Return all times that the others contradict, each once, with the numbers."""
    off = [*_off_neighbors(rows, unit), *_slower_than_whole(rows, wholes, unit)]
    if overhead_ms is not None:
        off += _faster_than_nothing(rows, overhead_ms, unit)
    known = {(one.of, one.place) for one in off}
    nothing_ms = 0.0 if overhead_ms is None or ("overhead", 0) in known else overhead_ms
    off += [one for one in _off_sum(rows, wholes, nothing_ms, known, unit) if (one.of, one.place) not in known]
    return list({(one.of, one.place): one for one in reversed(off)}.values())[::-1]


def _slower_than_whole(rows: Sequence[TimedOperator], wholes: Sequence[Whole], unit: str) -> list[Outlier]:
    """Return rows far slower than a network that holds them; the network itself, where that is so of most of its
    rows."""
    off: dict[tuple[str, int], Outlier] = {}
    for number, whole in enumerate(wholes):
        indices = [index for index in dict.fromkeys(whole.places) if index is not None]
        slower = [index for index in indices if rows[index].ms > MAX_NETWORK_RATIO * whole.ms]
        if len(slower) > 1 and 2 * len(slower) > len(indices):
            row = max((rows[index] for index in slower), key=lambda row: row.ms)
            what = f"{whole.about}: {_amount(whole.ms, unit)}, but {row.about}, which it holds, takes alone "
            off["check", number] = Outlier("slower-than-whole", "check", number, what + _amount(row.ms, unit))
            continue
        for index in slower:
            what = f"{rows[index].about}: {_amount(rows[index].ms, unit)}, but {whole.about} that holds it takes "
            one = Outlier("slower-than-whole", "row", index, what + _amount(whole.ms, unit))
            off.setdefault(("row", index), one)
    return list(off.values())


def _faster_than_nothing(rows: Sequence[TimedOperator], overhead_ms: float, unit: str) -> list[Outlier]:
    """Return rows far faster than a call that computes nothing; that call's time, where most rows are."""
    indices = [index for index, row in enumerate(rows) if row.ms * MAX_IDLE_RATIO < overhead_ms]
    nothing = f"a call that computes nothing takes {_amount(overhead_ms, unit)}"
    if len(indices) > 1 and 2 * len(indices) > len(rows):
        usual = median(row.ms for row in rows)
        what = f"overhead: {nothing}, but the middle row {_amount(usual, unit)}"
        return [Outlier("faster-than-nothing", "overhead", 0, what)]
    return [
        Outlier(
            "faster-than-nothing", "row", index, f"{rows[index].about}: {_amount(rows[index].ms, unit)}, but {nothing}"
        )
        for index in indices
    ]


def _off_sum(
    rows: Sequence[TimedOperator], wholes: Sequence[Whole], overhead_ms: float, known: set[tuple[Any, int]], unit: str
) -> list[Outlier]:
    """Return whole networks that are far off the sums of their rows, as that is for the others."""
    bad = {index for of, index in known if of == "row"}
    sums: dict[int, float] = {}
    for number, whole in enumerate(wholes):
        if bad.isdisjoint(whole.places) and None not in whole.places:
            row_ms = [rows[index].ms for index in whole.places if index is not None]
            sums[number] = overhead_ms + sum(max(ms - overhead_ms, 0.0) for ms in row_ms)
    sums = {number: ms for number, ms in sums.items() if ms > 0}
    if len(sums) < FEWEST:
        return []
    usual = median(wholes[number].ms / ms for number, ms in sums.items())
    return [
        Outlier(
            "off-sum",
            "check",
            number,
            f"{wholes[number].about}: {_amount(wholes[number].ms, unit)}, "
            f"{wholes[number].ms / ms:.3g} times the sum of its rows; the others take {usual:.3g} times theirs",
        )
        for number, ms in sums.items()
        if not 1 / SUM < wholes[number].ms / ms / usual < SUM
    ]


def _off_neighbors(rows: Sequence[TimedOperator], unit: str) -> list[Outlier]:
    """Return rows that are far off the rows of their kind that are nearest in size."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.facts:
            kinds[row.kind].append(index)
    off = []
    for indices in kinds.values():
        if len(indices) <= FEWEST:
            continue
        logs = np.log2([max(rows[index].ms, 1e-12) for index in indices])
        for number, near in _judged(_positions([rows[index].facts for index in indices]), logs):
            row, others = rows[indices[number]], [rows[indices[other]].ms for other in near]
            what = f"{row.about}: {_amount(row.ms, unit)}, but the {len(others)} rows of its kind that are nearest "
            what += f"in size take {_amount(min(others), unit)} to {_amount(max(others), unit)}"
            off.append(Outlier("off-neighbours", "row", indices[number], what))
    return off


def _positions(facts: Sequence[Mapping[str, Any]]) -> Floats:
    """Return (rows, features) the position of each: the sum of differences is by how many doublings two may differ in
    work."""
    columns = []
    for name in dict.fromkeys(name for one in facts for name in one):
        values: list[Any] = [one.get(name) for one in facts]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            column = np.log2([float(min(max(abs(value), 0.5), 1e300)) for value in values])
            columns.append(column * 2 if name in SQUARED else column)
        else:
            words = Counter(map(str, values))
            columns += [np.array([UNLIKE * (str(v) == word) for v in values]) for word in words if len(words) > 1]
    return np.column_stack([column for column in columns if np.ptp(column)] or [np.zeros(len(facts))])


def _judged(positions: Floats, logs: Floats) -> list[tuple[int, list[int]]]:
    """Return rows that most of their nearest neighbours contradict, with these neighbours."""
    count = len(logs)
    sample = np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(int)
    off, nearest = [], min(NEAREST, len(sample) - 1)
    for start in range(0, count, PAIR_CHUNK):
        mine = np.arange(start, min(start + PAIR_CHUNK, count))
        apart = np.zeros((len(mine), len(sample)))
        for column in positions.T:
            apart += np.abs(column[mine, None] - column[sample])
        apart[mine[:, None] == sample] = np.inf
        near = np.argpartition(apart, nearest - 1, axis=1)[:, :nearest]
        allowed = np.log2(MAX_NEIGHBOR_RATIO) + np.take_along_axis(apart, near, axis=1)
        more = logs[mine, None] - logs[sample[near]]
        votes = np.maximum((more > allowed).sum(axis=1), (-more > allowed).sum(axis=1))
        off += [(int(mine[at]), sample[near[at]].tolist()) for at in np.flatnonzero(2 * votes > nearest)]
    return off


def _amount(ms: float, unit: str) -> str:
    return f"{ms:.4g} {unit}"
