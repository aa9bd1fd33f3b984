"""Origins of scores, as they are marked on fronts."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas.pareto import Tier
from hwnas.problem.cost_models import CostModels, latency_origin
from hwnas.quantities import Metric
from hwnas.search.fronts import FrontPoint
from hwnas.search.precision.assignment import is_mixed
from hwnas.workspace.workspace import Workspace


def origin_of_latency(run: Workspace, tier: str, cost_models: Mapping[str, CostModels], point: FrontPoint) -> str:
    """Return the origin of a network's latency, in a front's words."""
    if run.objectives.is_published(tier):
        return "published"
    if run.objectives.is_live(tier):
        return "measured"
    return latency_origin(cost_models[setup_of_point(run, tier, point)].model, run.network(point.architecture))


def setup_of_point(run: Workspace, tier: str, point: FrontPoint) -> str:
    """Return the set-up that a network of a tier's front runs on: the tier's, or that of the network's precision.

    One with a precision for each operator runs on that of int8.
    """
    if point.precision is None:
        return run.experiment.tiers[tier].setup
    return run.experiment.setups_of(tier)["int8" if is_mixed(point.precision) else point.precision]


def origins_of(run: Workspace, tier: Tier, accuracy: str) -> dict[str, str]:
    """Return the origins of a tier's scores, by metric; that of accuracies is `accuracy`."""
    setup = run.experiment.tiers[tier.name].setup
    costs = {
        str(one.metric(setup)): "derived" if one.is_derived else "predicted" for one in run.objectives.quantities(setup)
    }
    surely = [limit.metric for limit in tier.limits if Metric.parse(limit.metric).quantile is not None]
    predicted = dict.fromkeys(
        [run.objectives.latency(tier.name), *surely, *(m for m in costs if costs[m] == "predicted")], "predicted"
    )
    return {tier.quality.metric: accuracy, **predicted, **costs}
