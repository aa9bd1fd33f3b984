"""Networks of a front with a precision for each operator: solved, scored, and timed beside the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hwnas.accuracy import Accuracy
from hwnas.accuracy.by_precision import AccuracyByPrecision
from hwnas.accuracy.int8_accuracy import Int8Accuracy
from hwnas.config.setups import MIXED
from hwnas.errors import ConfigError, ExportError
from hwnas.mixed_precision.latency import MixedLatency, mixed_latency
from hwnas.mixed_precision.programme import Assignment, fastest_within, pareto_assignments
from hwnas.mixed_precision.sensitivity import MixedNetwork, sensitivities
from hwnas.network import Network
from hwnas.pareto import Tier
from hwnas.problem.cost_models import CostModels, network_scorers
from hwnas.problem.precision.mixed_files import mixed_file
from hwnas.quantities import Metric, shown_as
from hwnas.search.fronts import FrontPoint, ShrunkenEstimate, unbeaten
from hwnas.search.precision.assignment import is_mixed, mixed_word
from hwnas.space import Architecture
from hwnas.supernet import evaluate
from hwnas.tasks.metrics.paired import PairedCounts
from hwnas.tasks.metrics.sums import Sums
from hwnas.workspace.progress import Reporter
from hwnas.workspace.workspace import Workspace

SHARES = (1.0, 0.5, 0.125)
"""Most noise of the assignments that are scored, as shares of the noise of the network in int8: beside the fastest."""
SENSITIVITY_INPUTS = 64
"""Training inputs on which the noise of operators is simulated."""


@dataclass(frozen=True)
class _Solver:
    """Models and samples that the assignments of a tier's networks are solved and scored with."""

    run: Workspace
    tier: Tier
    latency: MixedLatency
    accuracy: AccuracyByPrecision
    int8: Int8Accuracy
    cost_models: Mapping[str, CostModels]

    def points(self, point: FrontPoint) -> list[FrontPoint]:
        """Return a network of the front with the assignments that are worth scoring."""
        network = self.run.network(point.architecture)
        module = self.int8.fp32.settled(network)
        device = next(module.parameters()).device
        ranges = network.task.fitted(self.int8.ranges.to(device), network.input_shape)
        mixed = MixedNetwork(module, ranges, file_format=self.int8.file_format)  # type: ignore[arg-type]
        chain = self.latency.chain(network, sensitivities(mixed, ranges[:SENSITIVITY_INPUTS]))
        solved = pareto_assignments(chain)
        full = float(chain.losses.sum())
        chosen = [solved[0], *(fastest_within(solved, share * full) for share in SHARES)]
        distinct = {one.precisions: one for one in chosen if one is not None and len(set(one.precisions)) > 1}
        if not distinct:
            return []
        plain = evaluate(mixed.assigned([False] * len(network.operators)), network, self.int8.fp32.split)
        return [self._scored(point, network, mixed, one, plain) for one in distinct.values()]

    def _scored(
        self, point: FrontPoint, network: Network, mixed: MixedNetwork, one: Assignment, plain: Sums
    ) -> FrontPoint:
        metric, task = self.tier.quality.metric, network.task
        sums = evaluate(mixed.assigned([bool(p) for p in one.precisions]), network, self.int8.fp32.split)
        value = task.values(sums)[self.int8.fp32.task.quality.name]
        scores: dict[str, float] = {**point.scores, **self._costs(point.architecture), metric: value.value}
        scores[self.run.objectives.latency(self.tier.name)] = one.ms
        estimates = {
            name: ShrunkenEstimate(known.value + value.value - point.scores[name], known.error)
            for name, known in point.estimates.items()
        }
        return replace(
            point,
            scores={name: scores[name] for name in point.scores},
            precision=mixed_word([bool(p) for p in one.precisions]),
            errors={metric: value.error} if point.errors and value.error is not None else {},
            estimates=estimates,
            paired=PairedCounts.of_sums(plain, sums) if task.has_labels else None,
            picks=(),
        )

    def _costs(self, architecture: Architecture) -> dict[str, float]:
        """Return what depends on no table: of both precisions the worse number."""
        name, costs = self.tier.name, dict[str, float]()
        for setup in self.run.experiment.setups_of(name).values():
            for metric, score in network_scorers(self.run, name, setup, {}).items():
                worse = max if shown_as(Metric.parse(metric).quantity).goal == "min" else min
                value = float(score(architecture))
                costs[metric] = value if metric not in costs else worse(costs[metric], value)
        return costs


def with_mixed(
    run: Workspace,
    tier: Tier,
    points: Sequence[FrontPoint],
    accuracy: Accuracy,
    cost_models: Mapping[str, CostModels],
    reporter: Reporter,
) -> list[FrontPoint]:
    """Return the front of a tier of mixed precision: each network also with the best precisions of its operators.

    For each architecture the programme is solved over the rows of both precisions, and a few of its assignments are
    scored like any other candidate: by a simulation on the validation samples.

    Args:
        run: the run.
        tier: of the experiment.
        points: the front that was searched for; of another tier it is returned.
        accuracy: of the tier's candidates.
        cost_models: of the set-ups.
        reporter: receives progress.
    """
    if run.experiment.tiers[tier.name].precision != MIXED or not points:
        return list(points)
    assert isinstance(accuracy, AccuracyByPrecision)
    int8 = accuracy.parts["int8"]
    assert isinstance(int8, Int8Accuracy)
    setups = run.experiment.setups_of(tier.name)
    latency = mixed_latency(cost_models[setups["fp32"]].model, cost_models[setups["int8"]].model)
    reporter.info(f"{tier.name}: precisions of single operators by {latency.origin}")
    solver = _Solver(run, tier, latency, accuracy, int8, cost_models)
    added: list[FrontPoint] = []
    distinct = {point.architecture.key: point for point in points}
    with reporter.bar(f"{tier.name}: precisions by operator") as bar:
        for number, point in enumerate(distinct.values()):
            bar.update(number, len(distinct), point.architecture.key)
            added += solver.points(point)
        bar.update(len(distinct), len(distinct), "done")
    candidates = [*points, *added]
    while True:
        solved = unbeaten([point for point in candidates if not tier.broken(point.scores)], tier)
        mixed = [point for point in solved if is_mixed(point.precision)]
        refused = {point.name for point in mixed if not _written(run, tier, point, reporter)}
        if not refused:
            return solved
        candidates = [point for point in candidates if point.name not in refused]


def _written(run: Workspace, tier: Tier, point: FrontPoint, reporter: Reporter) -> bool:
    """Return whether a file holds the kernels of an assignment; it is told where none does."""
    try:
        mixed_file(run, tier.name, point)
    except (ConfigError, ExportError) as error:
        reporter.info(f"{tier.name}: {point.name} is left out: {error.met}")
        return False
    return True
