"""Scores from a user's function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hwnas.accuracy.source import AccuracyContext
from hwnas.errors import ConfigError, HwnasError, RunError, raised
from hwnas.network import Network
from hwnas.registry import named, place_of, read_source
from hwnas.space import Architecture

FORM = "The function is handed an architecture and its network, and returns a number; high is good"


@final
@dataclass(frozen=True)
class FunctionAccuracy:
    """Score that `function(architecture, network)` returns; `hwnas.build(network)` gives it a module."""

    function: Callable[[Architecture, Network], Any]
    lower: Callable[[Architecture], Network]
    reference: str
    file: Path | None
    """The user's file, to report the line that raised."""
    producer: str
    fraction: bool
    """True if the scores are accuracies, 0 to 1."""

    def __call__(self, architecture: Architecture) -> float:
        try:
            value = float(self.function(architecture, self.lower(architecture)))
        except HwnasError:
            raise
        except Exception as error:  # a user's function may raise anything
            raise RunError(
                f"the function raised {raised(error)}",
                where=self.reference if self.file is None else place_of(error, self.file),
                allowed=FORM,
                do="Correct the function",
            ) from error
        if self.fraction and not 0 <= value <= 1:
            raise RunError(
                f"the function returned {value:g} for an accuracy",
                where=self.reference,
                allowed="An accuracy is 0 to 1",
                do="Divide percents by 100, or leave `accuracy.quantity` out",
            )
        return value


def from_function(ingredients: AccuracyContext) -> FunctionAccuracy:
    """Return the function that the experiment names. Its scores are distinguished by the content of its file.

    Raises:
        ConfigError: there is no such function.
    """
    reference, base = ingredients.settings.source, ingredients.base
    source, _, name = reference.rpartition(":")
    path = Path(source).expanduser()
    path = path if path.is_file() else base / path
    function = named(reference, base=base, where="accuracy.source")
    if not callable(function):
        raise ConfigError(
            f"`{reference}` is {type(function).__name__}, which cannot be called",
            where="accuracy.source",
            allowed=FORM,
            do="Name such a function after the colon",
        )
    digest = read_source(path).digest if source.endswith(".py") else source
    return FunctionAccuracy(
        function,
        ingredients.lower,
        reference,
        path if source.endswith(".py") else None,
        f"function {name} of {digest}",
        ingredients.settings.quantity not in (None, "score") and ingredients.space.task.quality.unit == "fraction",
    )
