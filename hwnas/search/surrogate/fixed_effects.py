"""A gene whose options add something of their own to whatever network they stand beside, such as the precision."""

from __future__ import annotations

import numpy as np

from hwnas.population import Codes
from hwnas.predictors.gaussian_process import GaussianProcess
from hwnas.search.surrogate.candidates import Candidates, Floats, Table

EFFECT_DEVIATION = 0.5
"""Standard deviation of an effect before anything was evaluated; that of the networks themselves is 1."""


def no_effects(candidates: Candidates) -> Floats:
    """Return (options,) effects of 0; of one option where no gene has such effects."""
    return np.zeros(1 if candidates.effect is None else len(candidates.options[candidates.effect]))


def effects_of(candidates: Candidates, codes: Codes, effects: Floats) -> Floats:
    """Return (networks,) the effects of the options that they hold."""
    return np.zeros(len(codes)) if candidates.effect is None else effects[codes[:, candidates.effect]]


def learned_effects(
    candidates: Candidates, process: GaussianProcess, codes: Codes, placed: Table, values: Floats
) -> Floats:
    """Return (options,) the effects by generalised least squares, with a weak prior at 0 (Rasmussen and Williams, 2.7).

    Args:
        candidates: the space.
        process: learned from the networks, the gene left out.
        codes: evaluated networks.
        placed: their features, as the process places them.
        values: (networks,) what was learned of them, in the process's scale.
    """
    effects = no_effects(candidates)
    if candidates.effect is None:
        return effects
    joint = process.covariance(placed, placed).astype(float) + process.noise * np.eye(len(values))
    held = (codes[:, candidates.effect, None] == np.arange(len(effects))).astype(float)
    explained = held.T @ np.linalg.solve(joint, np.column_stack([held, values - process.mean]))
    prior = np.eye(len(effects)) / EFFECT_DEVIATION**2
    learned: Floats = np.linalg.solve(explained[:, :-1] + prior, explained[:, -1])
    return learned


def variants(candidates: Candidates, codes: Codes) -> list[Codes]:
    """Return the networks with each option of the gene; as they are where there is none."""
    if candidates.effect is None:
        return [codes]
    result = []
    for option in range(len(candidates.options[candidates.effect])):
        variant = codes.copy()
        variant[:, candidates.effect] = option
        result.append(variant)
    return result
