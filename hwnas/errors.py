"""Every error says four things: what was met, where, what is allowed, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class HwnasError(Exception):
    """Base of all errors that hwnas raises on purpose; the command line prints it without a traceback."""

    def __init__(self, met: str, *, where: str, allowed: str, do: str) -> None:
        super().__init__(met)
        self.met, self.where, self.allowed, self.do = met, where, allowed, do

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


class TrainingError(HwnasError, RuntimeError):
    """Training that diverged."""


class NoScore(HwnasError, RuntimeError):
    """A network to which a proxy gives no number."""


class PredictionError(HwnasError, ValueError):
    """Scores or features that nothing can be learned from."""


class ExportError(HwnasError, RuntimeError):
    """A file that could not be made, or that disagrees with PyTorch."""


class SensorError(HwnasError, RuntimeError):
    """A sensor that is not there, or cannot carry a figure."""


class HostAway(HwnasError, RuntimeError):
    """A device that does not answer, or not in time; what it was asked for may well succeed later."""


class MissingExtra(HwnasError, ImportError):
    """An optional package that is not installed."""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The known words as a sentence, led by the nearest one if there is one.

    >>> did_you_mean("kernal", ["kernel", "expand"])
    'Did you mean `kernel`? Known: expand, kernel'
    """
    names = sorted(known)
    near = nearest(word, names)
    return (f"Did you mean `{near}`? " if near else "") + f"Known: {', '.join(names) or 'none'}"


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that is most like another one; None where none is."""
    return next(iter(difflib.get_close_matches(str(word)[:200], list(known), n=1, cutoff=0.6)), None)
