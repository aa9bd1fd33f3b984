"""Costs of a tier's networks for samplers that are guided by them, as functions of whole populations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, NoScore
from hwnas.latency.population import predict_many_ms, upper_many_ms
from hwnas.population import Codebook, Codes, population_cost
from hwnas.problem.cost_models import CostModels, network_scorers
from hwnas.quantities import LATENCY, Quantity
from hwnas.search.evaluate import Scorer
from hwnas.search.samplers import needs_guide
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.search.surrogate import Acquisition
    from hwnas.search.surrogate.candidates import PerNetwork


def make_surrogate_spec(run: Workspace, name: str, cost_models: Mapping[str, CostModels]) -> Acquisition | None:
    """Return the known costs of a tier's networks before they are trained; None if its sampler needs none of them.

    Raises:
        ConfigError: candidates are timed during the search, so that their latency is not known.
    """
    from hwnas.search.precision.coded import with_precisions
    from hwnas.search.surrogate import Acquisition, candidates_of

    if not needs_guide(run.experiment.sampler_of(name)):
        return None
    reject_live_tier(run, name)
    tier, quality = run.objectives.tier(name), run.objectives.tier(name).quality
    known, candidates = candidate_costs(run, name, cost_models), candidates_of(run.codebook)
    if precisions := run.experiment.tiers[name].precisions:
        candidates = with_precisions(candidates, precisions)
    good = "most" if quality.goal == "min" else "least"
    bounds = [quality.cost(one.bound) for one in tier.limits if (one.metric, one.side) == (quality.metric, good)]
    return Acquisition(
        candidates,
        [_low_is_good(known[cost.metric], cost.goal == "max") for cost in tier.costs],
        limits=[
            (_low_is_good(known[one.metric], one.side == "least"), -one.bound if one.side == "least" else one.bound)
            for one in tier.limits
            if one.metric != quality.metric
        ],
        bound=min(bounds) if bounds else None,
        confidence=run.experiment.tiers[name].limits.quality_confidence or 0.5,
    )


def reject_live_tier(run: Workspace, name: str) -> None:
    """Refuse a tier whose sampler needs latencies that are not known before they are timed.

    Raises:
        ConfigError: it is such a tier.
    """
    if run.objectives.is_live(name) and needs_guide(sampler := run.experiment.sampler_of(name)):
        raise ConfigError(
            f"the sampler `{sampler}` knows latencies before they are timed",
            where=f"tier `{name}`: measure: live",
            allowed="It predicts them from the set-up's table: `measure: table`",
            do="Use a table, or another sampler, such as `search: {sampler: tpe}`",
        )


def candidate_costs(run: Workspace, name: str, cost_models: Mapping[str, CostModels]) -> dict[str, PerNetwork]:
    """Return known costs of what a tier's search proposes: networks, or networks in precisions."""
    if run.experiment.tiers[name].precisions is None:
        return cost_functions(run, name, cost_models)
    from hwnas.search.precision.coded import by_precision

    setups = run.experiment.setups_of(name).values()
    parts = [cost_functions(run, name, cost_models, runs_on=setup) for setup in setups]
    shared = [metric for metric in parts[0] if all(metric in part for part in parts)]
    return {metric: by_precision([part[metric] for part in parts]) for metric in shared}


def cost_functions(
    run: Workspace, name: str, cost_models: Mapping[str, CostModels], *, runs_on: str | None = None
) -> dict[str, PerNetwork]:
    """Return known costs by metric, without training: of all networks at once where a quantity can be, others one by
    one. A value is NaN where there is none. Networks run on the tier's set-up, or on another one of its precisions."""
    codebook, setup = run.codebook, run.experiment.tiers[name].setup
    runs_on = runs_on or setup
    functions = {
        metric: _one_by_one(codebook, scorer)
        for metric, scorer in network_scorers(run, name, runs_on, cost_models).items()
    }
    for quantity in run.objectives.quantities(setup):
        if (many := population_function(codebook, quantity)) is not None:
            functions[str(quantity.metric(setup))] = many
    if run.objectives.is_published(name):
        return functions
    model, confidence = cost_models[runs_on].model, run.experiment.tiers[name].limits.latency_quantile
    functions[str(LATENCY.metric(setup))] = lambda codes: predict_many_ms(model, codebook, codes)
    if confidence is not None:
        surely = str(LATENCY.metric(setup, confidence))
        functions[surely] = lambda codes: upper_many_ms(model, codebook, codes, confidence)
    return functions


def population_function(codebook: Codebook, quantity: Quantity) -> PerNetwork | None:
    """Return a function of many networks at once for a quantity; None if it has none."""
    if quantity.many is not None and not quantity.by_setup:
        return partial(quantity.many, codebook)
    if (over := quantity.over_operators) is None:
        return None
    return lambda codes: population_cost(codebook, codes, over.cost, over.by) / over.per


def _low_is_good(values: PerNetwork, negated: bool) -> PerNetwork:
    """Return values as costs; a network without one is never worth proposing."""

    def costs(codes: Codes) -> NDArray[np.float64]:
        known = np.asarray(values(codes), dtype=np.float64)
        return np.where(np.isnan(known), np.inf, -known if negated else known)

    return costs


def _one_by_one(codebook: Codebook, scorer: Scorer) -> PerNetwork:
    """Return a function that scores one by one, with a memory."""
    known: dict[bytes, float] = {}

    def scores(codes: Codes) -> NDArray[np.float64]:
        keys = [row.tobytes() for row in codes]
        new = [index for index, key in enumerate(keys) if key not in known]
        for index, architecture in zip(new, codebook.decode(codes[new]), strict=True):
            try:
                known[keys[index]] = scorer(architecture)
            except NoScore:
                known[keys[index]] = np.nan
        return np.array([known[key] for key in keys])

    return scores
