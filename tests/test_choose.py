"""Choosing the networks that are timed whole, on tables whose truth is the model's."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from hwnas.latency import posterior
from hwnas.latency.model import LatencyModel
from hwnas.latency.validation_design import choose_validation_networks, next_check, rough_cost_ms
from hwnas.measure.table import LatencyTable, check_key, row_key
from hwnas.measure.timing import Measurement
from hwnas.network import Network, lower, operators_of
from hwnas.runtimes import Setup
from hwnas.space import Space, read_space


@pytest.fixture(scope="module")
def space(repository: Path) -> Space:
    return read_space(repository / "search_spaces" / "digits.yaml")


def drawn(space: Space, count: int, seed: int = 0) -> list[Network]:
    rng = random.Random(seed)
    ends = [lower(space, space.smallest()), lower(space, space.largest())]
    return [*ends, *(lower(space, space.random(rng)) for _ in range(count))]


def table_with(space: Space, checks: list[Network], seed: int = 0) -> LatencyTable:
    """A table of this space in which operators deviate by 10 %, with these checks timed to 1 %."""
    rng = random.Random(seed)
    table = LatencyTable(Path("table.jsonl"), Setup("my board", "fake", "1"), overhead=Measurement((2000.0,)))
    costs_ns = {link: 1e6 * rough_cost_ms(*link) * rng.uniform(0.5, 2) for link in operators_of(space)}
    true_ns = {link: ns * rng.gauss(0.9, 0.1) for link, ns in costs_ns.items()}
    table.rows = {row_key(*link): Measurement((2000 + ns,)) for link, ns in costs_ns.items()}
    for network in checks:
        ns = (2000 + sum(true_ns[link] for link in network.links)) * rng.gauss(1, 0.01)
        table.checks[check_key(network)] = Measurement((ns,))
    return table


def mean_variance(table: LatencyTable, networks: list[Network]) -> float:
    """Mean over networks of the squared relative standard deviation of what is predicted."""
    model = LatencyModel.of(table)
    estimates = [model.predict(network) for network in networks]
    return float(np.mean([((e.high_ms - e.low_ms) / e.ms) ** 2 for e in estimates]))


def test_chosen_checks_leave_less_doubt_than_random_ones(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """On networks that are no candidates, with noise and deviations of known size, with every number of checks."""
    for name, size in {"NOISE_LEVELS": 0.01, "DEVIATION": 0.1, "CORRELATION_LEVELS": 0.1, "SLOPE": 0.03}.items():
        monkeypatch.setattr(posterior, name, (size,))
    candidates, fresh = drawn(space, 200), drawn(space, 60, seed=1)
    for count in (5, 10, 20):
        chosen = mean_variance(table_with(space, choose_validation_networks(candidates, count)), fresh)
        others = [
            mean_variance(
                table_with(space, candidates[:2] + random.Random(seed).sample(candidates[2:], count - 2)), fresh
            )
            for seed in range(8)
        ]
        assert chosen < min(others)


def test_the_smallest_and_the_largest_come_first_and_fewer_are_the_beginning_of_more(space: Space) -> None:
    candidates = drawn(space, 50)
    shuffled = random.Random(0).sample(candidates, len(candidates))
    most = choose_validation_networks(shuffled, 20)
    assert most[:2] == candidates[:2]
    assert len(set(most)) == 20
    for count in (0, 1, 2, 3, 12):
        assert choose_validation_networks(shuffled, count) == most[:count]


def test_there_are_never_more_checks_than_candidates(space: Space) -> None:
    candidates = drawn(space, 5)
    assert set(choose_validation_networks([*candidates, *candidates], 50)) == set(candidates)
    assert choose_validation_networks([], 5) == []


def test_an_operator_that_costs_all_is_in_the_checks(space: Space) -> None:
    """With costs at hand, the choice is about what is dear: here one operator that few candidates hold."""
    candidates = drawn(space, 200)
    held = [link for network in candidates for link in network.links]
    rare = min(dict.fromkeys(held), key=held.count)
    costs = {link: 50.0 if link == rare else 1.0 for link in held}
    assert any(rare in network.links for network in choose_validation_networks(candidates, 4, costs))


def test_the_next_check_is_one_that_was_not_timed_and_leaves_the_least_doubt(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in {"NOISE_LEVELS": 0.01, "DEVIATION": 0.1, "CORRELATION_LEVELS": 0.1, "SLOPE": 0.03}.items():
        monkeypatch.setattr(posterior, name, (size,))
    candidates = drawn(space, 12)
    timed, open_ones = candidates[:4], candidates[4:]
    table = table_with(space, timed)
    found = next_check(table, candidates)
    assert found in open_ones
    doubts = {check_key(one): mean_variance(table_with(space, [*timed, one]), open_ones) for one in open_ones}
    assert doubts[check_key(found)] == pytest.approx(min(doubts.values()), rel=0.02)
    assert next_check(table, timed) is None
