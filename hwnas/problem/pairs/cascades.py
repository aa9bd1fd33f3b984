"""Cascades of a pair's search: each network that it evaluated on the edge, with each other one in the cloud.

A network is scored once, and what it answers is kept: all cascades that it may be part of, on either side, follow from
that without another evaluation. So the search proposes networks, and its result is chosen from all pairs of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.collaborate.plan import Candidate, PlanAccuracy
from hwnas.latency.population import predict_many_ms
from hwnas.pareto import Objective, best, front
from hwnas.problem.fronts.loading import LoadedFront
from hwnas.problem.pairs.problem import PairProblem
from hwnas.problem.plans.candidates import Enumeration
from hwnas.problem.plans.samples import MOST_SAMPLES, held_out_samples
from hwnas.problem.plans.sides import Side, side_of
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint
from hwnas.words import brief
from hwnas.workspace.training.supernets import Trained

ROLES = ("edge_ms", "cloud_ms")
"""Latencies that a network has as the edge and as the cloud of a cascade."""


@brief
@dataclass(frozen=True, eq=False)
class JudgedCascades:
    """Cascades that no plan of a pair beats.

    Args:
        cascades: with the accuracy that held-out samples show.
        accuracies: of whole networks on the same samples, by key.
        judged: number of cascades that were compared.
        notes: why there are none, and of which networks there are.
    """

    cascades: tuple[Candidate, ...] = ()
    accuracies: Mapping[str, PlanAccuracy] = field(default_factory=dict)
    judged: int = 0
    notes: tuple[str, ...] = ()


def judged_cascades(
    problem: PairProblem, evaluations: Sequence[Evaluation], singles: Sequence[FrontPoint], trained: Trained | None
) -> JudgedCascades:
    """Return the cascades of the evaluated networks that are on one front with the networks that answer alone or cut.

    Args:
        problem: of the pair.
        evaluations: of its study.
        singles: the front of the networks that need no other.
        trained: the weights, if there are some.

    Raises:
        TableError: there is no table of a set-up.
    """
    if not problem.config.cascades or not singles:
        return JudgedCascades()
    partners = _least_dominated(problem, evaluations)
    sides = _sides(problem, partners)
    samples = held_out_samples(problem.run, sides, MOST_SAMPLES, trained)
    if isinstance(samples, str):
        return JudgedCascades(notes=(samples,))
    draws: LinkDraws = problem.link.quick_draws(problem.run.experiment.seed)
    enumeration = Enumeration(*sides, draws, samples)
    cascades = list(enumeration.cascades())
    accuracies = {point.architecture.key: _judged(problem, enumeration, point) for point in singles}
    notes = list(enumeration.notes)
    if cascades and (left_out := len(evaluations) - len(partners)):
        notes.append(f"cascades are of the {len(partners)} least dominated networks; {left_out:,} are left out")
    chosen = _unbeaten(problem, cascades, singles, accuracies)
    return JudgedCascades(tuple(chosen), accuracies, len(cascades), tuple(notes))


def _least_dominated(problem: PairProblem, evaluations: Sequence[Evaluation]) -> list[FrontPoint]:
    """Return the networks of which cascades are judged: those that the fewest beat in accuracy and in both roles."""
    evaluated = [one for one in evaluations if one.competes(problem.tier)]
    if not evaluated:
        return []
    codes, quality = problem.run.codebook.encode([one.architecture for one in evaluated]), problem.tier.quality
    rows = [{quality.metric: one.scores[quality.metric]} for one in evaluated]
    for role, costs in zip(ROLES, problem.sides, strict=True):
        for row, value in zip(rows, predict_many_ms(costs.model, problem.run.codebook, codes).tolist(), strict=True):
            row[role] = value
    respects = (quality, *(Objective(role, "min") for role in ROLES))
    chosen = sorted(best(rows, respects, problem.config.cascades))
    return [FrontPoint(evaluated[index].architecture, dict(evaluated[index].scores)) for index in chosen]


def _sides(problem: PairProblem, partners: Sequence[FrontPoint]) -> tuple[Side, Side]:
    """Return both sides with the networks that may run there whole."""
    run, codes = problem.run, problem.run.codebook.encode([point.architecture for point in partners])
    edge, cloud = (
        side_of(
            run,
            LoadedFront(
                "search",
                run.objectives.tier(tier),
                run.source,
                tuple(point for point, fits in zip(partners, mask, strict=True) if fits),
                run.folder / "bundle" / tier,
            ),
        )
        for tier, mask in zip((problem.config.edge, problem.config.cloud), problem.whole(codes), strict=True)
    )
    return edge, cloud


def _unbeaten(
    problem: PairProblem,
    cascades: Sequence[Candidate],
    singles: Sequence[FrontPoint],
    accuracies: Mapping[str, PlanAccuracy],
) -> list[Candidate]:
    """Return the cascades on one front with the networks alone; those with a promise are not beaten by others."""
    metric, goal = problem.metric, problem.tier.quality.goal
    respects = (Objective("accuracy", goal), Objective("ms", "min"))
    rows = [{"accuracy": accuracies[one.architecture.key].value, "ms": one.scores[metric]} for one in singles]
    chosen = list[Candidate]()
    for promised in (True, False):
        some = [one for one in cascades if (one.cascade is not None and one.cascade.guarantee is not None) == promised]
        own = [{"accuracy": one.accuracy.value, "ms": problem.cascade_ms(one)} for one in some]
        worth = [index - len(rows) for index in front([*rows, *own], respects) if index >= len(rows)]
        chosen += [some[index] for index in worth]
        rows += [own[index] for index in worth]
    return chosen


def _judged(problem: PairProblem, enumeration: Enumeration, point: FrontPoint) -> PlanAccuracy:
    """Return the accuracy of a network on held-out samples, by the set-up that computes its answer."""
    unknown = PlanAccuracy(0.0, None, "")
    on_edge = problem.candidate(point.architecture, unknown).kind == "edge_only"
    return enumeration.accuracy(enumeration.edge if on_edge else enumeration.cloud, point)
