"""The front of stored accuracies within other limits, or on another set-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwnas.accuracy import AccuracySource
from hwnas.errors import ConfigError, NoScore, RunError, TableError, did_you_mean
from hwnas.pareto import Limit, Objective, Tier
from hwnas.problem.cost_models import CostModels, cost_metric_scorers
from hwnas.problem.fronts.estimates import estimated_front
from hwnas.problem.fronts.origins import origin_of_latency, origins_of
from hwnas.problem.live import live_before
from hwnas.search.evaluate import Evaluation, Scorer
from hwnas.search.fronts import FrontPoint
from hwnas.search.nearest import Nearest, nearest
from hwnas.search.score_store import Score, ScoreStore
from hwnas.workspace.workspace import Workspace


@dataclass(frozen=True)
class Answer:
    """The front of stored accuracies, and what it was chosen from."""

    points: tuple[FrontPoint, ...]
    evaluations: tuple[Evaluation, ...]
    """Every network that has an accuracy and a latency."""
    producer: str
    """Producer of the accuracies."""
    stored: int
    """Number of networks that have an accuracy."""
    left_out: int
    """Number of stored accuracies of other producers, which do not mix with these."""

    @property
    def unpriced(self) -> int:
        """Number of networks for which the set-up has no latency."""
        return self.stored - len(self.evaluations)

    def nearest(self, tier: Tier) -> Nearest | None:
        """Return the network that breaks the limits least, if none is within them."""
        return None if self.points else nearest(((e.architecture.key, e.scores) for e in self.evaluations), tier)


def answer(
    run: Workspace,
    tier: Tier,
    source: AccuracySource,
    cost_models: Mapping[str, CostModels],
    producer: str | None = None,
) -> Answer:
    """Return the front of a tier from the run's stored accuracies: those of the producer, else of the last one.

    Raises:
        ConfigError: a limit is on a metric that is not known.
        RunError: no accuracy is stored.
        TableError: what was timed live cannot be used.
    """
    name, accuracy = tier.name, tier.quality.metric
    latency = run.objectives.latency(name)
    scores, left_out = _stored(run, accuracy, producer)
    scorers = cost_metric_scorers(run, name, cost_models)
    if run.objectives.is_live(name):
        scorers[latency] = live_before(run, name)
    if untold := [limit.metric for limit in tier.limits if limit.metric not in {*scorers, accuracy}]:
        raise ConfigError(
            f"nothing tells `{untold[0]}`",
            where="--limit",
            allowed=did_you_mean(untold[0], [*scorers, accuracy]),
            do="Leave the limit out, or name a set-up of the experiment whose table holds it",
        )
    evaluations = tuple(one for score in scores if (one := _evaluation(score, scorers, tier)) is not None)
    errors = {score.architecture.key: score.error for score in scores if score.error is not None}
    points = [
        replace(point, origin={**point.origin, latency: origin_of_latency(run, name, cost_models, point.architecture)})
        for point in estimated_front(run, tier, evaluations, errors, origins_of(run, tier, source.origin))
    ]
    return Answer(tuple(points), evaluations, scores[0].producer, len(scores), left_out)


def _stored(run: Workspace, accuracy: str, producer: str | None) -> tuple[list[Score], int]:
    """Return the accuracies of the producer, else of the one that scored last, and the number of those of others."""
    store = ScoreStore.open(run.folder / "scores.jsonl")
    known = [score for score in store.scores if score.metric == accuracy and score.value is not None]
    if not known:
        raise RunError(
            f"no `{accuracy}` is stored",
            where=str(store.path),
            allowed="A run is solved again from what it scored",
            do=f"Run `{run.command('search')}` first",
        )
    producer = producer or max(known, key=lambda score: score.at).producer
    chosen = [score for score in known if score.producer == producer]
    if not chosen:
        raise RunError(
            f"no `{accuracy}` by `{producer}` is stored",
            where=str(store.path),
            allowed=f"The store holds {len(known):,} of other weights or settings, which do not mix with these",
            do=f"Run `{run.command('search')}`",
        )
    return chosen, len(known) - len(chosen)


def _evaluation(score: Score, scorers: Mapping[str, Scorer], tier: Tier) -> Evaluation | None:
    parts: list[Objective | Limit] = [*tier.objectives, *tier.limits]
    wanted, cheap = {part.metric for part in parts}, dict[str, float]()
    for metric, scorer in scorers.items():
        try:
            cheap[metric] = float(scorer(score.architecture))
        except NoScore:
            return None
        except TableError:  # of a file's size, which is not estimated
            if metric in wanted:
                raise
    assert score.value is not None
    scores = {**cheap, score.metric: score.value}
    return Evaluation(score.architecture, scores, tier.broken(scores))
