"""Costs of a tier's networks for samplers that are guided by them, as functions of whole populations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, NoScore
from hwnas.latency.population import predict_many_ms, upper_many_ms
from hwnas.population import Codebook, Codes, population_activation, population_sums
from hwnas.problem.cost_models import CostModels, cost_metric_scorers
from hwnas.search.evaluate import Scorer
from hwnas.search.samplers import needs_guide
from hwnas.workspace.workspace import Workspace, quantile_metric

if TYPE_CHECKING:
    from hwnas.search.surrogate import Acquisition
    from hwnas.search.surrogate.candidates import PerNetwork


def make_surrogate_spec(run: Workspace, name: str, prices: Mapping[str, CostModels]) -> Acquisition | None:
    """Return the known costs of a tier's networks before they are trained; None if its sampler needs none of them.

    Raises:
        ConfigError: candidates are timed during the search, so that their latency is not known.
    """
    from hwnas.search.surrogate import Acquisition, candidates_of

    if not needs_guide(run.experiment.search.sampler):
        return None
    reject_live_tier(run, name)
    tier, accuracy = run.tier(name), run.accuracy
    known = cost_functions(run, name, prices)
    floors = [limit.bound for limit in tier.limits if limit.metric == accuracy]
    return Acquisition(
        candidates_of(run.codebook),
        [known[objective.metric] for objective in tier.objectives if objective.metric != accuracy],
        limits=[(known[limit.metric], limit.bound) for limit in tier.limits if limit.metric != accuracy],
        bound=-max(floors) if floors else None,
        confidence=run.experiment.tiers[name].limits.top1_confidence or 0.5,
    )


def reject_live_tier(run: Workspace, name: str) -> None:
    """Refuse a tier whose sampler needs latencies that are not known before they are timed.

    Raises:
        ConfigError: it is such a tier.
    """
    if run.is_live(name) and needs_guide(sampler := run.experiment.search.sampler):
        raise ConfigError(
            f"the sampler `{sampler}` knows latencies before they are timed",
            where=f"tier `{name}`: measure: live",
            allowed="It predicts them from the set-up's table: `measure: table`",
            do="Use a table, or another sampler, such as `search: {sampler: tpe}`",
        )


def cost_functions(run: Workspace, name: str, prices: Mapping[str, CostModels]) -> dict[str, PerNetwork]:
    """Return known costs by metric, without training: parameters, MACs, latency of all at once, others one by one."""
    codebook, setup = run.codebook, run.experiment.tiers[name].setup
    latency, confidence = f"latency_ms@{setup}", run.experiment.tiers[name].limits.confidence
    counted: dict[str, PerNetwork] = {
        **{metric: _one_by_one(codebook, scorer) for metric, scorer in cost_metric_scorers(run, name, prices).items()},
        "params": lambda codes: population_sums(codebook, codes)[:, 0],
        "macs": lambda codes: population_sums(codebook, codes)[:, 1],
        "activation_kib": lambda codes: population_activation(codebook, codes) / 1024,
    }
    if run.is_published(name):
        return counted
    model = prices[setup].model
    surely: dict[str, PerNetwork] = {}
    if confidence is not None:
        metric = quantile_metric(latency, confidence)
        surely[metric] = lambda codes: upper_many_ms(model, codebook, codes, confidence)
    return {**counted, latency: lambda codes: predict_many_ms(model, codebook, codes), **surely}


def _one_by_one(codebook: Codebook, scorer: Scorer) -> PerNetwork:
    """Return a function that scores one by one, with a memory; one that a file lacks is never worth proposing."""
    known: dict[bytes, float] = {}

    def scores(codes: Codes) -> NDArray[np.float64]:
        keys = [row.tobytes() for row in codes]
        new = [index for index, key in enumerate(keys) if key not in known]
        for index, architecture in zip(new, codebook.decode(codes[new]), strict=True):
            try:
                known[keys[index]] = scorer(architecture)
            except NoScore:
                known[keys[index]] = np.inf
        return np.array([known[key] for key in keys])

    return scores
