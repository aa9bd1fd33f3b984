"""Merging several tables of one set-up into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import TableError
from hwnas.io.fields import FieldError
from hwnas.measure.table import LatencyTable, open_table, read_table
from hwnas.measure.table_file import content_of, create, refuse_existing
from hwnas.measure.table_lines import Subject, encoded, header_line, line_of, parsed, subject_of
from hwnas.words import brief


@brief
@dataclass(frozen=True)
class Merged:
    """Result of a merge."""

    table: LatencyTable
    alike: int
    """Lines that stood in more than one place, the same each time."""
    again: int
    """Subjects' further observations, which are left out: of anything observed twice the first one stays."""
    notices: tuple[str, ...]


def merge_tables(paths: Sequence[Path], out: Path) -> Merged:
    """Write the union of tables to a new file: rows, checks, overhead and spaces, in the tables' order.

    Lines are kept as they stand, conditions included; those without a checksum get one. Merging is associative, and a
    table merged with itself is itself.

    Raises:
        TableError: a table is damaged, its set-up or origin is unlike the first one's, or `out` exists.
    """
    refuse_existing(out)
    tables = [read_table(path) for path in paths]
    for other in tables[1:]:
        _refuse_unlike(tables[0], other)
    spaces: dict[str, str] = {}
    for table in tables:
        spaces = {**table.spaces, **spaces}
    kept: dict[Subject, dict[str, Any]] = {}
    alike = again = 0
    for line in (line for path in paths for line in _lines(path)):
        subject = subject_of(line)
        if subject.kind == "space":
            line = {"space": {"name": subject.key, "reference": spaces[str(subject.key)]}}
        first = kept.setdefault(subject, line)
        if first is line or subject.kind == "space":
            continue
        if _observed(first) == _observed(line):
            alike += 1
        else:
            again += 1
        if "file_bytes" in line:
            first.setdefault("file_bytes", line["file_bytes"])
    create(out, header_line(tables[0].setup, tables[0].origin) + b"".join(map(encoded, kept.values())))
    return Merged(read_table(out), alike, again, tuple(notice for table in tables for notice in table.notices))


def add_table(source: Path, path: Path) -> int:
    """Add to a table what it lacks of another one of its set-up and origin, and return the number of lines added. Where
    there is no table yet, one is made.

    Raises:
        TableError: a table is damaged, or their set-ups or origins are unlike.
    """
    source_table = read_table(source)
    if not path.exists():
        create(path, header_line(source_table.setup, source_table.origin))
    table = read_table(path)
    _refuse_unlike(table, source_table)
    return open_table(path, table.setup, table.origin).append_lines(_lines(source))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines after the first one of a table that can be read, without a last one that was cut short."""
    *whole, last = content_of(path).split(b"\n")[1:] or [b""]
    yield from map(parsed, whole)
    try:
        line = parsed(last)
        line_of(line)
    except FieldError:
        return
    yield line


def _observed(line: dict[str, Any]) -> tuple[Any, Any]:
    return line.get("rounds_ns") or line.get("energy") or line["memory"], line["conditions"]


def _refuse_unlike(one: LatencyTable, other: LatencyTable) -> None:
    unlike = one.setup.differences(other.setup)
    if one.origin != other.origin:
        unlike.append(f"origin: {one.origin} / {other.origin}")
    if unlike:
        raise TableError(
            f"the tables are of unlike set-ups ({'; '.join(unlike)})",
            where=f"{one.path} / {other.path}",
            allowed="Tables of one device, runtime, version, threads, precision, batch and origin are merged",
            do="Keep them apart: a set-up of an experiment names its own table",
        )
