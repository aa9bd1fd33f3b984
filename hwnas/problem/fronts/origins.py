"""Origins of scores, as they are marked on fronts."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas.pareto import Tier
from hwnas.problem.cost_models import CostModels, latency_origin
from hwnas.space import Architecture
from hwnas.workspace.workspace import BESIDE_LATENCY, DERIVED, Workspace


def origin_of_latency(run: Workspace, tier: str, prices: Mapping[str, CostModels], architecture: Architecture) -> str:
    """Return the origin of a network's latency, in a front's words."""
    if run.is_published(tier):
        return "published"
    if run.is_live(tier):
        return "measured"
    return latency_origin(prices[run.experiment.tiers[tier].setup].model, run.network(architecture))


def origins_of(tier: Tier, accuracy: str) -> dict[str, str]:
    """Return the origins of a tier's scores, by metric; that of accuracies is `accuracy`."""
    latency = tier.objectives[1].metric
    size = latency.replace("latency_ms", "file_kib")
    setup = latency.partition("@")[2]
    metrics = {objective.metric for objective in tier.objectives} | {limit.metric for limit in tier.limits}
    requested = metrics & {f"{name}@{setup}" for name in BESIDE_LATENCY}
    others = dict.fromkeys((size, *sorted(requested)), "predicted")
    limited = {limit.metric: "predicted" for limit in tier.limits if limit.metric.startswith(latency)}
    derived = dict.fromkeys(DERIVED, "derived")
    return {tier.objectives[0].metric: accuracy, latency: "predicted", **limited, **others, **derived}
