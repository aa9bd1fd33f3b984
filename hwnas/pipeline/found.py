"""The front of a tier, by what found it: the search, or the ladder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hwnas.errors import RunError
from hwnas.pareto import Tier
from hwnas.pipeline.climbs import Climb, climb_path, read_climb
from hwnas.pipeline.workspace import Run
from hwnas.proxies import Source
from hwnas.search.fronts import FrontPoint, read_front
from hwnas.space import Architecture

Finder = Literal["search", "ladder"]


@dataclass(frozen=True)
class Found:
    """A front, and what its numbers mean."""

    by: Finder
    tier: Tier
    """As its finder sees it: the score of a ladder's last rung stands in the place of accuracy."""
    source: Source
    """Where that accuracy comes from."""
    points: tuple[FrontPoint, ...]
    folder: Path
    """Where its files are exported to."""
    climb: Climb | None = None
    """The way up the ladder, of a ladder's front."""

    @property
    def producer(self) -> str | None:
        """What made a ladder's last scores."""
        return None if self.climb is None else self.climb.last.producer

    def weights(self, run: Run, architecture: Architecture) -> Path | None:
        """The file of the weights with which the ladder scored an architecture, if it trained and kept them."""
        if self.climb is None:
            return None
        from hwnas.proxies.trained import training_folder, weights_path

        folder = training_folder(run.folder, self.climb.scores[-1])
        path = weights_path(folder, self.climb.last.producer, architecture)
        return path if path.exists() else None

    @property
    def named(self) -> str:
        """The tier, as it is shown."""
        return self.tier.name if self.climb is None else f"{self.tier.name}, ladder"


def found_front(run: Run, name: str, by: Finder | None = None) -> Found:
    """A tier's front; if it is not said which, that of the search, and that of the ladder where none was searched.

    Raises:
        RunError: it is not there, or damaged.
    """
    if by is None:
        by = "ladder" if not run.front_path(name).exists() and climb_path(run, name).exists() else "search"
    if by == "ladder":
        climb = read_climb(run, name)
        return Found(by, climb.last.tier, climb.source, climb.front, run.folder / "ladder" / "bundle" / name, climb)
    if not run.front_path(name).exists():
        raise RunError(
            f"tier `{name}` has no front yet",
            where=str(run.front_path(name)),
            allowed="A front is what `hwnas search` or `hwnas ladder` leaves",
            do=f"Run `hwnas search {run.experiment.name}` first",
        )
    points = tuple(read_front(run.front_path(name)))
    return Found(by, run.tier(name), run.source, points, run.folder / "bundle" / name)
