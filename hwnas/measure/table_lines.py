"""The lines of a latency table's file: what each is about, read strictly, and written with a checksum. Board side:
Python 3.9 syntax, no torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hwnas.errors import TableError
from hwnas.io.checksum import Changed, sealed, unsealed
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.measure.energy.meter import Energy
from hwnas.measure.memory import Memory
from hwnas.measure.origin import MEASURED, Origin
from hwnas.measure.timing import REFERENCE_CONDITION, THROTTLED, Measurement
from hwnas.runtimes.setup import Setup

TABLE_FORMAT = 2
READABLE_FORMATS = (1, TABLE_FORMAT)
"""Formats that are read; format 1 has no origin and no spaces."""
SHORTEST_NS, LONGEST_NS = 1e-3, 3.6e12
"""The times that a call can take: from a thousandth of a nanosecond, less than a clock cycle, to an hour."""
MOST_MJ, MOST_MB, MOST_BYTES = 1e12, 1e9, 2**60
"""No call takes more energy, no network more memory and no file more room."""
TRAINING_ONLY = frozenset({"dropout"})
"""Knobs that change how an operator is trained and not the file that is timed: rows do not differ by them."""
LINE_CHECKSUM = re.compile(rb', "crc32": "[0-9a-f]{8}"\}$', re.MULTILINE)
"""A line's checksum as it is written, and the end of the line."""
RowKey = tuple[str, str, tuple[Any, ...]]
"""An operator's kind, its knobs as canonical JSON, its input shape: sizes of one float32 tensor; of several tensors, or
of other numbers, a tuple of sizes, dtype and bound for each."""
CheckKey = tuple[RowKey, ...]
"""The keys of a whole network's rows, in order."""


class NewerFormat(FieldError):
    """A table's first line is of a format that only a later version of hwnas reads."""


class NoDuration(FieldError):
    """Samples that cannot be times of a call."""

    def __init__(self, samples: tuple[float, ...]) -> None:
        bad = [ns for ns in samples if not SHORTEST_NS <= ns <= LONGEST_NS]
        self.samples = f"{len(bad)} of {len(samples)} samples, {bad[0]:g} ns"
        """Number of bad samples, and the first one."""
        super().__init__(f"`rounds_ns`: {self.samples}; a call takes {SHORTEST_NS:g} ns to {LONGEST_NS:g} ns")


@dataclass(frozen=True)
class Subject:
    """The subject of a line; two lines about one subject are two observations of it."""

    kind: str
    """`row`, `check`, `overhead` or `space`."""
    key: RowKey | CheckKey | str | None = None
    """The row's or check's key, the space's name, None for the overhead."""
    quantity: str = "time"
    """`time`, `energy` or `memory`: each is observed in a line of its own."""


@dataclass(frozen=True)
class TableLine:
    """A line after the first one."""

    subject: Subject
    value: Measurement | Energy | Memory | str
    """Observed value; of a space its reference."""
    file_bytes: int | None = None


def key_of(kind: str, knobs: Mapping[str, Any], shape: Iterable[Any]) -> RowKey:
    """Return the key of an operator's row; equal numbers (4 and 4.0) and any dropout make equal keys."""
    whole = {
        name: int(v) if isinstance(v, float) and v.is_integer() else v
        for name, v in knobs.items()
        if name not in TRAINING_ONLY
    }
    return kind, json.dumps(whole, sort_keys=True), tuple(_input_part(part) for part in shape)


def input_form(shape: Iterable[Any]) -> list[Any]:
    """Return an input shape as a line has it: sizes of one float32 tensor; of several tensors, or of other numbers, a
    list of sizes or an object with `shape`, `dtype` and `below` for each."""
    forms: list[Any] = []
    for part in map(_input_part, shape):
        if isinstance(part, int):
            forms.append(part)
        elif part[1:] == ("float32", None):
            forms.append(list(part[0]))
        else:
            sizes, dtype, below = part
            forms.append({"shape": list(sizes), "dtype": dtype, **({} if below is None else {"below": below})})
    return forms


def input_text(shape: Iterable[Any]) -> str:
    """Return an input shape in the usual notation, such as `3x32x32`, and of several tensors `1x50 + 3`."""
    parts = [_input_part(part) for part in shape]
    if not any(isinstance(part, tuple) for part in parts):
        return "x".join(map(str, parts))
    return " + ".join("x".join(map(str, part[0])) + ("" if part[1] == "float32" else f" {part[1]}") for part in parts)


def _input_part(part: Any) -> Any:
    """Return a size, or a tensor as (sizes, dtype, bound): of a line, a key or a network."""
    if isinstance(part, Mapping):
        return tuple(part["shape"]), part.get("dtype", "float32"), part.get("below")
    if isinstance(part, (list, tuple)):
        return tuple(part) if isinstance(part[0], tuple) else (tuple(part), "float32", None)
    if hasattr(part, "below"):  # a tensor's specification
        return tuple(part.shape), part.dtype, part.below
    return int(part)


def encoded(line: Mapping[str, Any]) -> bytes:
    """Return a line of a table's file, with its checksum."""
    return (json.dumps(sealed(line), allow_nan=False) + "\n").encode()


def without_seals(content: bytes) -> bytes:
    """Return a table's file as it would be without checksums: equal for equal lines, whichever version wrote them."""
    return LINE_CHECKSUM.sub(b"}", content)


def parsed(text: bytes) -> dict[str, Any]:
    """Return the object in a line, its checksum checked and taken off.

    Raises:
        FieldError: the line is no JSON object, or was changed after it was written.
    """
    try:
        raw = loads(text, constants=True)  # a NaN is told with the field that it stands in
        return unsealed(Fields(raw).raw)
    except RecursionError:
        raise FieldError("it is nested too deeply") from None


def read_line(text: bytes) -> TableLine:
    """Read a line after the first one.

    Raises:
        FieldError: it is no row, check, overhead or space, or not as it was written.
    """
    return line_of(parsed(text))


def line_of(raw: Mapping[str, Any]) -> TableLine:
    """Read the same from a line's object.

    Raises:
        FieldError: it is no row, check, overhead or space.
        NoDuration: it is, but for its samples.
    """
    line, subject = Fields(raw), subject_of(raw)
    if subject.kind == "space":
        return TableLine(subject, _plain(line.object("space"), "reference"))
    conditions = _conditions(line)
    if subject.quantity == "energy":
        energies = line.object("energy")
        _within(_numbers(energies, "mj"), energies.at("mj"), 0, MOST_MJ)
        return TableLine(subject, _made(Energy, energies.numbers("mj"), conditions))
    if subject.quantity == "memory":
        memory = line.object("memory")
        _within([memory.number("peak_mb")], memory.at("peak_mb"), 0, MOST_MB)
        return TableLine(subject, _made(Memory, memory.number("peak_mb"), conditions))
    size = line.integer("file_bytes") if "file_bytes" in line else None
    if size is not None:
        _within([size], "file_bytes", 0, MOST_BYTES)
    return TableLine(subject, _made(Measurement, _samples(line), conditions), size)


def subject_of(raw: Mapping[str, Any]) -> Subject:
    """Return the subject of a line after the first one; nothing else of it is looked at.

    Raises:
        FieldError: it is about no row, check, overhead or space.
    """
    line = Fields(raw)
    quantity = next((name for name in ("energy", "memory") if name in line), "time")
    if "op" in line:
        return Subject("row", _key((line.value("op"), line.value("knobs"), line.value("input")), ""), quantity)
    if "network" in line:
        links = _list(line.value("network"), "network")
        return Subject("check", tuple(_link(link, f"network[{n}]") for n, link in enumerate(links)), quantity)
    if "space" in line:
        return Subject("space", _plain(line.object("space"), "name"))
    if "overhead" not in line:
        raise FieldError("it is about no operator (`op`), `network`, `overhead` or `space`")
    if line.raw["overhead"] is not True:
        raise FieldError("`overhead` is always true")
    return Subject("overhead", None, quantity)


def _link(link: object, at: str) -> RowKey:
    parts = _list(link, at)
    if len(parts) != 3:
        raise FieldError(f"`{at}` holds {len(parts)} values, operator, knobs and input are needed")
    return _key(parts, f"{at}.")


def _key(link: Sequence[Any], trail: str) -> RowKey:
    kind, knobs, shape = link
    if not isinstance(kind, str):
        raise FieldError(f"`{trail}op` is no text")
    named = Fields(knobs, f"{trail}knobs")
    _refuse_odd(named.raw, f"{trail}knobs")
    parts = _list(shape, f"{trail}input")
    several = any(isinstance(part, (list, tuple, dict)) for part in parts)
    for part in parts if several else [parts]:
        _check_tensor(part, f"{trail}input")
    return key_of(kind, named.raw, parts)


def _check_tensor(tensor: object, at: str) -> None:
    """Refuse what is no list of sizes, and no object with one."""
    sizes: object = tensor
    if isinstance(tensor, dict):
        sizes, dtype, below = tensor.get("shape"), tensor.get("dtype"), tensor.get("below", 1)
        if not isinstance(dtype, str) or isinstance(below, bool) or not isinstance(below, int) or below < 1:
            raise FieldError(f"`{at}` holds a tensor without `dtype`, or with a `below` that is no number above 0")
    for size in _list(sizes, at):
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size < 2**31:
            raise FieldError(f"`{at}` holds what is no size, whole numbers above 0 are needed")


def _list(value: object, at: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or not value:
        raise FieldError(f"`{at}` is no list of one or more values")
    return value


def _plain(line: Fields, name: str) -> str:
    """Return a text that can be a file's name."""
    text = line.text(name)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FieldError(f"`{line.at(name)}` holds half a character") from None
    if "\0" in text:
        raise FieldError(f"`{line.at(name)}` holds a null character")
    return text


def _conditions(line: Fields) -> dict[str, Any]:
    """Return what the machine was doing; values that hwnas computes with are checked, the rest is kept as it is."""
    conditions = line.object("conditions")
    _refuse_odd(conditions.raw, "conditions")
    if conditions.optional(REFERENCE_CONDITION):
        value = conditions.value(REFERENCE_CONDITION)
        times = (
            _numbers(conditions, REFERENCE_CONDITION)
            if isinstance(value, list)
            else [conditions.number(REFERENCE_CONDITION)]
        )
        _within(times, conditions.at(REFERENCE_CONDITION), SHORTEST_NS, LONGEST_NS)
    for name in (THROTTLED, "disturbed"):
        if name in conditions:
            _within([conditions.integer(name)], conditions.at(name), 0, LONGEST_NS)
    if "throttled" in conditions:
        conditions.object("throttled")
    if "error" in conditions:
        _within([conditions.number("error")], conditions.at("error"), 0, 1)
    return dict(conditions.raw)


def _samples(line: Fields) -> tuple[float, ...]:
    """Return nanoseconds per call."""
    values = _numbers(line, "rounds_ns")
    samples = tuple(float(ns) if ns < MOST_BYTES else math.inf for ns in values)
    if not all(SHORTEST_NS <= ns <= LONGEST_NS for ns in samples):
        raise NoDuration(samples)
    return samples


def _numbers(line: Fields, name: str) -> Sequence[float]:
    """Return one or more numbers; the loop over fields is left to lists that are wrong."""
    values = line.array(name)
    if not values:
        raise FieldError(f"`{line.at(name)}` is empty")
    return values if {type(value) for value in values} <= {int, float} else line.numbers(name)


def _within(values: Iterable[float], at: str, least: float, most: float) -> None:
    if not all(least <= value <= most for value in values):
        raise FieldError(f"`{at}` is not between {least:g} and {most:g}")


def _refuse_odd(value: Mapping[str, Any], at: str) -> None:
    """Refuse numbers that nothing can be computed with, however deep they stand."""
    todo: list[Any] = [dict(value)]
    while todo:
        one = todo.pop()
        if isinstance(one, float):
            if not math.isfinite(one):
                raise FieldError(f"`{at}` holds a number that is not finite")
        elif isinstance(one, int):
            if abs(one) >= 2**63:
                raise FieldError(f"`{at}` holds a number that is too large")
        elif isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, (list, tuple)):
            todo += one


def _made(kind: Any, *values: Any) -> Any:
    """Return the measurement; violations of its rules are reported as those of a field."""
    try:
        return kind(*values)
    except ValueError as error:
        raise FieldError(str(error)) from error


def header_line(setup: Setup, origin: Origin = MEASURED) -> bytes:
    """Return the first line of a table's file; what was measured by hwnas needs no origin."""
    about = {"origin": vars(origin)} if origin != MEASURED else {}
    return encoded({"hwnas_table": TABLE_FORMAT, "setup": setup.as_dict(), **about})


def read_header(text: bytes) -> tuple[Setup, Origin]:
    """Return set-up and origin from the first line of a table's file.

    Raises:
        FieldError: the line is no set-up, or not as it was written.
        NewerFormat: a later version of hwnas wrote it.
    """
    raw = Fields(loads(text))
    if "hwnas_table" not in raw:
        raise FieldError("it has no `hwnas_table`")
    number = raw.integer("hwnas_table")
    if number > TABLE_FORMAT:
        raise NewerFormat(f"the table is of format {number}, this version of hwnas reads up to format {TABLE_FORMAT}")
    if number not in READABLE_FORMATS:
        raise FieldError(f"there is no format {number}")
    content = Fields(parsed(text))
    return _setup(content.object("setup")), _origin(content)


def _setup(line: Fields) -> Setup:
    known = {field.name: field for field in fields(Setup)}
    if unknown := [name for name in line.names() if name not in known]:
        raise FieldError(f"`{line.at(unknown[0])}` is no field of a set-up")
    values: dict[str, Any] = {}
    for name in [name for name in known if name in line or name in ("device", "runtime", "runtime_version")]:
        values[name] = line.integer(name) if name in ("threads", "batch") else _plain(line, name)
        if name in ("threads", "batch"):
            _within([values[name]], line.at(name), 1, 2**31)
    return Setup(**values)


def _origin(line: Fields) -> Origin:
    if "origin" not in line:
        return MEASURED
    known, origin = {field.name for field in fields(Origin)}, line.object("origin")
    if unknown := [name for name in origin.names() if name not in known]:
        raise FieldError(f"`{origin.at(unknown[0])}` is no field of an origin")
    values = {name: _plain(origin, name) for name in origin.names()}
    return _made(lambda: Origin(**values))  # type: ignore[no-any-return]


def no_table(path: Path, error: FieldError) -> TableError:
    """Return the error of a file whose first line is no set-up that this version reads."""
    if isinstance(error, NewerFormat):
        return TableError(
            str(error),
            where=f"{path}:1",
            allowed="A table is read by the version that wrote it, and by later ones",
            do="Install a newer version of hwnas: `pip install --upgrade hwnas`; the table is as it should be",
        )
    if isinstance(error, Changed):
        return TableError(
            f"the set-up is damaged: {error}",
            where=f"{path}:1",
            allowed="Line 1 is the set-up, as it was written; without it no other line counts",
            do="Restore the file, or measure into a new one",
        )
    return TableError(
        f"the file is no latency table: its first line is no set-up ({error})",
        where=f"{path}:1",
        allowed="A file of JSON lines that `hwnas bench` wrote, line 1 the set-up",
        do="Name another file, or restore this one; published tables are brought in by `hwnas bench import`",
    )


def empty_table(path: Path) -> TableError:
    """Return the error of a file without a line."""
    return TableError(
        "the file is empty",
        where=str(path),
        allowed="A table's first line is its set-up",
        do="Name another table, or have this one measured by `hwnas bench`",
    )


def damaged(path: Path, number: int, error: FieldError) -> TableError:
    """Return the error of a line after the first one."""
    return TableError(
        f"this line is damaged: {error}",
        where=f"{path}:{number}",
        allowed="Line 1 is the set-up; each other line one row, check or overhead with samples above 0, energy or "
        "memory, or a space, as it was written",
        do="Delete the line to have it measured again, or restore the file",
    )
