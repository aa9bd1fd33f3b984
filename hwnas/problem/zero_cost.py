"""Zero-cost proxies of a workspace: the requested ones and the data that they score on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError, did_you_mean
from hwnas.network import lower
from hwnas.report.scores import ProxyScore
from hwnas.search.score_store import Score
from hwnas.space import AnySpace

if TYPE_CHECKING:
    from hwnas.accuracy.zero_cost_proxies.ensembles import RankEnsemble
    from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree
    from hwnas.data import Dataset


NOISE_DATA = "noise"
"""Name in place of a data set: images and labels are drawn at random."""


@dataclass(frozen=True)
class ScoringTarget:
    """A space to score, with its data and the store of its scores."""

    space: AnySpace
    dataset: Dataset | None
    folder: Path
    seed: int
    device: str


@dataclass(frozen=True)
class ProxyColumn:
    """A requested column: a proxy, or an ensemble with its members."""

    name: str
    ensemble: RankEnsemble | None
    scorers: tuple[TrainingFree, ...]

    @property
    def producer(self) -> str:
        """Producer of the column's scores."""
        producers = [scorer.producer for scorer in self.scorers]
        if self.ensemble is None:
            return producers[0]
        members = "; ".join(self.ensemble.parts(producers))
        return f"{self.name}: {'log ranks' if self.ensemble.log else 'ranks'} among these networks of {members}"

    def column(self, by_scorer: Sequence[Sequence[Score]]) -> list[ProxyScore]:
        """Return the column from each scorer's scores; an ensemble fails if a member does, and takes as long as all."""
        from hwnas.accuracy.zero_cost_proxies.rank_sums import rank_sums

        values = [[score.value for score in scores] for scores in by_scorer]
        joined = values[0] if self.ensemble is None else rank_sums(self.ensemble, values)
        return [
            ProxyScore(
                value,
                next((score.failed for score in scores if score.failed is not None), None),
                1000 * sum(score.elapsed_s for score in scores),
            )
            for value, scores in zip(joined, zip(*by_scorer, strict=True), strict=True)
        ]


def check_proxy(name: str) -> None:
    """Refuse a name that neither a training-free proxy nor a sum of ranks has.

    Raises:
        ConfigError: it has none.
    """
    from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
    from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES

    if name not in ENSEMBLES and name not in TRAINING_FREE:
        raise ConfigError(
            f"unknown proxy `{name}`",
            where="training-free proxies",
            allowed=did_you_mean(name, [*TRAINING_FREE, *ENSEMBLES]),
            do="Use a known proxy",
        )


def make_proxy_column(given: ScoringTarget, name: str, batch: int | None, resolution: int | None) -> ProxyColumn:
    """Return the column of a name, on the target's data.

    Raises:
        ConfigError: there is no such proxy, or it does not fit the space.
    """
    from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES, EnsembleMember
    from hwnas.accuracy.zero_cost_proxies.scorer import check_holds, training_free_scorer

    check_proxy(name)
    ensemble = ENSEMBLES.get(name)
    members = (EnsembleMember(name),) if ensemble is None else ensemble.members
    lowered, ends = partial(lower, given.space), (given.space.smallest(), given.space.largest())
    scorers = tuple(
        training_free_scorer(
            member.name,
            lowered,
            given.dataset,
            seed=given.seed,
            batch=batch or member.batch,
            resolution=resolution or member.resolution,
            device=given.device,
            space=given.space,
        )
        for member in members
    )
    for scorer in scorers:
        check_holds(scorer, ends)
    return ProxyColumn(name, ensemble, scorers)
