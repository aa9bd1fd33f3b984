"""Origins of scores, as they are marked on fronts."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas.pareto import Tier
from hwnas.problem.cost_models import CostModels, latency_origin
from hwnas.quantities import Metric
from hwnas.space import Architecture
from hwnas.workspace.workspace import Workspace


def origin_of_latency(
    run: Workspace, tier: str, cost_models: Mapping[str, CostModels], architecture: Architecture
) -> str:
    """Return the origin of a network's latency, in a front's words."""
    if run.objectives.is_published(tier):
        return "published"
    if run.objectives.is_live(tier):
        return "measured"
    return latency_origin(cost_models[run.experiment.tiers[tier].setup].model, run.network(architecture))


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
