"""Checks of a latency table, hwnas's own or a published one, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hwnas.io.fields import FieldError
from hwnas.latency.linting.findings import Finding, Observed, finding
from hwnas.latency.linting.rules import copies, faster_though_larger
from hwnas.latency.outliers import TimedOperator, Whole, facts_of, name_of, outliers
from hwnas.latency.published.entry import is_duration
from hwnas.latency.published.formats import bytes_of, detect, entries_in, named
from hwnas.measure.drift import drift_factors, reference_ns
from hwnas.measure.table_lines import (
    NewerFormat,
    NoDuration,
    Subject,
    empty_table,
    line_of,
    parsed,
    read_header,
    subject_of,
)
from hwnas.measure.timing import THROTTLED, Measurement
from hwnas.runtimes.setup import Setup
from hwnas.words import counted

NOISY = 0.1
"""A spread above this share of the median, or more than this share of disturbed samples, is reported."""


def lint_tables(paths: Sequence[Path], format: str | None = None) -> list[Finding]:
    """Return all findings about tables, and about copies among them, in the order of files and lines.

    Args:
        format: the published format of all files; detected from each file's content if left out.

    Raises:
        TableError: a file cannot be read, or is of no known format.
        ConfigError: there is no such format.
    """
    findings: list[Finding] = []
    tables: list[list[Observed]] = []
    for path in dict.fromkeys(paths):
        content = bytes_of(path)
        if not content:
            raise empty_table(path)
        text = content.decode(errors="replace")
        name = format or detect(path, text)
        in_table, observed = _own(path, content) if name is None else _published(path, name, text)
        tables.append(observed)
        findings += sorted([*in_table, *faster_though_larger(observed)], key=_line)
    return findings + list(copies(tables))


def _own(path: Path, content: bytes) -> tuple[list[Finding], list[Observed]]:
    """Return the findings in a table of hwnas, line by line, and its rows."""
    first, *lines = content.split(b"\n")
    table = _Own(path, *_header(path, first))
    for number, line in enumerate(lines, start=2):
        last = number == len(lines) + 1
        if last and not line:
            continue
        try:
            table.take(number, line)
        except FieldError as error:
            what = f"the last line is cut short ({error})" if last else f"the line is damaged: {error}"
            table.findings.append(finding("cut" if last else "damage", f"{path}:{number}", what))
    if table.setup is not None and not any(line.strip() for line in lines):
        table.findings.append(finding("empty", f"{path}:1", "no row stands below the set-up"))
    observed = table.observed
    usual_ns = reference_ns(one.measurement for one in table.times if one.subject.kind == "row")
    factors = drift_factors([one.measurement for one in table.times], usual_ns)
    steady = [replace(one, ms=one.ms * factor) for one, factor in zip(observed, factors, strict=True)]
    return [*table.findings, *_outliers(steady)], steady


def _header(path: Path, line: bytes) -> tuple[list[Finding], Setup | None]:
    """Return the findings in a table's first line, and its set-up."""
    where = f"{path}:1"
    try:
        setup, origin = read_header(line)
    except NewerFormat as error:
        return [finding("format", where, str(error))], None
    except FieldError as error:
        no_setup = finding("damage", where, f"no set-up stands here: {error}")
        return [replace(no_setup, do="restore the file: without its set-up no other line counts")], None
    return [finding("emulated", where, f"the table was {origin}")] if origin.kind == "emulated" else [], setup


@dataclass(frozen=True)
class _Timed:
    """A line with samples of time."""

    subject: Subject
    line: Mapping[str, Any]
    measurement: Measurement


@dataclass
class _Own:
    """A table of hwnas that is read line by line, beyond its errors."""

    path: Path
    findings: list[Finding]
    setup: Setup | None
    observed: list[Observed] = field(default_factory=list)
    times: list[_Timed] = field(default_factory=list)
    """The lines of `observed`."""
    _seen: dict[Subject, int] = field(default_factory=dict)

    def take(self, number: int, text: bytes) -> None:
        """Look at one line.

        Raises:
            FieldError: it is no row, check, overhead or space, or not as it was written.
        """
        where, line = f"{self.path}:{number}", parsed(text)
        subject = subject_of(line)
        if subject.kind == "space":
            line_of(line)
            return
        about = _named(line, subject)
        try:
            value = line_of(line).value
        except NoDuration as error:
            self.findings.append(finding("no-duration", where, f"{about}: {error.samples}"))
            value = None
        if subject in self._seen:
            self.findings.append(finding("duplicate", where, f"{about} stands in line {self._seen[subject]} already"))
        self._seen.setdefault(subject, number)
        if isinstance(value, Measurement):
            self.findings += _noise(where, about, value)
            facts = facts_of(line["op"], line["knobs"], line["input"]) if subject.kind == "row" else {}
            times = value.low_ms, value.spread
            self.observed.append(Observed(where, about, subject, *times, facts, value.rounds_ns, self.setup))
            self.times.append(_Timed(subject, line, value))


def _outliers(observed: Sequence[Observed]) -> list[Finding]:
    """Return findings about times that the rest of the table contradicts. Of anything observed twice the first
    observation counts."""
    first = {one.subject: one for one in reversed(observed)}
    rows = [one for one in first.values() if one.subject.kind == "row"][::-1]
    wholes = [one for one in first.values() if one.subject.kind == "check"][::-1]
    overheads = [one for one in first.values() if one.subject.kind == "overhead"]
    places = {one.subject.key: index for index, one in enumerate(rows)}
    off = outliers(
        [TimedOperator(one.about, one.ms, str(one.facts["op"]), one.facts) for one in rows],
        [
            Whole(f"the {one.about} in line {_line_of(one)}", one.ms, tuple(map(places.get, one.subject.key)))
            for one in wholes
        ],
        overheads[0].ms if overheads else None,
    )
    standing = {"row": rows, "check": wholes, "overhead": overheads}
    return [finding(one.rule, standing[one.of][one.place].where, one.what) for one in off]


def _published(path: Path, name: str, text: str) -> tuple[list[Finding], list[Observed]]:
    """Return the findings in a published table, and its values."""
    findings: list[Finding] = []
    observed: list[Observed] = []
    layers: list[str] = []
    seen: dict[str, int] = {}
    for entry in entries_in(path, name, text):
        where = f"{path}:{entry.line}"
        if entry.key in seen and named(name).usual is list:
            findings.append(finding("duplicate", where, f"{entry.key} stands in line {seen[entry.key]} already"))
        seen.setdefault(entry.key, entry.line)
        if entry.absent:
            continue
        if not is_duration(entry.ms):
            findings.append(finding("no-duration", where, f"{entry.key}: {entry.ms:g} ms"))
            continue
        observed.append(Observed(where, entry.key, (name, entry.key), entry.ms, facts=entry.facts))
        layers.append(entry.layer)
    off = outliers(
        [TimedOperator(one.about, one.ms, layer, one.facts) for one, layer in zip(observed, layers, strict=True)]
    )
    findings += [finding(one.rule, observed[one.place].where, one.what) for one in off]
    return findings, observed


def _noise(where: str, about: str, measurement: Measurement) -> list[Finding]:
    """Return the findings about the machine's state during the samples."""
    findings = []
    if (measurement.spread or 0) > NOISY:
        findings.append(finding("spread", where, f"{about}: the samples spread over {measurement.spread:.0%}"))
    disturbed = measurement.conditions.get("disturbed", 0)
    if isinstance(disturbed, int) and disturbed > NOISY * len(measurement.rounds_ns):
        findings.append(
            finding("disturbed", where, f"{about}: {disturbed} of {len(measurement.rounds_ns)} samples are disturbed")
        )
    rounds = measurement.conditions.get(THROTTLED, 0)
    if isinstance(rounds, int) and rounds:
        why = ", ".join(measurement.conditions.get("throttled", ()))
        what = f"{about}: {rounds} of {len(measurement.rounds_ns)} rounds while the machine was throttled ({why})"
        findings.append(finding("throttled", where, what))
    return findings


def _named(line: Mapping[str, Any], subject: Subject) -> str:
    if subject.kind == "row":
        return name_of(line["op"], line["knobs"], line["input"])
    return f"network of {counted(len(line['network']), 'operator')}" if subject.kind == "check" else "overhead"


def _line(one: Finding) -> int:
    return int(one.where.rpartition(":")[2])


def _line_of(one: Observed) -> int:
    return int(one.where.rpartition(":")[2])
