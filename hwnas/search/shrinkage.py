"""Accuracies of few samples, shrunken towards what similar networks reach: the largest of many noisy ones is too large.

Empirical Bayes (Efron and Morris 1973, after James and Stein 1961), with a Gaussian process over the networks' features
as the prior (Rasmussen and Williams 2006, 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from hwnas.pareto import Objective
from hwnas.population import Codebook
from hwnas.predictors import features_of
from hwnas.predictors.gaussian_process import GaussianProcess
from hwnas.predictors.model import Floats, Integers
from hwnas.predictors.warp import Warp
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import ShrunkenEstimate
from hwnas.search.precision.candidate import split_candidate

FEWEST_NETWORKS = 10
"""Networks from which a prior can be learned."""
MOST = 2000
"""Networks that are learned from at a time, at most: it takes time that goes with their cube."""
PASSES = 2
"""Times that noise is taken at the estimates, the first of which are the scores themselves."""


def shrunken(
    evaluations: Iterable[Evaluation], quality: Objective, errors: Mapping[str, float], codebook: Codebook
) -> dict[str, ShrunkenEstimate]:
    """Return estimates of the true quality of evaluated networks, by key.

    Each lies between the network's own score and what the others let expect of it, nearer to the score the smaller its
    standard error is. There are none where scores are exact, or where fewer than ten networks have an error: scores are
    then the best estimates.

    Args:
        evaluations: in any order; those without a score or an error are left out.
        quality: what is estimated.
        errors: standard errors of the scores, by key.
        codebook: of the networks' space.
    """
    scored = {e.architecture.key: e for e in evaluations if quality.metric in e.scores and e.architecture.key in errors}
    keys = sorted(scored)  # hashes: neighbours in this order are as unlike as any
    scores = np.array([-quality.cost(scored[key].scores[quality.metric]) for key in keys])
    spread = np.array([errors[key] for key in keys])
    if len(keys) < FEWEST_NETWORKS or not spread.any():
        return {}
    features = features_of(codebook)
    candidates = [split_candidate(scored[key].architecture) for key in keys]
    table = features(codebook.encode([architecture for architecture, _ in candidates])).astype(float)
    groups = features.groups
    if len(precisions := sorted({str(precision) for _, precision in candidates})) > 1:
        lower = np.array([[float(precision == one) for one in precisions] for _, precision in candidates])
        table, groups = np.hstack([table, lower]), np.append(groups, [groups.max() + 1] * len(precisions))
    estimates: dict[str, ShrunkenEstimate] = {}
    for part in np.array_split(np.arange(len(keys)), math.ceil(len(keys) / MOST)):
        values, deviations = _denoised(table[part], scores[part], spread[part], groups)
        for index, value, deviation in zip(part, values, deviations, strict=True):
            estimates[keys[index]] = ShrunkenEstimate(_rounded(-quality.cost(value)), _rounded(deviation))
    return estimates


def _rounded(value: float) -> float:
    """Six digits: the last ones of a solved system depend on the threads that it was solved with."""
    return float(f"{value:.6g}")


def _denoised(X: Floats, y: Floats, errors: Floats, groups: Integers) -> tuple[Floats, Floats]:
    """(rows,) means and deviations of the true values, in the unit of `y`, of which the highest is the best.

    Noise is that of the estimate, not of the score: by its own formula a network that was lucky looks the surer for it.
    An error of 0 among others is of a network that was right on all samples, and is no proof of a perfect one.
    """
    if y.min() == y.max() or not errors.any():
        return y, errors
    errors = np.maximum(errors, errors[errors > 0].min())
    warp = Warp.fit(y)
    process = GaussianProcess.fit(X, warp.forward(y), groups)
    order, means, deviations = np.argsort(y, kind="stable"), y, errors
    for _ in range(PASSES):
        errors_there = np.interp(means, y[order], errors[order])
        noise = (warp.forward(means + errors_there) - warp.forward(means - errors_there)) ** 2 / 4
        latent, spread = process.denoised(noise)
        means, deviations = np.clip(warp.back(latent), y.min(), y.max()), warp.moments(latent, spread)[1]
    return means, deviations
