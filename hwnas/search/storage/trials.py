"""Trials of Optuna's as hwnas tells them, and checks of those that were stored."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hwnas.io.fields import FieldError, Fields
from hwnas.pareto import Tier
from hwnas.search.evaluate import Evaluation
from hwnas.search.storage.backends import damaged
from hwnas.search.storage.exclusive import attributes


def finished_trial(
    proposal: FrozenTrial, evaluation: Evaluation, tier: Tier, worst: Mapping[str, float]
) -> FrozenTrial:
    """Return a proposal with its evaluation; `worst` holds, by metric, the substitute for a score that is missing."""
    scores = evaluation.scores
    unscored = [o.metric for o in tier.objectives if o.metric not in scores]
    told = copy.copy(proposal)
    told.user_attrs = attributes(evaluation, unscored)
    for limit in tier.limits:
        excess = limit.excess(scores[limit.metric]) if limit.metric in scores else 0.0
        told.set_constraint(str(limit), excess / (abs(limit.bound) or 1.0))
    if evaluation.failed is not None:
        told.state = TrialState.FAIL
    else:
        told.state = TrialState.COMPLETE
        told.values = [scores.get(o.metric, worst.get(o.metric, 0.0)) for o in tier.objectives]
    told.datetime_complete = datetime.now()
    return told


def check_trial(trial: FrozenTrial, tier: Tier, genes: dict[str, BaseDistribution], trials: int) -> None:
    """Check that samplers can look at a kept trial.

    Raises:
        RunError: a value, a parameter or an attribute is not what they take for granted.
    """
    where, noted = f"trial {trial.number}", Fields(trial.system_attrs)
    try:
        if trial.state == TrialState.COMPLETE and len(trial.values or ()) != len(tier.objectives):
            raise FieldError(f"`values` has {len(trial.values or ())} of {len(tier.objectives)} objectives")
        if not _are_genes(trial.distributions, genes) or trial.params.keys() != genes.keys():
            raise FieldError("`params` are not those of the space's choices")
        for name in noted.names():
            if name.startswith("constraints:"):
                noted.number(name)
            elif name.endswith(":generation") and not 0 <= noted.integer(name) <= trials:
                raise FieldError(f"`{name}` is {noted.raw[name]}, of {trials} trials")
    except FieldError as error:
        raise damaged(where, error) from error


def _are_genes(distributions: dict[str, BaseDistribution], genes: dict[str, BaseDistribution]) -> bool:
    """Return whether these are the genes; equal pairs are remembered, for comparing them for each trial is slow."""
    if len(distributions) != len(genes):
        return False
    for name, gene in genes.items():
        one = distributions.get(name)
        if one is not gene and (id(one), id(gene)) not in _EQUAL:
            if one != gene:
                return False
            _EQUAL[id(one), id(gene)] = (one, gene)
    return True


_EQUAL: dict[tuple[int, int], tuple[object, object]] = {}
"""Distributions that were compared; kept alive, so that no other one gets their `id`."""
