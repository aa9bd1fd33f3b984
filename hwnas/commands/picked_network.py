"""A network of a searched run, by its tier and what it was picked as."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import ConfigError, did_you_mean
from hwnas.problem.fronts.loading import LoadedFront, load_front
from hwnas.search.fronts import FrontPoint
from hwnas.selection import choose
from hwnas.space import AnySpace, Architecture
from hwnas.workspace.workspace import Workspace, open_run

SHORTEST_KEY = 4
"""Leading digits of an architecture's key that may stand for all of it."""


def is_run(reference: str | Path) -> bool:
    """Return whether a reference is the folder of a run."""
    return (Path(reference) / "experiment.yaml").is_file()


def picked_network(folder: Path, which: str) -> tuple[AnySpace, Architecture, Path | None]:
    """Return a run's space, the architecture that `TIER:PICK` names, and the table of the tier's set-up, if it has one.

    Args:
        folder: a run that was searched.
        which: a tier, a colon, and a rule of `hwnas show --pick` or the leading digits of a network's key.

    Raises:
        ConfigError: there is no such tier, or no such network on its front.
        RunError: the run was not searched yet.
    """
    name, _, pick = which.partition(":")
    run = open_run(str(folder))
    if name not in run.experiment.tiers or not pick:
        tiers = list(run.experiment.tiers)
        raise ConfigError(
            f"`{which[:60]}` names no network of the run",
            where="--architecture",
            allowed=f"{did_you_mean(name, tiers)}. A tier and a pick: {tiers[0]}:best, {tiers[0]}:knee, "
            f"{tiers[0]}:fastest, any rule of `hwnas show --pick`, or a network's key in the place of the pick",
            do=f"Say --architecture {tiers[0]}:best; `hwnas show {folder}` lists the front",
        )
    point = _point(load_front(run, name), pick, folder)
    return run.space, point.architecture, _table(run, name)


def _point(front: LoadedFront, pick: str, folder: Path) -> FrontPoint:
    points = list(front.standing)
    if len(pick) >= SHORTEST_KEY and (named := [one for one in points if one.architecture.key.startswith(pick)]):
        return named[0]
    if not points:
        raise ConfigError(
            f"the front of tier `{front.tier.name}` is empty",
            where="--architecture",
            allowed="A network stands on the front",
            do=f"See `hwnas show {folder}` for the reason",
        )
    return points[choose([one.expected for one in points], front.tier.objectives, pick)[0]]


def _table(run: Workspace, tier: str) -> Path | None:
    path = run.paths.table(run.experiment.tiers[tier].setup)
    return path if path.is_file() else None
