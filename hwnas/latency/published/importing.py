"""Converting published tables to tables of hwnas: rows of one sample each, with source and licence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, TableError
from hwnas.latency.published.entry import PublishedEntry, Row, is_duration, refusing_odd
from hwnas.latency.published.formats import UNKNOWN, PublishedFormat, named, read_entries
from hwnas.measure.origin import Origin
from hwnas.measure.table import LatencyTable, read_table, row_key
from hwnas.measure.table_file import create, refuse_existing
from hwnas.measure.table_lines import RowKey, encoded, header_line
from hwnas.runtimes.setup import Setup
from hwnas.words import brief, counted

SHOWN_ENTRIES = 5
"""Number of examples that a message spells out."""


@brief
@dataclass(frozen=True)
class Imported:
    """Result of an import."""

    table: LatencyTable
    notices: tuple[str, ...]
    """Notices about values that did not become rows, with counts."""


def import_tables(
    paths: Sequence[Path],
    out: Path,
    *,
    format: str,
    source: str | None = None,
    licence: str | None = None,
    drop_bad: bool = False,
    **setup: Any,
) -> Imported:
    """Write the rows of published files of one set-up to a new table.

    Args:
        format: a key of `PUBLISHED_FORMATS` that can be imported.
        source, licence: whose the numbers are and what may be done with them; the format's own if left out.
        drop_bad: leave values that are no durations out, with a notice, instead of refusing the file.
        setup: fields of `Setup`; what is left out is the format's usual, else unknown.

    Raises:
        TableError: a file cannot be read, a value is no duration, nothing is an operator of hwnas, or `out` exists.
        ConfigError: there is no such format, or it is for linting only.
    """
    refuse_existing(out)
    kind = named(format)
    if not kind.rows:
        raise ConfigError(
            f"tables of the format `{format}` are not imported",
            where="--format",
            allowed="Their keys stand for no operators of hwnas; `hwnas bench lint` reads them",
            do="Lint it instead",
        )
    valid = Setup(**{"device": UNKNOWN, "runtime": UNKNOWN, "runtime_version": UNKNOWN, **kind.setup, **setup})
    files, notices = _known({path: read_entries(path, format) for path in paths}, drop_bad=drop_bad)
    where = ", ".join(map(str, paths))
    merged = _Merged()
    with refusing_odd(where):
        for entries in files.values():
            merged.add(kind, entries, valid.batch)
    if not merged.rows:
        raise TableError(
            f"none of {merged.layers.total():,} values is that of an operator of hwnas ({_counted(merged.layers)})",
            where=where,
            allowed=f"A table of the format `{format}` at batch {valid.batch}",
            do="Check --format and --batch",
        )
    notices += merged.notices(valid.batch)
    origin = Origin("published", source or kind.source, licence or kind.licence, format)
    create(out, header_line(valid, origin) + b"".join(map(_line, merged.rows.values())))
    return Imported(read_table(out), tuple(notices))


@dataclass
class _Merged:
    """Rows of several files, the first one of each operator, and what did not become a row."""

    rows: dict[RowKey, Row] = field(default_factory=dict)
    unlike: int = 0
    layers: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)

    def add(self, kind: PublishedFormat, entries: Sequence[PublishedEntry], batch: int) -> None:
        """Take in the entries of a file."""
        usual = kind.usual(entries)
        mine = [entry for entry in usual if entry.facts.get("batch", batch) == batch]
        mapped = [row for row in (*_alone(mine), *kind.compose(mine)) if is_duration(row.ms)]
        self.unlike += sum(self.rows.setdefault(row_key(*row.link), row).ms != row.ms for row in mapped)
        used = {id(part) for row in mapped for part in row.parts}
        self.layers.update(entry.layer for entry in usual)
        self.unused.update(entry.layer for entry in usual if id(entry) not in used)

    def notices(self, batch: int) -> Iterator[str]:
        """Yield what is to be known about values that were left out."""
        if self.unused:
            yield (
                f"{self.unused.total():,} of {self.layers.total():,} values stand for no operator of hwnas at batch "
                f"{batch} and are not in the table: {_counted(self.unused)}"
            )
        if self.unlike:
            yield (
                f"{counted(self.unlike, 'operator')} {'has' if self.unlike == 1 else 'have'} several values; the first "
                "ones are used. Where files are of one resolution each, import each into a table of its own"
            )


def _alone(entries: Iterable[PublishedEntry]) -> Iterable[Row]:
    return (Row(link, (entry,)) for entry in entries for link in entry.links)


def _line(row: Row) -> bytes:
    operator, shape = row.link
    about = {"op": operator.kind, "knobs": operator.knobs, "input": list(shape)}
    return encoded({**about, "rounds_ns": [row.ms * 1e6], "conditions": row.conditions})


def _known(
    files: Mapping[Path, list[PublishedEntry]], *, drop_bad: bool
) -> tuple[dict[Path, list[PublishedEntry]], list[str]]:
    """Return the entries that are durations, and notices about the others.

    Raises:
        TableError: there are values that are no durations, and they are not to be dropped.
    """
    present = {path: [entry for entry in entries if not entry.absent] for path, entries in files.items()}
    bad = [
        f"{path}:{entry.line}: {entry.key}: {entry.ms:g} ms"
        for path, entries in present.items()
        for entry in entries
        if not is_duration(entry.ms)
    ]
    absent = sum(map(len, files.values())) - sum(map(len, present.values()))
    notices = [f"{absent:,} values are marked as having no result"] if absent else []
    if bad and not drop_bad:
        raise TableError(
            f"{len(bad)} values are no durations: {'; '.join(bad)}",
            where=", ".join(map(str, files)),
            allowed="A latency is a finite number above 0",
            do="Find out why, or leave these values out with --drop-bad",
        )
    if bad:
        notices.append(f"{len(bad)} values are no durations and are left out: {'; '.join(bad)}")
    return {path: [entry for entry in entries if is_duration(entry.ms)] for path, entries in present.items()}, notices


def _counted(layers: Counter[str]) -> str:
    ranked = layers.most_common()
    more = f", and {len(ranked) - SHOWN_ENTRIES} kinds more" if len(ranked) > SHOWN_ENTRIES else ""
    return ", ".join(f"{count:,} {layer}" for layer, count in ranked[:SHOWN_ENTRIES]) + more
