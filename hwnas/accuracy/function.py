"""Scores from a user's function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from hwnas.accuracy.source import AccuracyContext
from hwnas.errors import RunError
from hwnas.io.regular import resolve_path
from hwnas.network import Network
from hwnas.space import Architecture
from hwnas.user_code import calling, named, read_source

FORM = "The function is handed an architecture and its network, and returns a number; of a score, high is good"


@final
@dataclass(frozen=True)
class FunctionAccuracy:
    """Score that `function(architecture, network)` returns; `hwnas.build(network)` gives it a module."""

    function: Callable[[Architecture, Network], Any]
    lower: Callable[[Architecture], Network]
    reference: str
    producer: str
    fraction: bool
    """True if the scores are accuracies, 0 to 1."""

    def __call__(self, architecture: Architecture) -> float:
        with calling(self.function, RunError, name=self.reference, allowed=FORM):  # it stands beside its architecture
            value = float(self.function(architecture, self.lower(architecture)))
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
    function = named(reference, base=base, where="accuracy.source")
    digest = read_source(resolve_path(source, base)).digest if source.endswith(".py") else source
    return FunctionAccuracy(
        function,
        ingredients.lower,
        reference,
        f"function {name} of {digest}",
        any(m.name == ingredients.settings.quantity and m.unit == "fraction" for m in ingredients.space.task.metrics),
    )
