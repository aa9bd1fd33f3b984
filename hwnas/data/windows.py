"""Windows of recordings: so many consecutive rows, across no gap, no change of class and no end of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, DataError, did_you_mean

RATE_TOLERANCE = 0.02
"""Largest relative difference of two sampling rates that count as the same."""
GAP_FACTOR = 1.5
"""An interval that is longer than the usual one by this factor is a gap."""
MOST_GAPS = 0.05
MIN_GROUPS = 3
"""Groups of a class that splits into train, validation and test need."""
BLOCKS_PER_RECORDING = 10


@final
@dataclass(frozen=True)
class Windows:
    """How recordings are cut: `length` rows, a new window every `step` rows."""

    length: int
    step: int
    time: str | None = None
    """Column of times: seconds, or ISO 8601."""
    rate_hz: float | None = None
    """Sampling rate that all recordings must have."""
    recording: str | None = None
    """Column that names the recording of a row, where one file holds several."""


@final
@dataclass(frozen=True, eq=False)
class Recording:
    """Consecutive rows of one recording."""

    name: str
    first: int
    """Index of its first row among all."""
    rows: int
    times: NDArray[np.float64] | None = None
    number: int | None = None
    """Of the recording that it is a piece of; one of its own if left out."""


def windows_of(option: Any) -> Windows | None:
    """Return the option `window`: a number of rows, or a mapping of `length` and, if they are set, other fields.

    Raises:
        ConfigError: it is neither.
    """
    if option is None:
        return None
    keys = {"length": "length", "step": "step", "time": "time", "rate": "rate_hz", "recording": "recording"}
    raw = {"length": None, **option} if isinstance(option, Mapping) else {"length": option}
    for key in raw:
        if key not in keys:
            raise ConfigError(
                f"unknown key `{key}`", where="data: window", allowed=did_you_mean(str(key), keys), do="Correct it"
            )
    form = "Write `window: 100`, or `window: {length: 100, step: 50, time: COLUMN, rate: 50, recording: COLUMN}`"
    raw.setdefault("step", raw.get("length"))
    for key, value in raw.items():
        whole, text = key in ("length", "step"), key in ("time", "recording")
        kind: Any = str if text else int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or (not text and not value > 0):
            need = "the name of a column" if text else "a whole number of rows from 1 on" if whole else "a number in Hz"
            raise ConfigError(f"`{key}` is {value!r}", where="data: window", allowed=f"`{key}` is {need}", do=form)
    return Windows(**{keys[key]: value for key, value in raw.items()})


def check_lengths(recordings: Sequence[Recording], length: int, where: str) -> None:
    """Refuse recordings that are shorter than a window.

    Raises:
        DataError: one is.
    """
    short = [one for one in recordings if one.rows < length]
    if short:
        rows = min(one.rows for one in short)
        raise DataError(
            f"the window has {length} rows, {short[0].name} has {short[0].rows}",
            where=where,
            allowed=f"A window fits into each recording; {len(short)} of {len(recordings)} are shorter, down to {rows}",
            do="Use a shorter window, or leave out the short recordings",
        )


def sampling_rate(recordings: Sequence[Recording], expected_hz: float | None, where: str) -> float | None:
    """Return the rate that all recordings have, in Hz; without times, the one that is expected.

    Raises:
        DataError: times do not rise, or rates differ from each other or from the one that is expected.
    """
    known = expected_hz, "the option `rate`"
    for one in recordings:
        if one.times is None or one.rows < 2:
            continue
        intervals = np.diff(one.times)
        if (steps := np.flatnonzero(intervals <= 0)).size:
            raise DataError(
                f"the time does not rise from row {steps[0] + 1} to row {steps[0] + 2} of {one.name}",
                where=where,
                allowed="Rows of a recording are in order of time, and no two are of the same",
                do="Sort them, or name the column that tells recordings apart: `window: {recording: COLUMN}`",
            )
        usual = float(np.median(intervals))
        rate = 1 / usual
        if known[0] is not None and abs(rate / known[0] - 1) > RATE_TOLERANCE:
            raise DataError(
                f"sampling rates differ: {one.name} has {rate:.6g} Hz, {known[1]} {known[0]:.6g} Hz",
                where=where,
                allowed=f"All recordings have one rate, within {RATE_TOLERANCE:.0%}",
                do="Resample them to one rate, or leave out those that differ",
            )
        if (share := float((intervals > GAP_FACTOR * usual).mean())) > MOST_GAPS:
            raise DataError(
                f"the sampling rate changes within {one.name}: {share:.0%} of the intervals are longer than "
                f"{GAP_FACTOR * usual:.4g} s, the usual one is {usual:.4g} s",
                where=where,
                allowed=f"Gaps, at most {MOST_GAPS:.0%} of the intervals, end a window",
                do="Resample the recording to one rate",
            )
        known = known if known[0] is not None else (rate, one.name)
    return known[0]


def stretches(
    recordings: Sequence[Recording], labels: NDArray[Any] | None, block: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """Yield number of the recording, first row and end of each stretch without a gap and, with labels, of one class.

    With a `block` of rows, longer stretches are cut into blocks of this length.
    """
    for number, one in enumerate(recordings):
        rows = slice(one.first, one.first + one.rows)
        cut = np.zeros(max(one.rows - 1, 0), bool)
        if one.times is not None and one.rows > 1:
            intervals = np.diff(one.times)
            cut |= intervals > GAP_FACTOR * np.median(intervals)
        if labels is not None:
            cut |= labels[rows][1:] != labels[rows][:-1]
        ends = [0, *(np.flatnonzero(cut) + 1).tolist(), one.rows]
        for start, end in pairwise(ends):
            for first in range(start, end, block or one.rows):
                whole = number if one.number is None else one.number
                yield whole, one.first + first, one.first + min(first + (block or one.rows), end)


@final
@dataclass(frozen=True, eq=False)
class Cuts:
    """Windows of some recordings, in their order."""

    rows: NDArray[np.int64]
    """(windows, length) indices among all rows."""
    groups: NDArray[np.int64]
    """(windows,): windows that may overlap, or are of one recording, are in one group."""
    block: int | None = None
    """Length of the blocks that recordings were cut into, because there are too few to be split whole."""


def cut(recordings: Sequence[Recording], how: Windows, labels: NDArray[Any] | None) -> Cuts:
    """Return all windows; where a class has fewer than three recordings, these are cut into ten blocks as groups."""
    whole = _cut(recordings, how, labels, None)
    classes = np.zeros(len(whole.groups), np.int64) if labels is None else labels[whole.rows[:, 0]]
    if all(len(np.unique(whole.groups[classes == label])) >= MIN_GROUPS for label in np.unique(classes)):
        return whole
    longest = max(end - first for _, first, end in stretches(recordings, labels))
    return _cut(recordings, how, labels, max(how.length, -(-longest // BLOCKS_PER_RECORDING)))


def _cut(recordings: Sequence[Recording], how: Windows, labels: NDArray[Any] | None, block: int | None) -> Cuts:
    starts: list[int] = []
    groups: list[int] = []
    for number, (recording, first, end) in enumerate(stretches(recordings, labels, block)):
        found = range(first, end - how.length + 1, how.step)
        starts += found
        groups += [number if block or len(recordings) == 1 else recording] * len(found)
    return Cuts(np.array(starts, np.int64)[:, None] + np.arange(how.length), np.array(groups, np.int64), block)
