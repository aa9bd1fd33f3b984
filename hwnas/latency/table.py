"""Latency tables: what was observed on one set-up, one JSON line each. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hwnas.errors import TableError, reason
from hwnas.latency.energy.meter import Energy
from hwnas.latency.file import append, content_of, end_with_a_whole_line
from hwnas.latency.measure import Measurement
from hwnas.latency.memory import Memory
from hwnas.latency.origin import MEASURED, Origin
from hwnas.runtimes.setup import Setup

FORMAT = 2
FORMATS = (1, FORMAT)
"""Formats that are read; format 1 has no origin and no spaces."""
DAMAGE = (AttributeError, KeyError, TypeError, ValueError)
"""What reading a line that is no row, check, overhead or space raises."""
TRAINING_ONLY = frozenset({"dropout"})
"""Knobs that change how an operator is trained and not the file that is timed: rows do not differ by them."""
OVERHEAD_LINE: Mapping[str, Any] = {"overhead": True}
"""What the overhead's line is about, as it stands in the table."""
RowKey = tuple[str, str, tuple[int, ...]]
"""An operator's kind, its knobs as canonical JSON, its input shape."""
CheckKey = tuple[RowKey, ...]
"""The keys of a whole network's rows, in order."""


@dataclass(frozen=True)
class Subject:
    """What a line is about; two lines about one subject are two observations of it."""

    kind: str
    """`row`, `check`, `overhead` or `space`."""
    key: RowKey | CheckKey | str | None = None
    """The row's or check's key, the space's name, None for the overhead."""
    quantity: str = "time"
    """`time`, `energy` or `memory`: each is observed in a line of its own."""


class Knobbed(Protocol):
    """What a row is about: an operator, or anything with its kind and knobs."""

    @property
    def kind(self) -> str:
        """The operator's name in YAML."""

    @property
    def knobs(self) -> dict[str, Any]:
        """Its settings by name."""


class Linked(Protocol):
    """What a check is about: a network, or anything that lists its operators with their input shapes."""

    @property
    def links(self) -> Iterable[tuple[Knobbed, tuple[int, ...]]]:
        """Operators with their input shapes, in order."""


def row_key(operator: Knobbed, input_shape: Iterable[int]) -> RowKey:
    """The key of an operator's row; equal numbers (4 and 4.0) and any dropout make equal keys."""
    return _key(operator.kind, operator.knobs, input_shape)


def check_key(network: Linked) -> CheckKey:
    """The key of a whole network's samples: those of its rows."""
    return tuple(row_key(operator, shape) for operator, shape in network.links)


def row_line(operator: Knobbed, input_shape: Iterable[int]) -> dict[str, Any]:
    """What a row's line is about, as it stands in the table."""
    return {"op": operator.kind, "knobs": operator.knobs, "input": [int(size) for size in input_shape]}


def check_line(network: Linked) -> dict[str, Any]:
    """What a check's line is about, as it stands in the table."""
    return {"network": [[operator.kind, operator.knobs, list(shape)] for operator, shape in network.links]}


def _key(kind: str, knobs: Mapping[str, Any], shape: Iterable[int]) -> RowKey:
    whole = {
        name: int(v) if isinstance(v, float) and v.is_integer() else v
        for name, v in knobs.items()
        if name not in TRAINING_ONLY
    }
    return kind, json.dumps(whole, sort_keys=True), tuple(int(size) for size in shape)


def subject_of(line: Mapping[str, Any]) -> Subject:
    """What a line after the first one is about.

    Raises:
        one of DAMAGE: the line is no row, check, overhead or space.
    """
    quantity = next((name for name in ("energy", "memory") if name in line), "time")
    if "op" in line:
        return Subject("row", _key(line["op"], line["knobs"], line["input"]), quantity)
    if "network" in line:
        return Subject("check", tuple(_key(*link) for link in line["network"]), quantity)
    if "space" in line:
        name, reference = line["space"]["name"], line["space"]["reference"]
        if not (isinstance(name, str) and isinstance(reference, str)):
            raise ValueError("a space's name and reference are text")
        return Subject("space", name)
    if line["overhead"] is not True:
        raise ValueError("`overhead` is always true")
    return Subject("overhead", None, quantity)


@dataclass
class LatencyTable:
    """The rows, checks and overhead of one set-up, and the file that they are appended to.

    Made by `open_table` or `read_table`. Of anything observed twice the first observation stays.
    """

    path: Path
    setup: Setup
    rows: dict[RowKey, Measurement] = field(default_factory=dict)
    checks: dict[CheckKey, Measurement] = field(default_factory=dict)
    overhead: Measurement | None = None
    """An identity model's samples: what a call costs before any operator runs."""
    file_bytes: dict[RowKey, int] = field(default_factory=dict)
    """The size of each operator's model file."""
    check_bytes: dict[CheckKey, int] = field(default_factory=dict)
    """The size of each whole network's model file."""
    overhead_bytes: int = 0
    """The identity model's size: what a file holds beside its operators."""
    spaces: dict[str, str] = field(default_factory=dict)
    """The spaces that it was measured for: name -> what opens it; a later reference replaces an earlier one."""
    energy: dict[RowKey | CheckKey | None, Energy] = field(default_factory=dict)
    """Of rows and checks by their keys, and of the overhead (None), where it was measured."""
    memory: dict[RowKey | CheckKey | None, Memory] = field(default_factory=dict)
    """The same of the peak of memory."""
    origin: Origin = MEASURED
    notices: tuple[str, ...] = ()
    """What the user should know about the file, such as a line that was cut and dropped."""

    def append_row(
        self, operator: Knobbed, input_shape: Iterable[int], measurement: Measurement, file_bytes: int | None = None
    ) -> None:
        """Store an operator's samples, and its file's size if it is known; on return they are on the disk."""
        self.append(row_line(operator, input_shape), measurement, file_bytes)

    def append_check(self, network: Linked, measurement: Measurement, file_bytes: int | None = None) -> None:
        """Store a whole network's samples."""
        self.append(check_line(network), measurement, file_bytes)

    def append_overhead(self, measurement: Measurement, file_bytes: int | None = None) -> None:
        """Store an identity model's samples."""
        self.append(OVERHEAD_LINE, measurement, file_bytes)

    def holds(self, subject: Mapping[str, Any]) -> bool:
        """Whether samples stand here of what a `row_line`, a `check_line` or `OVERHEAD_LINE` is about."""
        found: Any = subject_of(subject)
        if found.kind == "overhead":
            return self.overhead is not None
        return found.key in (self.rows if found.kind == "row" else self.checks)

    def append_space(self, name: str, reference: str) -> None:
        """Store that the table was measured for this space; nothing is written where that stands already."""
        self.append_lines([{"space": {"name": name, "reference": reference}}])

    def append_lines(self, lines: Iterable[Mapping[str, Any]]) -> int:
        """Store lines as they stand in a table's file; how many did not stand here.

        Raises:
            one of DAMAGE: one is no row, check, overhead or space.
        """
        fresh = [line for line in lines if self._take(line)]
        if fresh:
            append(self.path, b"".join(map(encoded, fresh)))
        return len(fresh)

    def append(self, subject: Mapping[str, Any], measurement: Measurement, file_bytes: int | None = None) -> None:
        """Store the samples of what a `row_line`, a `check_line` or `OVERHEAD_LINE` is about."""
        line = {**subject, "rounds_ns": list(measurement.rounds_ns), "conditions": dict(measurement.conditions)}
        if file_bytes is not None:
            line["file_bytes"] = file_bytes
        self.append_lines([line])

    def append_energy(self, subject: Mapping[str, Any], energy: Energy) -> None:
        """Store the energy of what a `row_line`, a `check_line` or `OVERHEAD_LINE` is about."""
        self.append_lines([{**subject, "energy": {"mj": list(energy.mj)}, "conditions": dict(energy.conditions)}])

    def append_memory(self, subject: Mapping[str, Any], memory: Memory) -> None:
        """Store its peak of memory."""
        self.append_lines([{**subject, "memory": {"peak_mb": memory.peak_mb}, "conditions": dict(memory.conditions)}])

    def _take(self, line: Mapping[str, Any]) -> bool:
        """Add one line's content; False if it stands here already.

        Raises:
            one of DAMAGE: the line is no row, check, overhead or space.
        """
        subject = subject_of(line)
        key: Any = subject.key
        if subject.kind == "space":
            reference: str = line["space"]["reference"]
            fresh = self.spaces.get(key) != reference
            self.spaces[key] = reference
            return fresh
        if subject.quantity != "time":
            return self._take_other(key, other_of(line))
        measurement = Measurement(tuple(map(float, line["rounds_ns"])), dict(line["conditions"]))
        size = int(line["file_bytes"]) if "file_bytes" in line else None
        if subject.kind == "overhead":
            fresh = self.overhead is None
            if fresh:
                self.overhead, self.overhead_bytes = measurement, size or 0
            return fresh
        taken, sizes = (self.rows, self.file_bytes) if subject.kind == "row" else (self.checks, self.check_bytes)
        if size is not None:
            sizes.setdefault(key, size)
        return taken.setdefault(key, measurement) is measurement

    def _take_other(self, key: Any, other: Energy | Memory) -> bool:
        """Add what a line tells of energy or memory; False if it stands here already."""
        if isinstance(other, Energy):
            return self.energy.setdefault(key, other) is other
        return self.memory.setdefault(key, other) is other


def other_of(line: Mapping[str, Any]) -> Energy | Memory:
    """What a line of another quantity than time tells.

    Raises:
        one of DAMAGE: it tells no such thing.
    """
    conditions = dict(line["conditions"])
    if "energy" in line:
        return Energy(tuple(map(float, line["energy"]["mj"])), conditions)
    return Memory(float(line["memory"]["peak_mb"]), conditions)


def open_table(path: Path, setup: Setup, origin: Origin = MEASURED) -> LatencyTable:
    """The table of this set-up at `path`, created if there is none; a line that a kill cut short is cut off the file.

    Raises:
        TableError: the table is damaged, of another set-up or of another origin.
    """
    header = header_line(setup, origin)
    begun = content_of(path) if path.exists() else b""
    if begun != header and header.startswith(begun):  # no table yet, or one whose creation was cut short
        append(path, header[len(begun) :])
    table = read_table(path)
    if table.origin != origin:
        raise TableError(
            f"the table was {table.origin}, what is wanted was {origin}", where=str(path),
            allowed="Rows of unlike origin never mix, and only what a processor took counts as a timing",
            do="Use another table, or write into a new file",
        )  # fmt: skip
    if unlike := table.setup.differences(setup):
        raise TableError(
            f"the table is of another set-up ({'; '.join(unlike)}; first the table's, then this one)", where=str(path),
            allowed="Rows of unlike set-ups never mix", do="Measure into a new file, or restore the set-up",
        )  # fmt: skip
    with contextlib.suppress(OSError, TableError):  # a read-only table can be read, and refuses to be appended to
        end_with_a_whole_line(path, keep=not table.notices)
    return table


def read_table(path: Path) -> LatencyTable:
    """The table at `path`, whatever its set-up; the file is not touched.

    Raises:
        TableError: it cannot be read, or a line other than the last one is damaged.
    """
    lines = content_of(path).split(b"\n")
    cut = lines.pop()
    try:
        setup, origin = read_header(lines[0] if lines else cut)
    except DAMAGE as error:
        raise _damaged(path, 1, error) from error
    table = LatencyTable(path, setup, origin=origin)
    for number, line in enumerate(lines[1:], start=2):
        try:
            table._take(json.loads(line))
        except DAMAGE as error:
            raise _damaged(path, number, error) from error
    if cut and lines:
        try:
            table._take(json.loads(cut))
        except DAMAGE:
            table.notices = (f"{path}: the last line was cut short, by a kill perhaps, and is left out",)
    return table


def header_line(setup: Setup, origin: Origin = MEASURED) -> bytes:
    """The first line of a table's file; what was measured by hwnas needs no origin."""
    told = {"origin": vars(origin)} if origin != MEASURED else {}
    return encoded({"hwnas_table": FORMAT, "setup": setup.as_dict(), **told})


def read_header(line: bytes) -> tuple[Setup, Origin]:
    """Set-up and origin from the first line of a table's file.

    Raises:
        one of DAMAGE: the line is no header, or of a format that this version does not know.
    """
    header = json.loads(line)
    if header["hwnas_table"] not in FORMATS:
        raise ValueError(f"format {header['hwnas_table']}, this version of hwnas reads {FORMAT} and older")
    return Setup(**header["setup"]), Origin(**header.get("origin", {}))


def _damaged(path: Path, number: int, error: Exception) -> TableError:
    return TableError(
        f"this line is damaged ({reason(error)})", where=f"{path}:{number}",
        allowed="Line 1 is the set-up; each other line one row, check or overhead with samples above 0, energy or "
        "memory, or a space",
        do="Delete the line to have it measured again, or restore the file",
    )  # fmt: skip


def encoded(line: Mapping[str, Any]) -> bytes:
    """A line of a table's file."""
    return (json.dumps(line, allow_nan=False) + "\n").encode()
