"""Costs of parts from whole networks alone, on networks whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks._network_only_posterior import CostPosterior

Floats = NDArray[np.float64]


def networks(count: int, noise: float, seed: int = 0, parts: int = 8) -> tuple[Floats, Floats, Floats]:
    """(counts, times, costs) of networks that are sums of parts and an overhead."""
    rng = np.random.default_rng(seed)
    costs = np.concatenate([[5.0], np.exp(rng.normal(0, 1, parts))])
    counts = np.column_stack([np.ones(count), rng.integers(1, 9, (count, parts))])
    return counts, counts @ costs * (1 + noise * rng.normal(size=count)), costs


def test_noise_free_networks_tell_the_costs() -> None:
    counts, ms, costs = networks(60, 0.0)
    posterior = CostPosterior.fit(counts, ms)
    assert posterior.mean == pytest.approx(costs, rel=1e-2)
    assert posterior.noise < 1e-3


def test_the_noise_is_found_and_intervals_hold() -> None:
    held, total = 0, 0
    for seed in range(12):
        counts, ms, _ = networks(300, 0.03, seed)
        posterior = CostPosterior.fit(counts[:60], ms[:60])
        assert 0.015 < posterior.noise < 0.06
        means, deviations = posterior.predict(counts[60:])
        held += int((np.abs(ms[60:] - means) <= 1.6449 * deviations).sum())
        total += len(means)
    assert 0.83 < held / total < 0.96


def test_units_and_order_change_nothing() -> None:
    counts, ms, _ = networks(60, 0.02)
    new = networks(20, 0.02, seed=9)[0]
    wanted = CostPosterior.fit(counts, ms).predict(new)[0]
    order = np.random.default_rng(0).permutation(60)
    assert CostPosterior.fit(counts[order], ms[order]).predict(new)[0] == pytest.approx(wanted, rel=1e-4)
    assert CostPosterior.fit(counts, 1000 * ms).predict(new)[0] == pytest.approx(1000 * wanted, rel=1e-3)
    factors = np.linspace(0.1, 50, counts.shape[1])
    assert CostPosterior.fit(counts * factors, ms).predict(new * factors)[0] == pytest.approx(wanted, rel=1e-3)


def test_a_group_that_explains_nothing_is_shrunk() -> None:
    rng = np.random.default_rng(1)
    counts, ms, _ = networks(60, 0.02, parts=4)
    idle = rng.integers(1, 9, (60, 20)).astype(float)
    posterior = CostPosterior.fit(np.hstack([counts, idle]), ms, [0, 1, 1, 1, 1, *[2] * 20])
    assert posterior.prior_sd[2] < 0.1 * posterior.prior_sd[1]
    fresh, truth, _ = networks(40, 0.0, parts=4)
    found = posterior.predict(np.hstack([fresh, rng.integers(1, 9, (40, 20)).astype(float)]))[0]
    assert np.abs(found / truth - 1).mean() < 0.02
