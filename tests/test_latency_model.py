"""The latency model on tables whose truth is known."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import TableError
from hwnas.latency import posterior
from hwnas.latency.model import FEWEST_CHECKS, LatencyModel
from hwnas.measure.table import LatencyTable, row_key
from hwnas.measure.timing import REFERENCE_CONDITION, Measurement
from hwnas.network import Network, lower, operators_of
from hwnas.ops import Operator, Shape
from hwnas.runtimes import Setup
from hwnas.space import Space, read_space

OVERHEAD_MS = 0.002
Costs = dict[tuple[Operator, Shape], float]
Truth = Callable[[Network], float]


@pytest.fixture(scope="module")
def space(repository: Path) -> Space:
    return read_space(repository / "search_spaces" / "digits.yaml")


@pytest.fixture(scope="module")
def costs(space: Space) -> Costs:
    """What each operator costs alone, without overhead, in ms."""
    rng = random.Random(0)
    return {link: rng.uniform(0.001, 0.01) for link in operators_of(space)}


def steady(ms: float) -> Measurement:
    return Measurement((ms * 1e6,) * 5)


def table_of(costs: Costs, checks: Sequence[Network] = (), truth: Truth = lambda network: 0.0) -> LatencyTable:
    """Rows of steady samples, and checks that take what `truth` says."""
    table = LatencyTable(Path("table.jsonl"), Setup("my board", "fake", "1"), overhead=steady(OVERHEAD_MS))
    table.rows = {row_key(*link): steady(OVERHEAD_MS + ms) for link, ms in costs.items()}
    table.checks = {tuple(row_key(*link) for link in network.links): steady(truth(network)) for network in checks}
    return table


def networks(space: Space, count: int, seed: int = 0) -> list[Network]:
    rng = random.Random(seed)
    return [lower(space, space.random(rng)) for _ in range(count)]


def summed(costs: Costs, network: Network) -> float:
    return OVERHEAD_MS + sum(costs[link] for link in network.links)


@pytest.mark.parametrize("count", range(FEWEST_CHECKS))
def test_without_enough_checks_a_network_is_the_overhead_and_its_rows(space: Space, costs: Costs, count: int) -> None:
    checks = networks(space, count)
    model = LatencyModel.of(table_of(costs, checks, lambda network: 99.0))
    for network in networks(space, 5, seed=1):
        estimate = model.predict(network)
        assert estimate.ms == pytest.approx(summed(costs, network))
        assert estimate.low_ms == pytest.approx(estimate.ms)
        assert estimate.high_ms == pytest.approx(estimate.ms)
        assert model.predict_ms(network) == estimate.ms


def test_without_checks_the_interval_is_the_spread_of_the_rows(space: Space, costs: Costs) -> None:
    table, network = table_of(costs), lower(space, space.smallest())
    noisy = row_key(*next(iter(network.links)))
    table.rows[noisy] = Measurement(tuple(float(ns) for ns in range(10_000, 20_100, 100)))
    estimate = LatencyModel.of(table).predict(network)
    assert estimate.high_ms - estimate.low_ms == pytest.approx(0.009)  # from the 5 % to the 95 % quantile
    assert estimate.ms - estimate.low_ms == pytest.approx(0.0005)


def test_a_table_without_overhead_sums_its_rows(space: Space, costs: Costs) -> None:
    table, network = table_of(costs), lower(space, space.largest())
    table.overhead = None
    rows = [table.rows[row_key(*link)].low_ms for link in network.links]
    assert LatencyModel.of(table).predict_ms(network) == pytest.approx(sum(rows))


def test_a_missing_row_raises_with_the_command_that_adds_it(space: Space, costs: Costs) -> None:
    network = lower(space, space.smallest())
    table = table_of(costs)
    gap = row_key(*list(network.links)[1])
    del table.rows[gap]
    model = LatencyModel.of(table, bench="hwnas bench digits")
    with pytest.raises(TableError, match=r"1 of 1 operators|no row") as caught:
        model.predict(network)
    assert gap[1] in caught.value.met
    assert "hwnas bench digits" in caught.value.do
    with pytest.raises(TableError, match="no row"):
        model.predict(network)


def test_checks_reveal_scale_and_overhead(space: Space, costs: Costs) -> None:
    def truth(network: Network) -> float:
        return 1.5 * OVERHEAD_MS + 0.75 * (summed(costs, network) - OVERHEAD_MS)

    unseen = networks(space, 30, seed=9)
    model = LatencyModel.of(table_of(costs, networks(space, 12), truth))
    plain = LatencyModel.of(table_of(costs))
    errors = [abs(model.predict_ms(n) / truth(n) - 1) for n in unseen]
    assert max(errors) < 0.01
    assert min(abs(plain.predict_ms(n) / truth(n) - 1) for n in unseen) > 0.03


def test_small_networks_keep_their_size_where_large_ones_take_longer_than_their_sum(space: Space, costs: Costs) -> None:
    """As seen with TFLite on CIFAR-10's space: the sum is right for the smallest and 20 % low for the largest."""
    most = summed(costs, lower(space, space.largest()))

    def truth(network: Network) -> float:
        return summed(costs, network) * (1 + 0.2 * summed(costs, network) / most)

    checks = sorted(networks(space, 40), key=lambda network: summed(costs, network))[20:]
    smallest = lower(space, space.smallest())
    assert LatencyModel.of(table_of(costs, checks, truth)).predict_ms(smallest) == pytest.approx(
        truth(smallest), rel=0.25
    )


def test_checks_reveal_an_operator_that_differs_in_company(space: Space, costs: Costs) -> None:
    heads = {link for link in costs if link[0].kind == "classifier"}

    def truth(network: Network) -> float:
        return summed(costs, network) + sum(0.5 * costs[link] for link in network.links if link in heads)

    unseen = networks(space, 30, seed=9)

    def error(count: int) -> float:
        model = LatencyModel.of(table_of(costs, networks(space, count), truth))
        return float(np.mean([abs(model.predict_ms(n) / truth(n) - 1) for n in unseen]))

    assert error(40) < 0.5 * error(0)
    assert error(40) < 0.02


def test_nine_of_ten_new_timings_fall_into_the_interval(space: Space, costs: Costs) -> None:
    hits = list[bool]()
    for seed in range(25):
        rng = random.Random(seed)
        deviating = {link: ms * rng.gauss(1, 0.1) for link, ms in costs.items()}
        scale, overhead = rng.gauss(0.9, 0.2), rng.uniform(0.001, 0.006)

        def truth(network: Network, rng: random.Random = rng, scale: float = scale, overhead: float = overhead,
                  costs: Costs = deviating) -> float:  # fmt: skip
            return (overhead + scale * sum(costs[link] for link in network.links)) * rng.gauss(1, 0.02)

        model = LatencyModel.of(table_of(costs, networks(space, 10, seed), truth))
        for network in networks(space, 12, seed=1000 + seed):
            estimate = model.predict(network)
            hits.append(estimate.low_ms <= truth(network) <= estimate.high_ms)
    assert 0.83 < np.mean(hits) < 0.97


@pytest.mark.usefixtures("known_sizes")
def test_every_check_narrows_the_interval(space: Space, costs: Costs) -> None:
    largest, checks = lower(space, space.largest()), networks(space, 12)
    widths = []
    for count in range(FEWEST_CHECKS, 13):
        table = table_of(costs, checks[:count], lambda network: 1.3 * summed(costs, network))
        estimate = LatencyModel.of(table).predict(largest)
        assert estimate.low_ms < estimate.ms < estimate.high_ms
        widths.append(estimate.high_ms - estimate.low_ms)
    assert all(wide > narrow for wide, narrow in itertools.pairwise(widths))


def prices(costs: np.ndarray, checks: Sequence[np.ndarray], doubts: np.ndarray | None = None) -> posterior.RowCosts:
    """What `fit` and `terms` are told, of checks that are given as places of their operators; two by two are alike."""
    counts = np.stack([np.bincount(check, minlength=len(costs)) for check in checks]).astype(float)
    doubts = np.zeros(len(costs)) if doubts is None else doubts
    return posterior.RowCosts(costs, doubts, np.arange(len(costs)) // 2, counts)


@pytest.fixture
def known_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One member in the mixture: noise, deviations and slope of known sizes."""
    for name, size in {"NOISE_LEVELS": 0.02, "DEVIATION": 0.1, "CORRELATION_LEVELS": 0.2, "SLOPE": 0.05}.items():
        monkeypatch.setattr(posterior, name, (size,))


def predicted(overhead_ms: float, known: posterior.RowCosts, timed: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of a network that is given as places of its operators."""
    terms = posterior.fit(overhead_ms, known, timed).terms(known)
    counts = np.bincount(new, minlength=len(known.ms))[None].astype(float)
    return float(terms.constant_ms + counts[0] @ terms.ms), float(terms.deviations_ms(counts)[0])


@pytest.mark.usefixtures("known_sizes")
def test_the_posterior_is_that_of_all_unknowns_written_out() -> None:
    """The textbook form, with one column for each unknown, gives the same numbers."""
    overhead_ms, rng = 0.5, np.random.default_rng(1)
    costs, doubts = rng.uniform(1, 5, size=6), rng.uniform(0, 0.01, size=6)
    *checks, new = [rng.integers(0, 6, size=5) for _ in range(6)]
    timed = np.array([2 + 0.8 * costs[check].sum() for check in checks])
    known = prices(costs, checks, doubts)
    usual = posterior.fit(overhead_ms, known, timed).usual

    def row(places: np.ndarray) -> np.ndarray:
        shares = np.bincount(places, minlength=6) * costs
        return np.array([1, shares.sum(), shares @ (np.log(costs) - usual), *shares, *shares.reshape(3, 2).sum(axis=1)])

    x, prior = np.stack([row(check) for check in checks]), np.array([overhead_ms, 1, *np.zeros(10)])
    variances = np.array([overhead_ms**2, 0.3**2, 0.05**2, *(0.1**2 + doubts), *[0.2**2] * 3])
    expected = overhead_ms + x[:, 1]
    covariance = np.linalg.inv(np.diag(1 / variances) + x.T @ np.diag(1 / (0.02 * expected) ** 2) @ x)
    mean = prior + covariance @ x.T @ ((timed - x @ prior) / (0.02 * expected) ** 2)
    found_mean, found_sd = predicted(overhead_ms, known, timed, new)
    assert found_mean == pytest.approx(row(new) @ mean)
    assert found_sd**2 == pytest.approx(row(new) @ covariance @ row(new) + (0.02 * (row(new) @ prior)) ** 2)


def test_terms_answer_for_any_operators_as_each_network_does_alone(space: Space, costs: Costs) -> None:
    """Also for operators that no check holds, and in any order: the vectorised form is the one truth."""
    rng, unseen = random.Random(3), networks(space, 10, seed=9)
    table = table_of(costs, networks(space, 8), lambda network: 0.9 * summed(costs, network) * rng.gauss(1, 0.02))
    model, links = LatencyModel.of(table), list(costs)
    rng.shuffle(links)
    terms, (constant_ms, ms) = model.terms(links), model.linear(links)
    counts = np.array([[list(network.links).count(link) for link in links] for network in unseen], dtype=float)
    assert terms.constant_ms == pytest.approx(constant_ms)
    assert terms.ms == pytest.approx(ms)
    estimates = [model.predict(network) for network in unseen]
    assert constant_ms + counts @ ms == pytest.approx([estimate.ms for estimate in estimates])
    assert constant_ms + counts @ ms == pytest.approx([model.predict_ms(network) for network in unseen])
    assert terms.quantile_ms(counts, 0.05) == pytest.approx([estimate.low_ms for estimate in estimates])
    assert terms.quantile_ms(counts, 0.9) == pytest.approx([model.upper_ms(network, 0.9) for network in unseen])


def test_a_slow_sitting_changes_no_prediction(space: Space, costs: Costs) -> None:
    """What was timed while the reference operator took half as long again counts as in its usual state."""
    checks = networks(space, 6)
    table = table_of(costs, checks, lambda network: 0.9 * summed(costs, network))

    def slowed(found: Measurement, by: float) -> Measurement:
        pace = np.exp(np.linspace(-0.05, 0.05, 9))
        samples = found.median_ms * 1e6 * by * pace
        return Measurement(tuple(samples.tolist()), {REFERENCE_CONDITION: (1000.0 * by * pace).tolist()})

    table.overhead = table.overhead and slowed(table.overhead, 1)
    table.rows = {key: slowed(row, 1) for key, row in table.rows.items()}
    table.checks = {key: slowed(check, 1) for key, check in table.checks.items()}
    calm = LatencyModel.of(table)
    table.rows = {key: slowed(row, 1.5 if place % 5 == 0 else 1) for place, (key, row) in enumerate(table.rows.items())}
    table.checks = {key: slowed(check, 1.5) for key, check in table.checks.items()}
    drifted = LatencyModel.of(table)
    for network in networks(space, 5, seed=9):
        found, wanted = drifted.predict(network), calm.predict(network)
        assert (found.low_ms, found.ms, found.high_ms) == pytest.approx(
            (wanted.low_ms, wanted.ms, wanted.high_ms), rel=2e-3
        )


def test_operators_that_are_alike_teach_of_each_other(space: Space, costs: Costs) -> None:
    """All operators of one kind at one resolution are a third slower in company; checks hold only some of them."""
    slow = next(link for link in costs if link[0].kind == "mbconv")[1][1:]

    def truth(network: Network) -> float:
        return summed(costs, network) + sum(
            costs[link] / 3 for link in network.links if link[0].kind == "mbconv" and link[1][1:] == slow
        )

    checks = networks(space, 12)
    model = LatencyModel.of(table_of(costs, checks, truth))
    timed = {link for network in checks for link in network.links}
    fresh = [link for link in costs if link[0].kind == "mbconv" and link[1][1:] == slow and link not in timed]
    ratios = model.linear(fresh)[1] / [costs[link] for link in fresh]
    assert np.mean(ratios) == pytest.approx(4 / 3, rel=0.1)


@pytest.mark.parametrize("checks", [0, 12])
def test_times_of_operators_and_of_the_call_sum_to_the_prediction(space: Space, costs: Costs, checks: int) -> None:
    known = networks(space, checks)
    model = LatencyModel.of(table_of(costs, known, lambda network: 1.3 * summed(costs, network)))
    for network in networks(space, 5, seed=1):
        *operators, call = model.operator_times(network)
        assert len(operators) == len(network.operators)
        assert call.ms + sum(one.ms for one in operators) == pytest.approx(model.predict(network).ms, rel=1e-12)
        for one, link in zip(operators, network.links, strict=True):
            assert one.low_ms <= one.ms <= one.high_ms
            assert one.ms == pytest.approx(costs[link] * (1.3 if checks else 1.0), rel=0.1)
            assert not one.estimated


def test_an_operator_without_a_row_says_that_its_time_is_estimated(space: Space, costs: Costs) -> None:
    network = lower(space, space.smallest())
    table = table_of(costs)
    gap = list(network.links)[1]
    del table.rows[row_key(*gap)]
    times = LatencyModel.of(table, missing="estimate").operator_times(network)
    assert [one.estimated for one in times[:-1]] == [link == gap for link in network.links]
