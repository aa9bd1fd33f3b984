"""Sums of ranks over several proxies: which there are, and of what. A new one is one row here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class EnsembleMember:
    """A training-free proxy by its name, with another batch or resolution than its definition's where given."""

    name: str
    batch: int | None = None
    resolution: int | None = None
    noise: bool = False
    """True if it looks at noise even where there are images."""
    weight: float = 1
    """Factor with which its ranks are added."""


@dataclass(frozen=True)
class RankEnsemble:
    """Proxies whose ranks are added; of n networks the worst has rank 1/n, the best 1."""

    members: tuple[EnsembleMember, ...]
    log: bool = True
    """True if logarithms of ranks are added, which punishes a low rank by any member; else the ranks themselves."""

    def parts(self, producers: Iterable[str]) -> list[str]:
        """Return the summands: each member's producer, with its weight before it where that is not 1."""
        pairs = zip(self.members, producers, strict=True)
        return [producer if member.weight == 1 else f"{member.weight:g} x {producer}" for member, producer in pairs]


ENSEMBLES: Mapping[str, RankEnsemble] = {  # name after the @ of `score@NAME`; chosen on other networks than reported on
    "ensemble": RankEnsemble(
        (
            EnsembleMember("meco", resolution=32, weight=2),
            EnsembleMember("swap", resolution=8, noise=True, weight=2),
            EnsembleMember("expressivity", batch=32, resolution=8),
        )
    ),
    "az_nas": RankEnsemble(tuple(map(EnsembleMember, ("expressivity", "progressivity", "trainability", "macs")))),
    "te_nas": RankEnsemble(tuple(map(EnsembleMember, ("linear_regions", "ntk"))), log=False),
}
