"""How far a search has come, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a search has come."""

    trials: int
    total: int
    front_size: int
    hypervolume: float
    """Against a point just worse than all that competed so far; it never falls."""
    best: float | None
    """Of the first objective, on the front, and so within the limits."""
    elapsed_s: float
    fresh: int = 0
    """How many of the trials were told since this process began."""

    @property
    def per_second(self) -> float | None:
        """How many trials are told a second; None before the first."""
        return self.fresh / self.elapsed_s if self.fresh and self.elapsed_s > 0 else None

    @property
    def left_s(self) -> float | None:
        """How long the rest will take if it goes on so."""
        return None if self.per_second is None else max(0, self.total - self.trials) / self.per_second


@dataclass(frozen=True)
class Finished:
    """How a search ended."""

    trials: int
    failed: int
    stopped: str
    """Why."""
