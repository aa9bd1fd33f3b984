"""Made-up accuracies of once-for-all's space, each of another character; what they say is nobody's accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hwnas.population import Codebook, Codes

Floats = NDArray[np.float64]
Raw = Callable[[Codes, NDArray[np.bool_], Floats], Floats]
"""From codes, which choices are active, and the options taken as columns of 0 and 1."""


class Predictor:
    """A fixed function of networks that counts how many it was asked for. Inactive choices have no effect."""

    def __init__(self, codebook: Codebook, raw: Raw) -> None:
        self._codebook, self._raw, self.calls = codebook, raw, 0
        sizes = sizes_of(codebook)
        self._starts, self._columns = np.cumsum(sizes) - sizes, int(sizes.sum())

    def __call__(self, codes: Codes) -> Floats:
        """(networks,) higher is better."""
        self.calls += len(codes)
        active = self._codebook.active(codes)
        taken = np.zeros((len(codes), self._columns))
        np.put_along_axis(taken, self._starts + codes, active.astype(float), axis=1)
        return self._raw(np.where(active, codes, 0).astype(np.intp), active, taken)


def sizes_of(codebook: Codebook) -> NDArray[np.intp]:
    """(choices,) how many options each has."""
    return np.array([len(choice.options) for choice in codebook.choices], dtype=np.intp)


def effects(sizes: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """(options,) effects that grow from option to option, of choices that matter more and less."""
    return np.concatenate([np.sort(rng.normal(size=size)) * rng.uniform(0, 1) for size in sizes])


def additive(sizes: NDArray[np.intp], rng: np.random.Generator) -> Raw:
    """The sum of the options' effects."""
    alone = effects(sizes, rng)
    return lambda codes, active, taken: taken @ alone


def effects_and_pairs(sizes: NDArray[np.intp], rng: np.random.Generator) -> Raw:
    """Effects, and others of pairs of options for 15 % of all pairs of choices."""
    alone = effects(sizes, rng)
    first, second = np.nonzero(np.triu(rng.random((len(sizes), len(sizes))) < 0.15, 1))
    together = rng.normal(size=(len(first), sizes.max(), sizes.max())) * 0.4

    def raw(codes: Codes, active: NDArray[np.bool_], taken: Floats) -> Floats:
        both = active[:, first] & active[:, second]
        pairs = together[np.arange(len(first)), codes[:, first], codes[:, second]]
        found: Floats = taken @ alone + (pairs * both).sum(axis=1)
        return found

    return raw


def neighbours(sizes: NDArray[np.intp], rng: np.random.Generator) -> Raw:
    """Rugged: what a choice is worth depends on the one before and the one after it, in a table at random."""
    alone = 0.3 * effects(sizes, rng)
    together = rng.normal(size=(len(sizes) - 1, sizes.max(), sizes.max()))

    def raw(codes: Codes, active: NDArray[np.bool_], taken: Floats) -> Floats:
        pairs = together[np.arange(len(together)), codes[:, :-1], codes[:, 1:]]
        found: Floats = taken @ alone + pairs.sum(axis=1)
        return found

    return raw


def hidden_layer(sizes: NDArray[np.intp], rng: np.random.Generator) -> Raw:
    """Effects, and sixteen hyperbolic tangents of others."""
    alone = effects(sizes, rng)
    inner, outer = rng.normal(size=(int(sizes.sum()), 16)) * 0.3, rng.normal(size=16)
    return lambda codes, active, taken: 0.5 * taken @ alone + np.tanh(taken @ inner) @ outer


def three_layers(sizes: NDArray[np.intp], rng: np.random.Generator) -> Raw:
    """A network of three hidden ReLU layers on the options, as once-for-all's own predictor is, with random weights."""
    wide = [int(sizes.sum()), 64, 64, 64]
    layers = [
        (rng.normal(size=(a, b)) * np.sqrt(2 / (len(sizes) if a == wide[0] else a)), rng.normal(size=b) * 0.5)
        for a, b in pairwise(wide)
    ]
    last, alone = rng.normal(size=wide[-1]) / np.sqrt(wide[-1]), 0.1 * effects(sizes, rng)

    def raw(codes: Codes, active: NDArray[np.bool_], taken: Floats) -> Floats:
        told = taken
        for weights, bias in layers:
            told = np.maximum(told @ weights + bias, 0)
        found: Floats = taken @ alone + told @ last
        return found

    return raw


PREDICTORS: Mapping[str, Callable[[NDArray[np.intp], np.random.Generator], Raw]] = {
    "additive": additive,
    "effects_and_pairs": effects_and_pairs,
    "neighbours": neighbours,
    "hidden_layer": hidden_layer,
    "three_layers": three_layers,
}


def predictor(name: str, codebook: Codebook, seed: int) -> Predictor:
    """One by its name; another seed, other effects."""
    return Predictor(codebook, PREDICTORS[name](sizes_of(codebook), np.random.default_rng(seed)))
