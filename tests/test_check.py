"""Checking a table: fresh networks only, predictions beside baselines and noise, on tables whose truth is known."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hwnas.cli import app
from hwnas.commands import validate_table as checking
from hwnas.commands.validate_table import check, sample_unseen
from hwnas.errors import ConfigError, SpaceError, TableError
from hwnas.latency.baselines import fit_line, fit_ridge
from hwnas.latency.building import table_builder as build
from hwnas.measure.table import LatencyTable, check_key, open_table, read_table
from hwnas.measure.timing import Measurement, Timing
from hwnas.network import Network, costs, lower, operators_of
from hwnas.runtimes import Setup
from hwnas.space import Space, read_space
from tests.helpers.spaces import SMALL

SETUP = Setup("my board", "onnxruntime", "1")
OVERHEAD_MS = 0.002
REFERENCE_NS = 5000.0
Truth = Callable[[Network], float]


@dataclass(frozen=True)
class FakeRuntime:
    setup: Setup = SETUP


@dataclass
class Machine:
    """Times networks by a rule instead of a clock; `pace` is how slow it is in each sitting."""

    truth: Truth
    pace: tuple[float, ...] = (1.0, 1.0)
    reference_ns: float | None = REFERENCE_NS
    timed: list[list[Network]] | None = None

    def time_networks(self, networks: Sequence[Network], timing: Timing, context: Any) -> list[Measurement]:
        self.timed = [*(self.timed or []), list(networks)]
        slow = self.pace[len(self.timed) - 1]
        context.progress(1, 1, "done")
        reference = self.reference_ns and slow * self.reference_ns
        return [steady(slow * self.truth(network), reference) for network in networks]


WOBBLE = (0.9, 0.95, 1.0, 1.05, 1.1)
"""The machine's pace from round to round, by which a file shows that it follows the reference."""


def steady(ms: float, reference_ns: float | None = REFERENCE_NS) -> Measurement:
    if reference_ns is None:
        return Measurement((ms * 1e6,) * 5)
    wobbling = tuple(ms * 1e6 * pace for pace in WOBBLE)
    return Measurement(wobbling, {"reference_ns": [reference_ns * pace for pace in WOBBLE]})


@pytest.fixture(scope="module")
def space(repository: Path) -> Space:
    return read_space(repository / "search_spaces" / "digits.yaml")


@pytest.fixture(scope="module")
def summed(space: Space) -> Truth:
    """What a network takes if its operators add up exactly."""
    rng = random.Random(0)
    alone = {link: rng.uniform(0.001, 0.01) for link in operators_of(space)}
    truth: Truth = lambda network: OVERHEAD_MS + sum(alone[link] for link in network.links)  # noqa: E731
    truth.alone = alone  # type: ignore[attr-defined]
    return truth


def some_networks(space: Space, count: int) -> list[Network]:
    rng = random.Random(0)
    drawn = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(count))]
    return [lower(space, architecture) for architecture in drawn[:count]]


def write_table(
    path: Path, space: Space, summed: Truth, checks: int = 0, truth: Truth | None = None, *, spaces: bool = True
) -> LatencyTable:
    table = open_table(path, SETUP)
    table.append_overhead(steady(OVERHEAD_MS))
    for (operator, shape), ms in summed.alone.items():  # type: ignore[attr-defined]
        table.append_row(operator, shape, steady(OVERHEAD_MS + ms))
    for network in some_networks(space, checks):
        table.append_check(network, steady((truth or summed)(network)))
    if spaces:
        table.append_space(space.name, space.name)
    return table


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, summed: Truth) -> Machine:
    """This machine: it is the table's, and as the rows say."""
    made = Machine(summed)
    monkeypatch.setattr(checking, "open_setup", lambda setup: FakeRuntime())
    monkeypatch.setattr(build, "time_networks", made.time_networks)
    monkeypatch.setattr(build, "expected_seconds", lambda *given: 60.0)
    return made


@pytest.mark.parametrize("checks", [0, 12])
def test_a_perfect_table_has_no_error(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine, checks: int
) -> None:
    table = write_table(tmp_path / "t.jsonl", space, summed, checks)
    found = check(table.path, networks=20)
    assert found.model.mape == pytest.approx(0, abs=2e-3 if checks else 1e-9)
    assert (found.model.within_5, found.model.coverage_90, found.noise.mape) == (1, 1, 0)
    assert found.model.spearman == pytest.approx(1, abs=0.01)
    assert (found.drift, found.drift_again) == (0, 0)


def test_a_table_that_is_a_twentieth_too_slow(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    machine.truth = lambda network: summed(network) / 1.05
    found = check(write_table(tmp_path / "t.jsonl", space, summed).path, networks=12)
    assert found.model.mape == pytest.approx(0.05)
    assert found.model.bias == pytest.approx(0.05)
    assert (found.model.within_5, found.model.within_10, found.model.coverage_90) == (1, 1, 0)
    assert found.baselines["sum"] is not None
    assert found.baselines["sum"].mape == pytest.approx(0.05)
    assert found.baselines["sum"].coverage_90 is None


def test_no_network_was_seen_before(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    table = write_table(tmp_path / "t.jsonl", space, summed, 40)
    found = check(table.path, networks=30)
    assert machine.timed is not None
    first, second = machine.timed
    keys = {check_key(network) for network in first[:30]}
    assert first == second
    assert {check_key(network) for network in first[30:]} <= table.checks.keys(), "anchors follow"
    assert len(keys) == len(found.networks) == 30
    assert not keys & table.checks.keys()


@pytest.mark.parametrize("name", ["per layer", "blocks", "two operators"])
def test_networks_of_a_small_space_are_drawn_until_it_is_empty(name: str) -> None:
    space = SMALL[name]
    whole = {check_key(network) for _, network in sample_unseen([space], 10_000, 0, set())}
    seen = set(sorted(whole)[::3])
    left = [check_key(network) for _, network in sample_unseen([space], 10_000, 1, seen)]
    assert len(whole) == space.count
    assert set(left) == whole - seen
    with pytest.raises(SpaceError, match="every network"):
        sample_unseen([space], 1, 0, whole)


def test_spaces_take_turns(space: Space) -> None:
    drawn = sample_unseen([space, SMALL["blocks"]], 8, 0, set())
    assert [architecture.space for architecture, _ in drawn] == [space.name, "small"] * 4


def test_half_of_the_networks_are_uniform_at_each_choice(space: Space) -> None:
    """Most architectures are deep; drawn at each choice, a third of the networks are not."""
    drawn = sample_unseen([space], 200, 0, set())
    uniform, choicewise = (np.mean([len(n.operators) for _, n in drawn[start::2]]) for start in (0, 1))
    assert uniform > choicewise + 0.2


def test_the_seed_decides_what_is_drawn(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    machine.pace = (1.0,) * 6
    table = write_table(tmp_path / "t.jsonl", space, summed, 5)
    one, other, another = (check(table.path, networks=9, seed=seed) for seed in (3, 3, 4))
    assert one == other
    assert {n.key for n in one.networks} != {n.key for n in another.networks}


def test_drift_is_corrected_and_told(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    machine.pace = (1.25, 0.8)
    found = check(write_table(tmp_path / "t.jsonl", space, summed).path, networks=10)
    assert (found.drift, found.drift_again) == (pytest.approx(0.25), pytest.approx(-0.2))
    assert found.model.mape == pytest.approx(0, abs=1e-3)
    assert found.uncorrected.mape == pytest.approx(0.2, abs=1e-3)
    assert found.noise.mape == pytest.approx(0, abs=1e-3)
    assert [n.uncorrected_ms for n in found.networks] == pytest.approx(
        [1.25 * n.measured_ms for n in found.networks], rel=1e-3
    )


def test_networks_that_drift_otherwise_than_the_reference_are_told_by_anchors(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine
) -> None:
    """The machine of the check runs networks a third slower, and the reference as before."""
    table = write_table(tmp_path / "t.jsonl", space, summed, 12)
    machine.truth = lambda network: 4 / 3 * summed(network)
    found = check(table.path, networks=15)
    assert found.drift == pytest.approx(1 / 3, abs=1e-3)
    assert found.model.mape == pytest.approx(0, abs=3e-3)
    assert found.uncorrected.mape == pytest.approx(0.25, abs=3e-3)


def test_without_a_reference_nothing_is_corrected(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine
) -> None:
    machine.pace, machine.reference_ns = (1.25, 1.0), None
    table = open_table(tmp_path / "t.jsonl", SETUP)
    for (operator, shape), ms in summed.alone.items():  # type: ignore[attr-defined]
        table.append_row(operator, shape, steady(ms, None))
    table.append_space(space.name, space.name)
    found = check(table.path, networks=5)
    assert (found.drift, found.drift_again) == (None, None)
    assert found.model == found.uncorrected


def test_checks_correct_what_the_sum_gets_wrong(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    machine.truth = lambda network: 0.8 * summed(network)
    found = check(write_table(tmp_path / "t.jsonl", space, summed, 20, machine.truth).path, networks=30)
    assert found.model.mape < 0.01
    assert found.baselines["sum"] is not None
    assert found.baselines["sum"].mape == pytest.approx(0.25)
    for name in ("macs", "ridge"):
        rival = found.baselines[name]
        assert rival is not None
        assert found.model.mape < rival.mape
    assert found.absent == {}


def test_a_table_without_checks_has_the_sum_alone(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine
) -> None:
    found = check(write_table(tmp_path / "t.jsonl", space, summed).path, networks=5)
    assert found.baselines["macs"] is found.baselines["ridge"] is None
    assert set(found.absent) == {"macs", "ridge"}
    assert all("holds 0" in why for why in found.absent.values())


def test_a_time_that_follows_macs_is_what_the_line_finds(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine
) -> None:
    machine.truth = lambda network: 0.01 + 3e-8 * costs(network).macs
    found = check(write_table(tmp_path / "t.jsonl", space, summed, 12, machine.truth).path, networks=10)
    assert found.baselines["macs"] is not None
    assert found.baselines["macs"].mape == pytest.approx(0, abs=1e-6)


def test_the_ridge_is_the_best_of_those_fitted_without_each_network() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, size=(15, 6)).astype(float)
    timed = 1 + counts @ rng.uniform(0.1, 0.5, 6) * rng.normal(1, 0.05, 15)
    predicted = fit_ridge(counts, timed)(counts)

    def solved(keep: np.ndarray, strength: float) -> np.ndarray:
        columns = np.concatenate([np.ones((15, 1)), counts], axis=1)
        weighted, penalty = (columns * (timed.mean() / timed)[:, None])[keep], np.diag([0.0] + [strength] * 6)
        return (
            timed.mean() * columns @ np.linalg.solve(weighted.T @ weighted + penalty, weighted.T @ np.ones(len(keep)))
        )

    def left_out(strength: float) -> float:
        errors = [(solved(np.delete(np.arange(15), i), strength)[i] - timed[i]) / timed[i] for i in range(15)]
        return float(np.square(errors).sum())

    from hwnas.latency.baselines import STRENGTHS

    assert predicted == pytest.approx(solved(np.arange(15), min(STRENGTHS, key=left_out)))


def test_a_line_goes_through_two_networks() -> None:
    assert fit_line(np.array([1e6, 3e6]), np.array([2.0, 4.0]))(np.array([5e6])) == pytest.approx([6.0])


def test_json_has_the_promised_keys(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    found = check(write_table(tmp_path / "t.jsonl", space, summed, 8).path, networks=6).as_dict()
    told = json.loads(json.dumps(found, allow_nan=False))
    assert {
        "mape", "within_5", "within_10", "spearman", "kendall", "coverage_90", "noise_mape", "baselines", "bias",
        "worst", "nine_in_ten", "mape_uncorrected", "drift",
    } <= told.keys()  # fmt: skip
    assert told["baselines"].keys() == {"sum", "macs", "ridge"}
    assert all({"mape", "within_5", "spearman"} <= rival.keys() for rival in told["baselines"].values())
    assert told["networks"] == len(told["networks_detail"]) == 6
    assert {"key", "predicted_ms", "low_ms", "high_ms", "measured_ms", "again_ms"} <= told["networks_detail"][0].keys()


def test_the_table_is_left_as_it_was(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    path = write_table(tmp_path / "t.jsonl", space, summed, 3).path
    before = path.read_bytes()
    check(path, networks=4)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_another_set_up_is_refused(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = FakeRuntime(replace(SETUP, device="another", runtime_version="2"))
    monkeypatch.setattr(checking, "open_setup", lambda setup: here)
    with pytest.raises(TableError, match="device: my board / another; runtime_version: 1 / 2"):
        check(write_table(tmp_path / "t.jsonl", space, summed).path, networks=4)
    assert machine.timed is None


def test_a_runtime_that_is_not_here_is_refused(tmp_path: Path) -> None:
    open_table(tmp_path / "t.jsonl", replace(SETUP, runtime="published")).append_space("digits", "digits")
    with pytest.raises(TableError, match="not to be had here"):
        check(tmp_path / "t.jsonl")


def test_a_table_that_names_no_space_needs_one(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    path = write_table(tmp_path / "t.jsonl", space, summed, spaces=False).path
    with pytest.raises(ConfigError) as met:
        check(path, networks=4)
    assert "--space" in met.value.do
    assert check(path, networks=4, space="digits").spaces == ("digits",)


def test_a_space_that_is_gone_is_named(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    table = write_table(tmp_path / "t.jsonl", space, summed)
    table.append_space("gone", "gone.yaml")
    with pytest.raises(ConfigError, match="`gone` cannot be opened") as met:
        check(table.path, networks=4)
    assert "--space" in met.value.do


def test_a_missing_row_is_an_error_before_anything_is_timed(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine
) -> None:
    table = write_table(tmp_path / "t.jsonl", space, summed)
    lines = [line for line in table.path.read_text().splitlines() if '"op": "classifier"' not in line]
    table.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TableError) as met:
        check(table.path, networks=4)
    assert "hwnas bench digits --runtime onnxruntime" in met.value.do
    assert f"--table {table.path}" in met.value.do
    assert machine.timed is None


def test_operators_of_a_users_own_have_macs(tmp_path: Path, space: Space, summed: Truth, machine: Machine) -> None:
    """A check's operators that stand in no table of kinds are found in the space."""
    table = read_table(write_table(tmp_path / "t.jsonl", space, summed, 4).path)
    from hwnas.commands.baselines import baselines

    networks = [lower(space, space.smallest())]
    foreign = replace(table, checks={(("nobodys", "{}", (1, 8, 8)),): steady(1.0), **table.checks})
    guesses, absent = baselines(foreign, [space], networks)
    assert guesses["macs"] is None
    assert "nobodys" in absent["macs"]
    assert guesses["ridge"] is not None


def test_the_protocol_has_an_order_of_its_own_in_each_sitting(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocols = list[Timing]()
    timer = machine.time_networks

    def noted(networks: Any, timing: Timing, context: Any) -> list[Measurement]:
        protocols.append(timing)
        return timer(networks, timing, context)

    monkeypatch.setattr(build, "time_networks", noted)
    check(write_table(tmp_path / "t.jsonl", space, summed).path, networks=3)
    one, other = protocols
    assert one.seed != other.seed
    assert replace(one, seed=other.seed) == other


def test_the_command_prints_json_or_words_and_writes_a_page(
    tmp_path: Path, space: Space, summed: Truth, machine: Machine
) -> None:
    machine.pace = (1.1, 1.0) * 2
    table, page = str(write_table(tmp_path / "t.jsonl", space, summed, 6).path), tmp_path / "check.html"
    run = CliRunner().invoke
    told = json.loads(run(app, ["check", table, "--networks", "5", "--json"], catch_exceptions=False).stdout)
    assert (told["networks"], told["drift"]) == (5, pytest.approx(0.1))
    words = run(app, ["check", table, "--networks", "5", "--plot", str(page)], catch_exceptions=False).stdout
    assert "Nine networks in ten are predicted to" in words
    assert "sum of rows" in words
    assert all(network["key"] in page.read_text() for network in told["networks_detail"])
