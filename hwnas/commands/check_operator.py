"""Checks of operators that a user names against the contract of operators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import ConfigError, did_you_mean, reason
from hwnas.io.fields import FieldError, loads
from hwnas.ops import OPERATORS, Operator
from hwnas.ops.plugins import classes_of_file, fault_of
from hwnas.registry import member
from hwnas.user_code import read_source

if TYPE_CHECKING:
    from hwnas.testing import Certificate


def certify(reference: str, *, knobs: Sequence[str] = (), sizes: str | None = None) -> list[Certificate]:
    """Check operators against the contract of `hwnas.testing`.

    Args:
        reference: `file.py:Class`, a file for all its operators, or the name of a built-in one.
        knobs: what they are tried with, each as JSON: an object of knobs, or a list of such, the largest first.
        sizes: the input's axes after the channels, such as `14x14`; if left out 8x8, 8 or none, whichever it takes.

    Returns:
        For each operator, the cases that were tried and a verdict for each check.

    Raises:
        ConfigError: there is no such operator, its file raises, or what to try is not understood.

    Example:
        >>> from hwnas import pipeline
        >>> [(one.operator, one.passed) for one in pipeline.certify("conv", knobs=['{"kernel": 1}'])]
        [('conv', True)]
    """
    knob_sets, axes = [_knobs(text) for text in knobs], None if sizes is None else _axes(sizes)
    kinds = _kinds(reference)
    from hwnas.testing import cases_of
    from hwnas.testing import certify as certified

    return [certified(kind, [] if fault_of(kind) else cases_of(kind, knob_sets, axes)) for kind in kinds]


def _kinds(reference: str) -> list[type[Operator]]:
    file, _, name = reference.rpartition(":") if reference.rpartition(":")[0].endswith(".py") else (reference, "", "")
    if not file.endswith(".py"):
        return [member(OPERATORS, file, what="operator", where="hwnas test-operator")]
    try:
        source = read_source(Path(file).expanduser())
    except OSError as error:
        raise ConfigError(
            f"the file cannot be read ({reason(error)})",
            where=file,
            allowed="It is a Python file with operators",
            do="Correct the path",
        ) from error
    classes = {kind.__name__: kind for kind in classes_of_file(source)}
    if name and name not in classes:
        raise ConfigError(
            f"the file has no operator `{name}`", where=file, allowed=did_you_mean(name, classes), do="Correct the name"
        )
    return [classes[name]] if name else list(classes.values())


def _knobs(text: str) -> Any:
    try:
        value = loads(text)
    except FieldError as error:
        raise _no_knobs(text, str(error).removeprefix("it is ")) from error
    objects = value if isinstance(value, list) else [value]
    if not objects or not all(isinstance(one, dict) for one in objects):
        raise _no_knobs(text, "no object of knobs")
    return value


def _no_knobs(text: str, what: str) -> ConfigError:
    return ConfigError(
        f"`{text[:60]}` is {what}",
        where="--knobs",
        allowed='An object such as {"kernel": 3}, or a list of such that differ in sizes alone, the largest first',
        do="Correct it",
    )


def _axes(text: str) -> tuple[int, ...]:
    parts = text.split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(
            f"`{text}` is no size", where="--input", allowed="Axes after the channels, such as 14x14", do="Correct it"
        )
    return tuple(map(int, parts))
