"""A gene whose options add something of their own to whatever network they stand beside, such as the precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwnas.population import Codes
from hwnas.predictors.gaussian_process import GaussianProcess
from hwnas.search.surrogate.candidates import Candidates, Floats, Table
from hwnas.search.surrogate.evolution import evolve

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
    design = (codes[:, candidates.effect, None] == np.arange(len(effects))).astype(float)
    explained = design.T @ np.linalg.solve(joint, np.column_stack([design, values - process.mean]))
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


def least_of(candidates: Candidates, values: Callable[[Codes], Floats], codes: Codes) -> Floats:
    """Return the least values of networks over the options of the gene."""
    least: Floats = np.min([values(of) for of in variants(candidates, codes)], axis=0)
    return least


def evolve_variants(
    candidates: Candidates,
    promise: Callable[[Codes], list[Floats]],
    known: Codes,
    rng: np.random.Generator,
    excess: Callable[[Codes], Floats],
) -> Codes | None:
    """Return the best network that evolution visits, with the option that suits it; see `evolve`.

    Args:
        candidates: the space.
        promise: scores of networks for each option, or of one list where there is no such gene.
        known: evaluated networks.
        rng: equal generators, equal results.
        excess: by how much networks exceed limits.
    """
    if candidates.effect is None:
        return evolve(candidates, lambda codes: promise(codes)[0], known, rng, excess=excess)

    def settle(codes: Codes) -> Codes:
        return variants(candidates, candidates.settle(codes))[0]

    plain = replace(candidates, settle=settle)
    best = evolve(
        plain,
        lambda codes: np.max(promise(codes), axis=0),
        np.unique(settle(known), axis=0),
        rng,
        excess=lambda codes: least_of(candidates, excess, codes),
    )
    if best is None:
        return None
    chosen: Codes = variants(candidates, best[None])[int(np.argmax(promise(best[None])))][0]
    return chosen
