"""Errors of hwnas. Each says four things: the problem, its place, what is allowed, what to do next."""

from __future__ import annotations

import difflib
import json
import os
import pickle
import re
from collections.abc import Iterable
from typing import Any


class HwnasError(Exception):
    """Base of all errors that hwnas raises on purpose; the command line prints it without a traceback.

    Args:
        met: the problem, as a fact about the user's input, without a full stop.
        where: file, key or command that the problem is in.
        allowed: values or conditions that are valid there.
        do: next step for the user.

    Example:
        >>> print(HwnasError("`epochs` is -1", where="train", allowed="It is 1 or more", do="Correct it"))
        train: `epochs` is -1. It is 1 or more. Correct it.
    """

    def __init__(self, met: str, *, where: str, allowed: str, do: str) -> None:
        super().__init__(met)
        self.met, self.where, self.allowed, self.do = met, where if where.strip() else repr(where), allowed, do

    def __str__(self) -> str:
        return f"{self.where}: {self.met}. {self.allowed}. {self.do}."

    def __repr__(self) -> str:
        parts = f"where={self.where!r}, allowed={self.allowed!r}, do={self.do!r}"
        return f"{type(self).__name__}({self.met!r}, {parts})"

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self), self.met, self.where, self.allowed, self.do))


def _rebuild(kind: type[HwnasError], met: str, where: str, allowed: str, do: str) -> HwnasError:
    return kind(met, where=where, allowed=allowed, do=do)


class ConfigError(HwnasError, ValueError):
    """An experiment, a flag or a path that cannot be used."""


class SpaceError(HwnasError, ValueError):
    """A search space or an architecture that does not fit it."""


class DataError(HwnasError, ValueError):
    """A data set that is missing or malformed."""


class TableError(HwnasError, ValueError):
    """A latency table that is damaged, of another set-up, or lacks rows."""


class RunError(HwnasError, RuntimeError):
    """A run folder, a checkpoint or a study that cannot be continued."""


class EmptyFront(HwnasError, RuntimeError):
    """A tier for which no network is left within the limits."""


class TrainingError(HwnasError, RuntimeError):
    """Training that diverged."""


class NoScore(HwnasError, RuntimeError):
    """A network for which a proxy gives no number."""


class PredictionError(HwnasError, ValueError):
    """Scores or features that nothing can be learned from."""


class ExportError(HwnasError, RuntimeError):
    """A file that could not be made, or that disagrees with PyTorch."""


class DiskError(ExportError):
    """A model file or a bundle that the disk or the folder did not take; no network is to blame for it."""


class SensorError(HwnasError, RuntimeError):
    """A sensor that is not there, or cannot carry a figure."""


class HostAway(HwnasError, RuntimeError):
    """A device that does not answer, or not in time; what it was asked for may well succeed later."""


class MissingExtra(HwnasError, ImportError):
    """An optional package that is not installed."""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return the known words as a sentence, led by the nearest one if there is one.

    >>> did_you_mean("kernal", ["kernel", "expand"])
    'Did you mean `kernel`? Known: expand, kernel'
    """
    names = sorted(set(known))
    near = nearest(word, names)
    return (f"Did you mean `{near}`? " if near else "") + f"Known: {', '.join(names) or 'none'}"


def reason(error: BaseException) -> str:
    """Return in one line why something cannot be read, written or reached.

    The line is for a person who may not know Python: it names no class and no error number, and leaves out advice
    that another project gives to its own users.

    >>> reason(KeyError("architecture"))
    '`architecture` is missing'
    >>> reason(OSError(28, "No space left on device"))
    'No space left on device'
    """
    if isinstance(error, HwnasError):
        return f"{error.where}: {error.met}"
    if isinstance(orig := getattr(error, "orig", None), BaseException):  # a driver's own, in SQLAlchemy's
        return reason(orig)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return f"it is no JSON: {error.msg[:1].lower()}{error.msg[1:]} at {line}character {error.colno}"
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, KeyError) and error.args:
        key = str(error.args[0])
        return key if " " in key else f"`{key}` is missing"
    return _first_line(error) or _UNSAID.get(type(error).__name__, "no reason is given")


def raised(error: BaseException) -> str:
    """Return in one line what code that is not hwnas's own raised, as its author knows it; to the first empty line.

    >>> raised(ZeroDivisionError("division by zero"))
    'ZeroDivisionError: division by zero'
    """
    if isinstance(error, HwnasError):
        return str(error)
    line = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).strip().partition("\n\n")[0].split())
    if isinstance(error, OSError) and error.strerror:
        line = error.strerror + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {line[:_LONGEST] or 'no reason is given'}"


_WORDS: dict[type[BaseException], str] = {
    UnicodeDecodeError: "it is no UTF-8 text",
    RecursionError: "it is nested too deeply",
    MemoryError: "memory ran out",
    pickle.UnpicklingError: "it is damaged, or holds more than tensors, numbers and texts",
    TypeError: "a value is of another kind than is needed",
    AttributeError: "a value is of another kind than is needed",
    IndexError: "a list is too short",
}
_UNSAID = {"EOFError": "it ends too early", "TimeoutError": "it took too long"}
_NOISE = re.compile(r"^(\[enforce fail at [^\]]*\] .*?\. (?=\S)|PytorchStreamReader )")
_LONGEST = 300


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's text, and the next one too if it is only a heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    heading = len(lines) > 1 and lines[0].endswith(":")
    return _NOISE.sub("", " ".join(lines[: 2 if heading else 1]))[:_LONGEST]


def nameless() -> str:
    """Return the place of a system's error that names no file."""
    return f"standard output, or temporary files in {os.environ.get('TMPDIR', '/tmp')}"


def nearest(word: object, known: Iterable[str]) -> str | None:
    """Return the known word that is most like another one, or the only one that begins with it; None if none is.

    >>> nearest("onnx", ["onnxruntime", "tflite"])
    'onnxruntime'
    """
    names, text = list(known), str(word)[:200]
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.6)
    longer = [name for name in names if len(text) > 2 and name.startswith(text)]
    return close[0] if close else longer[0] if len(longer) == 1 else None
