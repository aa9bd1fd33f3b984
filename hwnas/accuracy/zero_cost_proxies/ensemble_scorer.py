"""An ensemble as a scorer of single architectures: ranked among the networks of a reference, which never changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES, RankEnsemble
from hwnas.accuracy.zero_cost_proxies.rank_sums import against
from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree, fingerprint, training_free_scorer
from hwnas.data import Dataset
from hwnas.errors import ConfigError, NoScore, did_you_mean
from hwnas.network import Network
from hwnas.quantities import Metric
from hwnas.space import Architecture

MIN_RANKED = 10
"""Least number of networks of a reference with a score by every member; ranks among fewer tell too little."""


@final
@dataclass(frozen=True, eq=False)
class EnsembleScorer:
    """Architecture -> score. It does not depend on the other networks of a search, so it can be stored and compared."""

    name: str
    ensemble: RankEnsemble
    members: tuple[TrainingFree, ...]
    reference: tuple[Architecture, ...]

    def __call__(self, architecture: Architecture) -> float:
        return against(self.ensemble, self._columns, [scorer(architecture) for scorer in self.members])

    @cached_property
    def _columns(self) -> list[list[float]]:
        """Members' scores of the reference, measured at the first use; networks without one are left out."""
        rows = [row for architecture in self.reference if (row := self._row(architecture)) is not None]
        if len(rows) < MIN_RANKED:
            raise NoScore(
                f"{len(rows)} of {len(self.reference)} networks of the reference have a score by every member",
                where=f"proxy `{self.name}`",
                allowed=f"Ranks are taken among {MIN_RANKED} networks or more",
                do="Use another proxy for this space, or a larger reference",
            )
        return [list(column) for column in zip(*rows, strict=True)]

    def _row(self, architecture: Architecture) -> list[float] | None:
        try:
            return [scorer(architecture) for scorer in self.members]
        except NoScore:
            return None

    @property
    def metric(self) -> str:
        """Name under which scores are stored."""
        return str(Metric("score", self.name))

    @cached_property
    def producer(self) -> str:
        """Identifier of how a stored score was made: equal producers give equal scores."""
        keys = fingerprint(map(self.members[0].lower, self.reference))
        weigh = "log ranks" if self.ensemble.log else "ranks"
        parts = "; ".join(self.ensemble.parts(scorer.producer for scorer in self.members))
        return f"{self.name} {weigh} reference={len(self.reference)}x:{keys} of {parts}"


def ensemble_scorer(
    name: str,
    lower: Callable[[Architecture], Network],
    dataset: Dataset | None,
    reference: Sequence[Architecture],
    *,
    seed: int,
    device: str = "cpu",
) -> EnsembleScorer:
    """Return the scorer of an ensemble by its name.

    Args:
        name: in `ENSEMBLES`.
        lower: architecture -> network.
        dataset: as for `training_free_scorer`.
        reference: the architectures that a network is ranked among, such as 100 random architectures of the space.
        seed: of weights and noise.
        device: where modules run.

    Raises:
        ConfigError: an unknown name, or a reference of too few networks.
    """
    if name not in ENSEMBLES:
        raise ConfigError(
            f"unknown ensemble `{name}`",
            where="training-free proxies",
            allowed=did_you_mean(name, ENSEMBLES),
            do="Use a known ensemble",
        )
    if len(set(reference)) < MIN_RANKED:
        raise ConfigError(
            f"the reference holds {len(set(reference))} unlike networks",
            where=f"proxy `{name}`",
            allowed=f"Ranks are taken among {MIN_RANKED} networks or more",
            do="Draw more of them",
        )
    ensemble = ENSEMBLES[name]
    members = tuple(
        training_free_scorer(
            one.name,
            lower,
            None if one.noise else dataset,
            seed=seed,
            batch=one.batch,
            resolution=one.resolution,
            device=device,
        )
        for one in ensemble.members
    )
    return EnsembleScorer(name, ensemble, members, tuple(dict.fromkeys(reference)))
