"""Facts of a comparison: of two runs tier by tier, of two bundles file by file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hwnas.words import brief

if TYPE_CHECKING:
    from hwnas.pareto import Scores
    from hwnas.report.units import Units


@dataclass(frozen=True)
class BestWithin:
    """Best quality within a limit of the first cost; None where a run has no network within it."""

    limit: float
    first: float | None
    second: float | None


@dataclass(frozen=True)
class FrontComparison:
    """One tier's fronts of two runs, by the scores that networks are compared by.

    Args:
        objectives: quantities, the quality first.
        networks: size of each front.
        hypervolume: of each front, over one reference point just worse than all networks of both.
        dominated: share of each front that the other one dominates.
        only_first: number of points of the joint front that the first run alone has.
        only_second: number that the second alone has.
        cost: quantity of the limits of `best_within`.
        best_within: at limits from the least cost of both fronts to the largest.
        notes: what makes the fronts hard to compare, such as another device.
    """

    objectives: tuple[str, ...]
    networks: tuple[int, int]
    hypervolume: tuple[float, float]
    dominated: tuple[float, float]
    only_first: int
    only_second: int
    cost: str
    best_within: tuple[BestWithin, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class RunComparison:
    """Two runs, tier by tier."""

    tiers: dict[str, FrontComparison]
    only_first: tuple[str, ...]
    """Tiers that the second run lacks."""
    only_second: tuple[str, ...]
    units: Units
    """Texts of the scores."""
    fronts: Mapping[str, tuple[Sequence[Scores], Sequence[Scores]]]
    """Scores of both fronts by tier, in the objectives' order."""

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        tiers = {name: asdict(front) for name, front in self.tiers.items()}
        return {"tiers": tiers, "only_first": self.only_first, "only_second": self.only_second}


@dataclass(frozen=True)
class FileComparison:
    """Two files of one name: A's value, then B's; None where no runtime ran a file.

    Args:
        name: of the file.
        same: whether they are equal byte for byte.
        architectures: keys of the networks in them.
        bytes: sizes.
        test_quality: qualities on test samples.
        latency_ms: times of a call, each as its export measured it.
    """

    name: str
    same: bool
    architectures: tuple[str, str]
    bytes: tuple[int, int]
    test_quality: tuple[float | None, float | None]
    latency_ms: tuple[float | None, float | None]

    @property
    def ratio(self) -> float | None:
        """B's time over A's."""
        first, second = self.latency_ms
        return None if not first or second is None else second / first


@brief
@dataclass(frozen=True)
class BundleComparison:
    """Two bundles, file by file.

    Args:
        tiers: of the bundles.
        files: those of one name, in A's order.
        only_first: names of files that B lacks.
        only_second: names of files that A lacks.
        differences: what else the manifests say differently, such as the device: A's value, then B's.
        quality: name of the quality.
        units: texts of the quality.
    """

    tiers: tuple[str, str]
    files: tuple[FileComparison, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    differences: dict[str, tuple[Any, Any]]
    quality: str
    units: Units

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        files = [{**asdict(one), "ratio": one.ratio} for one in self.files]
        names = ("tiers", "only_first", "only_second", "differences", "quality")
        return {"files": files, **{name: getattr(self, name) for name in names}}
