"""What is wrong with a latency table, hwnas's own or a published one, line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.errors import reason
from hwnas.latency.comparing import copies, faster_though_larger
from hwnas.latency.drift import drift_factors
from hwnas.latency.findings import Finding, Observed, finding
from hwnas.latency.measure import REFERENCE, THROTTLED, Measurement
from hwnas.latency.published.formats import bytes_of, detect, named
from hwnas.latency.published.importing import is_duration
from hwnas.latency.table import DAMAGE, Subject, other_of, read_header, subject_of
from hwnas.runtimes.setup import Setup
from hwnas.words import counted

NOISY = 0.1
"""A spread above this share of the median, or more than this share of disturbed samples, is told."""


def lint_tables(paths: Sequence[Path], format: str | None = None) -> list[Finding]:
    """All findings about tables, and about copies among them, in the order of files and lines.

    Args:
        format: the published format of all files; told from each file's content if left out.

    Raises:
        TableError: a file cannot be read, or is of no known format.
        ConfigError: there is no such format.
    """
    findings: list[Finding] = []
    tables: list[list[Observed]] = []
    for path in dict.fromkeys(paths):
        content = bytes_of(path)
        text = content.decode(errors="replace")
        name = format or detect(path, text)
        found, observed = _own(path, content) if name is None else _published(path, name, text)
        tables.append(observed)
        findings += sorted([*found, *faster_though_larger(observed)], key=_line)
    return findings + list(copies(tables))


def _own(path: Path, content: bytes) -> tuple[list[Finding], list[Observed]]:
    """Findings in a table of hwnas, line by line, and its rows."""
    findings: list[Finding] = []
    observed: list[Observed] = []
    seen: dict[Subject, int] = {}
    measured: list[Measurement] = []
    setup: Setup | None = None
    first, *lines = content.split(b"\n")
    try:
        setup, origin = read_header(first)
        if origin.kind == "emulated":
            findings.append(finding("emulated", f"{path}:1", f"the table was {origin}"))
    except DAMAGE as error:
        findings.append(finding("damage", f"{path}:1", f"no set-up stands here ({reason(error)})"))
    for number, line in enumerate(lines, start=2):
        where, last = f"{path}:{number}", number == len(lines) + 1
        if last and not line:
            continue
        try:
            parsed = json.loads(line)
            subject = subject_of(parsed)
            if subject.kind == "space":
                continue
            about, facts = _named(parsed, subject), _facts(parsed) if subject.kind == "row" else {}
            samples, conditions = _observation(parsed, subject)
        except DAMAGE as error:
            what = "the last line is cut short" if last else f"the line is damaged ({reason(error)})"
            findings.append(finding("cut" if last else "damage", where, what))
            continue
        if subject in seen:
            findings.append(finding("duplicate", where, f"{about} stands in line {seen[subject]} already"))
        seen.setdefault(subject, number)
        if bad := [ns for ns in samples if not is_duration(ns)]:
            findings.append(
                finding("no-duration", where, f"{about}: {len(bad)} of {len(samples)} samples, {bad[0]:g} ns")
            )
            continue
        if subject.quantity != "time":
            continue
        measurement = Measurement(samples, conditions)
        findings += _noise(where, about, measurement)
        measured.append(measurement)
        observed.append(Observed(where, about, subject, measurement.low_ms, measurement.spread, facts, samples, setup))
    factors = drift_factors(measured)
    return findings, [replace(one, ms=one.ms * factor) for one, factor in zip(observed, factors, strict=True)]


def _published(path: Path, name: str, text: str) -> tuple[list[Finding], list[Observed]]:
    """Findings in a published table, and its values."""
    findings: list[Finding] = []
    observed: list[Observed] = []
    seen: dict[str, int] = {}
    for entry in named(name).read(str(path), text):
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
    return findings, observed


def _observation(line: Mapping[str, Any], subject: Subject) -> tuple[tuple[float, ...], dict[str, Any]]:
    """Samples and conditions of a line, no samples where it tells of energy or memory; raises ValueError if there are
    none, or the reference's are no durations."""
    conditions = dict(line["conditions"])
    if subject.quantity != "time":
        other_of(line)
        return (), conditions
    samples = tuple(map(float, line["rounds_ns"]))
    if not samples:
        raise ValueError("there are no samples")
    if not all(is_duration(float(ns)) for ns in conditions.get(REFERENCE, [])):
        raise ValueError(f"`{REFERENCE}` holds what is no duration")
    return samples, conditions


def _noise(where: str, about: str, measurement: Measurement) -> list[Finding]:
    """What the samples tell of the machine."""
    found = []
    if (measurement.spread or 0) > NOISY:
        found.append(finding("spread", where, f"{about}: the samples spread over {measurement.spread:.0%}"))
    disturbed = measurement.conditions.get("disturbed", 0)
    if isinstance(disturbed, int) and disturbed > NOISY * len(measurement.rounds_ns):
        found.append(
            finding("disturbed", where, f"{about}: {disturbed} of {len(measurement.rounds_ns)} samples are disturbed")
        )
    rounds = measurement.conditions.get(THROTTLED, 0)
    if isinstance(rounds, int) and rounds:
        why = ", ".join(measurement.conditions.get("throttled", ()))
        said = f"{about}: {rounds} of {len(measurement.rounds_ns)} rounds while the machine was throttled ({why})"
        found.append(finding("throttled", where, said))
    return found


def _named(line: Mapping[str, Any], subject: Subject) -> str:
    if subject.kind == "row":
        knobs = " ".join(f"{name}={value}" for name, value in line["knobs"].items())
        return f"{line['op']} {knobs} at {'x'.join(map(str, line['input']))}"
    return f"network of {counted(len(line['network']), 'operator')}" if subject.kind == "check" else "overhead"


def _facts(line: Mapping[str, Any]) -> dict[str, Any]:
    """A row's operator and its input by name."""
    channels, *sizes = line["input"]
    named = dict(zip(("height", "width"), sizes, strict=True)) if len(sizes) == 2 else {"sizes": str(sizes)}
    return {"op": line["op"], "in_channels": channels, **line["knobs"], **named}


def _line(found: Finding) -> int:
    return int(found.where.rpartition(":")[2])
