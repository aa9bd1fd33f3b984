"""Latency tables: what was observed on one set-up, one JSON line each. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hwnas.errors import TableError
from hwnas.io.fields import FieldError
from hwnas.measure.energy.meter import Energy
from hwnas.measure.memory import Memory
from hwnas.measure.origin import MEASURED, Origin
from hwnas.measure.table_file import append, content_of
from hwnas.measure.table_lines import (
    CheckKey,
    RowKey,
    TableLine,
    damaged,
    empty_table,
    encoded,
    header_line,
    input_form,
    input_text,
    key_of,
    line_of,
    no_table,
    read_header,
    read_line,
    subject_of,
)
from hwnas.measure.timing import Measurement
from hwnas.rows import frame, html_table
from hwnas.runtimes.setup import Setup
from hwnas.words import counted

if TYPE_CHECKING:
    from pandas import DataFrame

OVERHEAD_LINE: Mapping[str, Any] = {"overhead": True}
"""Subject of the overhead's line, as it stands in the table."""


class Knobbed(Protocol):
    """Subject of a row: an operator, or anything with its kind and knobs."""

    @property
    def kind(self) -> str:
        """The operator's name in YAML."""

    @property
    def knobs(self) -> dict[str, Any]:
        """Its settings by name."""


class Linked(Protocol):
    """Subject of a check: a network, or anything that lists its operators with their input shapes."""

    @property
    def links(self) -> Iterable[tuple[Knobbed, tuple[Any, ...]]]:
        """Operators with their input shapes, in order."""


def row_key(operator: Knobbed, input_shape: Iterable[Any]) -> RowKey:
    """Return the key of an operator's row; equal numbers (4 and 4.0) and any dropout make equal keys."""
    return key_of(operator.kind, operator.knobs, input_shape)


def check_key(network: Linked) -> CheckKey:
    """Return the key of a whole network's samples: those of its rows."""
    return tuple(row_key(operator, shape) for operator, shape in network.links)


def row_line(operator: Knobbed, input_shape: Iterable[Any]) -> dict[str, Any]:
    """Return the subject of a row's line, as it stands in the table."""
    return {"op": operator.kind, "knobs": operator.knobs, "input": input_form(input_shape)}


def check_line(network: Linked) -> dict[str, Any]:
    """Return the subject of a check's line, as it stands in the table."""
    return {"network": [[operator.kind, operator.knobs, input_form(shape)] for operator, shape in network.links]}


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
    """Spaces that it was measured for: name -> what opens it; a later reference replaces an earlier one."""
    energy: dict[RowKey | CheckKey | None, Energy] = field(default_factory=dict)
    """Of rows and checks by their keys, and of the overhead (None), where it was measured."""
    memory: dict[RowKey | CheckKey | None, Memory] = field(default_factory=dict)
    """The same for the peak of memory."""
    origin: Origin = MEASURED
    notices: tuple[str, ...] = ()
    """Notices about the file for the user, such as a line that was cut and dropped."""

    def __repr__(self) -> str:
        return (
            f"LatencyTable({self.path.name[:60]!r}, {str(self.origin)[:60]}, {counted(len(self.rows), 'row')}, "
            f"{counted(len(self.checks), 'check')})"
        )

    def frame(self) -> DataFrame:
        """Return a row for each operator and each whole network that was timed, as a pandas frame."""
        return frame(table_rows(self))

    def _repr_html_(self) -> str:
        return html_table(f"Latency table {self.path.name}, {self.origin}", table_rows(self))

    def append_row(
        self, operator: Knobbed, input_shape: Iterable[Any], measurement: Measurement, file_bytes: int | None = None
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
        """Return whether samples of the subject of a `row_line`, a `check_line` or `OVERHEAD_LINE` are stored here."""
        wanted: Any = subject_of(subject)
        if wanted.kind == "overhead":
            return self.overhead is not None
        return wanted.key in (self.rows if wanted.kind == "row" else self.checks)

    def append_space(self, name: str, reference: str) -> None:
        """Store that the table was measured for this space; nothing is written if that is stored already."""
        self.append_lines([{"space": {"name": name, "reference": reference}}])

    def append_lines(self, lines: Iterable[Mapping[str, Any]]) -> int:
        """Store lines as they stand in a table's file, and return how many were new.

        A last line that a kill cut short is cut off the file first.

        Raises:
            FieldError: one is no row, check, overhead or space.
            TableError: the file cannot be written.
        """
        fresh = [line for line in lines if self._take(line_of(line))]
        if fresh:
            append(self.path, b"".join(map(encoded, fresh)), keep=not self.notices)
        return len(fresh)

    def append(self, subject: Mapping[str, Any], measurement: Measurement, file_bytes: int | None = None) -> None:
        """Store the samples of the subject of a `row_line`, a `check_line` or `OVERHEAD_LINE`."""
        line = {**subject, "rounds_ns": list(measurement.rounds_ns), "conditions": dict(measurement.conditions)}
        if file_bytes is not None:
            line["file_bytes"] = file_bytes
        self.append_lines([line])

    def append_energy(self, subject: Mapping[str, Any], energy: Energy) -> None:
        """Store the energy of the subject of a `row_line`, a `check_line` or `OVERHEAD_LINE`."""
        self.append_lines([{**subject, "energy": {"mj": list(energy.mj)}, "conditions": dict(energy.conditions)}])

    def append_memory(self, subject: Mapping[str, Any], memory: Memory) -> None:
        """Store its peak of memory."""
        self.append_lines([{**subject, "memory": {"peak_mb": memory.peak_mb}, "conditions": dict(memory.conditions)}])

    def _take(self, line: TableLine) -> bool:
        """Add one line's content; return False if it stands here already."""
        key: Any = line.subject.key
        value = line.value
        if isinstance(value, str):
            fresh = self.spaces.get(key) != value
            self.spaces[key] = value
            return fresh
        if isinstance(value, Energy):
            return self.energy.setdefault(key, value) is value
        if isinstance(value, Memory):
            return self.memory.setdefault(key, value) is value
        if line.subject.kind == "overhead":
            fresh = self.overhead is None
            if fresh:
                self.overhead, self.overhead_bytes = value, line.file_bytes or 0
            return fresh
        row = line.subject.kind == "row"
        taken, sizes = (self.rows, self.file_bytes) if row else (self.checks, self.check_bytes)
        if line.file_bytes is not None:
            sizes.setdefault(key, line.file_bytes)
        return taken.setdefault(key, value) is value


def table_rows(table: LatencyTable) -> list[dict[str, Any]]:
    """Return a row for each operator, each whole network and the overhead: times with their origin, size, energy,
    memory, and the knobs of an operator."""
    observed: list[tuple[str, Any, Measurement, Any]] = [
        *(("operator", key, taken, table.file_bytes.get(key)) for key, taken in table.rows.items()),
        *(("network", key, taken, table.check_bytes.get(key)) for key, taken in table.checks.items()),
    ]
    if table.overhead is not None:
        observed.append(("overhead", None, table.overhead, table.overhead_bytes or None))
    rows = []
    for kind, key, taken, size in observed:
        op, knobs, shape = key if kind == "operator" else ("", "{}", ())
        energy, memory = table.energy.get(key), table.memory.get(key)
        row: dict[str, Any] = {"kind": kind, "operator": op, "input": input_text(shape)}
        row.update(latency_ms=taken.low_ms, median_ms=taken.median_ms, p90_ms=taken.p90_ms, spread=taken.spread)
        row.update(rounds=len(taken.rounds_ns), origin=table.origin.kind, file_bytes=size)
        row["energy_mj"] = None if energy is None else energy.median_mj
        row["memory_peak_mb"] = None if memory is None else memory.peak_mb
        row["operators"] = len(key) if kind == "network" else None
        rows.append({**row, **{f"knob {name}": value for name, value in json.loads(knobs).items()}})
    return rows


def open_table(path: Path, setup: Setup, origin: Origin = MEASURED) -> LatencyTable:
    """Return the table of this set-up at `path`, to be appended to; it is begun if there is none.

    Raises:
        TableError: the table is damaged, of another set-up or of another origin, or cannot be begun.
    """
    header = header_line(setup, origin)
    begun = content_of(path) if path.exists() else b""
    if begun != header and header.startswith(begun):  # no table yet, or one whose creation was cut short
        append(path, header[len(begun) :])
    return read_table_of(path, setup, origin)


def read_table_of(path: Path, setup: Setup, origin: Origin = MEASURED) -> LatencyTable:
    """Return the table of this set-up at `path`, which must be there; the file is not touched.

    Raises:
        TableError: it cannot be read, or is damaged, of another set-up or of another origin.
    """
    table = read_table(path)
    if table.origin != origin:
        raise TableError(
            f"the table was {table.origin}, what is wanted was {origin}",
            where=str(path),
            allowed="Rows of unlike origin never mix, and only what a processor took counts as a timing",
            do="Use another table, or write into a new file",
        )
    if unlike := table.setup.differences(setup):
        raise TableError(
            f"the table is of another set-up ({'; '.join(unlike)}; first the table's, then this one)",
            where=str(path),
            allowed="Rows of unlike set-ups never mix",
            do="Measure into a new file, or restore the set-up",
        )
    return table


def read_table(path: Path) -> LatencyTable:
    """Return the table at `path`, whatever its set-up; the file is not touched.

    Raises:
        TableError: it cannot be read, is no table, or a line other than the last one is damaged.
    """
    content = content_of(path)
    if not content:
        raise empty_table(path)
    lines = content.split(b"\n")
    cut = lines.pop()
    try:
        setup, origin = read_header(lines[0] if lines else cut)
    except FieldError as error:
        raise no_table(path, error) from error
    table = LatencyTable(path, setup, origin=origin)
    for number, line in enumerate(lines[1:], start=2):
        try:
            table._take(read_line(line))
        except FieldError as error:
            raise damaged(path, number, error) from error
    if cut and lines:
        try:
            table._take(read_line(cut))
        except FieldError:
            table.notices = (f"{path}: the last line was cut short, by a kill perhaps, and is left out",)
    return table
