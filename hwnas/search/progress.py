"""Progress of a search, and its end."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.words import brief


@dataclass(frozen=True)
class Progress:
    """State of a search that is running."""

    trials: int
    total: int
    front_size: int
    hypervolume: float
    """Against a point just worse than all that competed so far; it never falls."""
    best: float | None
    """Best quality on the front, and so within the limits."""
    elapsed_s: float
    fresh: int = 0
    """Number of the trials that were told since this process began."""

    @property
    def per_second(self) -> float | None:
        """Trials told per second; None before the first."""
        return self.fresh / self.elapsed_s if self.fresh and self.elapsed_s > 0 else None

    @property
    def left_s(self) -> float | None:
        """Seconds that the remaining trials will take at the present rate; None before the first trial."""
        return None if self.per_second is None else max(0, self.total - self.trials) / self.per_second


@brief
@dataclass(frozen=True)
class Finished:
    """Result of a search that ended."""

    trials: int
    failed: int
    stopped: str
    """Reason why it ended."""
