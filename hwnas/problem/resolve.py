"""The front of stored accuracies within other limits, or on another set-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from hwnas.search.precision import candidate_label, candidate_of
from hwnas.search.score_store import Score, ScoreStore
from hwnas.space import Architecture
from hwnas.workspace.workspace import Workspace

LOWER = " precision="
"""Part of the producer of accuracies in a lower precision; before it stands that of the same networks in fp32."""


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
        known = ((candidate_label(one.architecture), one.scores) for one in self.evaluations)
        return None if self.points else nearest(known, tier)


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
    candidates, producer, left_out = _candidates(run, accuracy, producer, run.experiment.tiers[name].precisions)
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
    evaluations = tuple(one for pair in candidates if (one := _evaluation(*pair, scorers, tier)) is not None)
    errors = {candidate.key: score.error for candidate, score in candidates if score.error is not None}
    paired = {candidate.key: score.paired for candidate, score in candidates}
    points = [
        replace(
            point,
            paired=paired[point.candidate.key],
            origin={**point.origin, latency: origin_of_latency(run, name, cost_models, point)},
        )
        for point in estimated_front(run, tier, evaluations, errors, origins_of(run, tier, source.origin))
    ]
    return Answer(tuple(points), evaluations, producer, len(candidates), left_out)


def _stored(run: Workspace, accuracy: str, producer: str | None, *, lower: bool = False) -> tuple[list[Score], int]:
    """Return the accuracies of the producer, else of the one that scored last, and the number of those of others;
    those in a `lower` precision of the same networks, or those in fp32."""
    store = ScoreStore.open(run.paths.scores)
    known = [score for score in store.scores if score.metric == accuracy and score.value is not None]
    known = [score for score in known if (LOWER in score.producer) is lower]
    if not known:
        raise RunError(
            f"no `{accuracy}` is stored",
            where=str(store.path),
            allowed="A run is solved again from what it scored",
            do=f"Run `{run.command('search')}` first",
        )
    ours = [score for score in known if producer is None or score.producer.partition(LOWER)[0] == producer]
    if ours and (lower or producer is None):
        producer = max(ours, key=lambda score: score.at).producer
    chosen = [score for score in known if score.producer == producer]
    if not chosen:
        raise RunError(
            f"no `{accuracy}` by `{producer}` is stored",
            where=str(store.path),
            allowed=f"The store holds {len(known):,} of other weights or settings, which do not mix with these",
            do=f"Run `{run.command('search')}`",
        )
    return chosen, len(known) - len(chosen)


def _candidates(
    run: Workspace, accuracy: str, producer: str | None, precisions: Sequence[str] | None
) -> tuple[list[tuple[Architecture, Score]], str, int]:
    """Return candidates with their stored accuracies, the producer of those in fp32, and how many others there are."""
    if precisions is None:
        scores, left_out = _stored(run, accuracy, producer)
        return [(score.architecture, score) for score in scores], scores[0].producer, left_out
    chosen = list[tuple[Architecture, Score]]()
    others = 0
    for precision in precisions:
        scores, left_out = _stored(run, accuracy, producer, lower=precision != "fp32")
        chosen += [(candidate_of(score.architecture, precision), score) for score in scores]
        producer, others = producer or scores[0].producer.partition(LOWER)[0], others + left_out
    return chosen, str(producer), others


def _evaluation(candidate: Architecture, score: Score, scorers: Mapping[str, Scorer], tier: Tier) -> Evaluation | None:
    parts: list[Objective | Limit] = [*tier.objectives, *tier.limits]
    wanted, cheap = {part.metric for part in parts}, dict[str, float]()
    for metric, scorer in scorers.items():
        try:
            cheap[metric] = float(scorer(candidate))
        except NoScore:
            return None
        except TableError:  # of a file's size, which is not estimated
            if metric in wanted:
                raise
    assert score.value is not None
    scores = {**cheap, score.metric: score.value}
    return Evaluation(candidate, scores, tier.broken(scores))
