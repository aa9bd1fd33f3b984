"""Files of recorded links: CSV with named columns, rates by second, mahimahi's packets, and round trips."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from hwnas.collaborate.links.series import BYTES_PER_MS, LinkSeries, Steps
from hwnas.errors import ConfigError, reason
from hwnas.io.regular import read_regular
from hwnas.latency.posterior import Floats

Side = Literal["up", "down"]

UNITS = {"bits/sec": 1e-6, "kbits/sec": 1e-3, "mbits/sec": 1.0, "gbits/sec": 1e3}
TRACE_COLUMNS = {"up_mbps": "up", "down_mbps": "down", "rtt_ms": "rtt"}
"""Columns of a CSV file with a header, beside `seconds`."""
MAHIMAHI_BYTES, MAHIMAHI_MS = 1500, 100.0
"""Bytes of one of mahimahi's packets; the interval over which they become a rate."""


def read_trace(path: Path, side: Side = "down") -> LinkSeries:
    """Return what a file recorded; its format is told by its content.

    Args:
        path: a CSV file with a header of `seconds` and any of `up_mbps`, `down_mbps`, `rtt_ms`; lines `value,unit` or
            lines of a second and Mbps; mahimahi's milliseconds of packets; or a table whose columns name round trips,
            `delay(ms)`.
        side: direction of a file with one rate; mahimahi's end in `.up` or `.down`.

    Returns:
        The records; what the file does not tell is None.

    Raises:
        ConfigError: it cannot be read, is of no known format, or carries nothing.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "link.csv"
        >>> _ = path.write_text("seconds,up_mbps,rtt_ms" + chr(10) + "0,10,20" + chr(10) + "1,0,30" + chr(10))
        >>> read_trace(path).records["rtt"].values
        array([20., 30.])
    """
    try:
        lines = [line.strip() for line in read_regular(path).decode("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, f"the trace cannot be read ({reason(error)})") from error
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) < 2:
        raise _refused(path, "the trace has fewer than two lines")
    form = next(read for fits, read in FORMATS_BY_LINE if fits.fullmatch(lines[0].lower()))
    side = {".up": "up", ".down": "down"}.get(path.suffix, side)  # type: ignore[assignment]
    try:
        series = form(lines, side)
    except (ValueError, IndexError, KeyError) as error:
        raise _refused(path, f"a line cannot be understood ({error})") from error
    for name, steps in series.records.items():
        _check(path, name, steps)
    return series


def _check(path: Path, name: str, steps: Steps) -> None:
    if not (np.isfinite(steps.values).all() and np.isfinite(steps.starts_ms).all()):
        raise _refused(path, f"`{name}` holds a value that is no finite number")
    if (steps.values < 0).any() or (name == "rtt" and (steps.values == 0).any()):
        raise _refused(path, f"`{name}` holds {steps.values.min():g}, which no link has")
    if (np.diff(steps.starts_ms) <= 0).any():
        raise _refused(path, "times are not ascending")
    if not steps.values.any():
        raise _refused(path, f"`{name}` is 0 all the time: nothing would ever arrive")


def _refused(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        problem,
        where=str(path),
        allowed="A trace is a CSV file with the header `seconds` and any of `up_mbps`, `down_mbps`, `rtt_ms`; lines "
        "`value,unit` or `seconds Mbps`; mahimahi's; or round trips in a column `delay(ms)`",
        do="Correct the file, or name a preset such as `lte`",
    )


def _steps(starts_s: Floats, values: Floats) -> Steps:
    """Return the steps of times in seconds; the last value holds as long as the usual one."""
    if len(starts_s) < 2:
        raise ValueError("there are fewer than two times")
    starts = (starts_s - starts_s[0]) * 1e3
    return Steps(starts, values, float(starts[-1] + np.median(np.diff(starts))))


def _one_way(steps: Steps, side: Side) -> LinkSeries:
    return LinkSeries(up=steps) if side == "up" else LinkSeries(down=steps)


def _named_columns(lines: Sequence[str], side: Side) -> LinkSeries:
    names = [name.strip() for name in lines[0].lower().split(",")]
    if unknown := set(names) - {"seconds", *TRACE_COLUMNS}:
        raise ValueError(f"unknown column `{sorted(unknown)[0]}`")
    rows = np.array([[float(value) for value in line.split(",")] for line in lines[1:]])
    columns = {name: rows[:, names.index(name)] for name in names}
    if len(rows) < 2 or len(names) < 2:
        raise ValueError("there are fewer than two rows or columns")
    return LinkSeries(
        **{TRACE_COLUMNS[name]: _steps(columns["seconds"], columns[name]) for name in names if name in TRACE_COLUMNS}
    )


def _values_with_units(lines: Sequence[str], side: Side) -> LinkSeries:
    pairs = [line.split(",") for line in lines]
    mbps = np.array([float(value) * UNITS[unit.strip().lower()] for value, unit in pairs])
    return _one_way(_steps(np.arange(len(mbps), dtype=float), mbps), side)


def _seconds_and_mbps(lines: Sequence[str], side: Side) -> LinkSeries:
    rows = np.array([[float(value) for value in line.split()] for line in lines])
    return _one_way(_steps(rows[:, 0], rows[:, 1]), side)


def _mahimahi(lines: Sequence[str], side: Side) -> LinkSeries:
    times = np.array([int(line) for line in lines])
    if (np.diff(times) < 0).any() or times[0] < 0:
        raise ValueError("milliseconds of packets do not ascend")
    bins = int(times[-1] // MAHIMAHI_MS) + 1
    packets = np.bincount((times // MAHIMAHI_MS).astype(int), minlength=bins).astype(float)
    mbps = packets * MAHIMAHI_BYTES / MAHIMAHI_MS / BYTES_PER_MS
    return _one_way(Steps(np.arange(bins, dtype=float) * MAHIMAHI_MS, mbps, bins * MAHIMAHI_MS), side)


def _round_trips(lines: Sequence[str], side: Side) -> LinkSeries:
    names = lines[0].lower().split()
    delay, begun = names.index("delay(ms)"), names.index("pub_time(ms)")
    rows = np.array([[float(line.split()[index]) for index in (begun, delay)] for line in lines[1:]])
    rows = rows[np.unique(rows[:, 0], return_index=True)[1]]
    return LinkSeries(rtt=_steps(rows[:, 0] / 1e3, rows[:, 1]))


FORMATS_BY_LINE: tuple[tuple[re.Pattern[str], Callable[[Sequence[str], Side], LinkSeries]], ...] = (
    (re.compile(r".*\bdelay\(ms\).*"), _round_trips),
    (re.compile(r"[\d.eE+-]+\s*,\s*[kmg]?bits/sec"), _values_with_units),
    (re.compile(r"\d+"), _mahimahi),
    (re.compile(r"[\d.eE+-]+\s+[\d.eE+-]+"), _seconds_and_mbps),
    (re.compile(r".*"), _named_columns),
)
"""Formats by the first line of a file; the first that fits is taken."""
