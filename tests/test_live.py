"""Candidates timed during the search, on hosts that fail, hang, go away and come back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hwnas import pipeline
from hwnas.errors import ConfigError, ExportError, HostAway, RunError, TableError
from hwnas.latency.live import LiveTimes, RetryBudget, Timed
from hwnas.measure.table import check_key, read_table
from hwnas.measure.timing import Measurement
from hwnas.network import Network, costs
from hwnas.problem import live
from hwnas.problem.live import SetupHost
from hwnas.runtimes import Setup
from hwnas.search.fronts import read_front
from hwnas.workspace.workspace import open_run
from tests.helpers.experiments import edited, written
from tests.helpers.measuring import network
from tests.helpers.narration import Telling
from tests.helpers.sshd import Server, running_server

SETUP = Setup("my board", "fake", "1")


def away(name: str = "board") -> HostAway:
    return HostAway("it does not answer", where=name, allowed="It answers", do="Wait")


@dataclass
class Board:
    """A host that takes a nanosecond for each multiply-add; `answers` tells what comes before that."""

    answers: list[Exception] = field(default_factory=list)
    name: str = "board"
    setup: Setup = SETUP
    asked: list[Network] = field(default_factory=list)
    busy: int = 0

    def time(self, network: Network) -> Timed:
        self.busy += 1
        assert self.busy == 1, "one at a time"
        try:
            self.asked.append(network)
            if self.answers:
                raise self.answers.pop(0)
            ns = float(costs(network).macs)
            return Timed(Measurement((ns,) * 3), self.setup, 100)
        finally:
            self.busy -= 1


def times_of(board: Board, path: Path, **options: Any) -> LiveTimes:
    return LiveTimes(board, path / "live.jsonl", sleep=options.pop("sleep", lambda seconds: None), **options)


def test_what_was_timed_is_kept_and_never_timed_again(tmp_path: Path) -> None:
    board = Board()
    first = times_of(board, tmp_path).latency_ms(network())
    assert first == pytest.approx(costs(network()).macs / 1e6)
    assert times_of(board, tmp_path).latency_ms(network()) == first
    assert len(board.asked) == 1
    table = read_table(tmp_path / "live.jsonl")
    assert (table.setup, table.check_bytes) == (SETUP, {check_key(network()): 100})


def test_a_host_that_comes_back_costs_tries_and_nothing_else(tmp_path: Path) -> None:
    said: list[str] = []
    slept: list[float] = []
    board = Board([away(), away()])
    times = times_of(board, tmp_path, patience=RetryBudget(3, 7.0), say=said.append, sleep=slept.append)
    assert times.latency_ms(network()) > 0
    assert slept == [7.0, 7.0]
    assert said == [f"board: it does not answer; try {number} of 3 follows" for number in (2, 3)]


def test_a_host_that_stays_away_is_told_after_the_last_try(tmp_path: Path) -> None:
    board = Board([away()] * 3)
    times = times_of(board, tmp_path, patience=RetryBudget(3, 0))
    with pytest.raises(HostAway):
        times.latency_ms(network())
    assert len(board.asked) == 3
    assert not (tmp_path / "live.jsonl").exists()
    assert times.latency_ms(network()) > 0, "it is there again"


def test_a_network_that_cannot_be_run_is_not_tried_again(tmp_path: Path) -> None:
    board = Board([ExportError("no", where="x", allowed="y", do="z")])
    with pytest.raises(ExportError):
        times_of(board, tmp_path).latency_ms(network())
    assert len(board.asked) == 1


def test_a_host_whose_set_up_has_changed_is_refused(tmp_path: Path) -> None:
    times_of(Board(), tmp_path).latency_ms(network())
    other = Board(setup=replace(SETUP, runtime_version="2"))
    with pytest.raises(TableError, match="runtime_version: 1 / 2"):
        times_of(other, tmp_path).latency_ms(network(8))


def test_drift_between_two_timings_is_taken_out(tmp_path: Path) -> None:
    """The second network is timed while the machine is half as fast: the reference tells."""

    @dataclass
    class Drifting(Board):
        slower: float = 1.0

        def time(self, network: Network) -> Timed:
            ns = [1000.0 * self.slower * wobble for wobble in (1.0, 1.1, 0.9, 1.05, 0.95)]
            return Timed(Measurement(tuple(ns), {"reference_ns": [50 * value for value in ns]}), self.setup)

    board = Drifting()
    times = times_of(board, tmp_path)
    first = times.latency_ms(network())
    board.slower = 1.3
    assert times.latency_ms(network(8)) == pytest.approx(first, rel=0.08)


def test_of_two_that_search_a_tier_the_second_waits_and_takes_what_the_first_has_timed(tmp_path: Path) -> None:
    """Each has a view of the table of its own, as two processes and two nodes have."""
    said: list[str] = []
    inside, go = threading.Event(), threading.Event()

    @dataclass
    class Slow(Board):
        def time(self, network: Network) -> Timed:
            inside.set()
            assert go.wait(10)
            return super().time(network)

    first, board = times_of(Slow(), tmp_path), Board()
    second = times_of(board, tmp_path, say=lambda text: (said.append(text), go.set())[0])
    thread = threading.Thread(target=first.latency_ms, args=[network()])
    thread.start()
    assert inside.wait(10)
    assert second.latency_ms(network()) == pytest.approx(costs(network()).macs / 1e6)
    thread.join()
    assert said == ["waiting for board: another process of this search times on it"]
    assert board.asked == [], "none is timed twice"


# --- in a search ---

TIERS: dict[str, Any] = {
    "edge": {"setup": "cpu", "measure": "live", "live": {"tries": 2, "pause_s": 0}},
    "cloud": {"setup": "other"},
}
SETUPS = {"cpu": {"runtime": "onnxruntime"}, "other": {"runtime": "onnxruntime"}}


@dataclass
class Hosts:
    """Stands for `SetupHost`; goes away after some networks."""

    board: Board
    after: int = 10**9

    def __call__(self, run: Any, setup: str, config: Any, reporter: Any) -> Hosts:
        return self

    name = "board"

    def time(self, network: Network) -> Timed:
        if len(self.board.asked) >= self.after:
            raise away()
        return self.board.time(network)


def searched(folder: Path, hosts: Hosts, monkeypatch: pytest.MonkeyPatch, act: Callable[..., Any]) -> Telling:
    experiment = written(
        folder, tiers=TIERS, setups=SETUPS, search={"trials": 8, "sampler": "nsga2", "population": 4},
        train={"epochs": 1, "batch_size": 64}, export={"formats": ["onnx"], "picks": ["best"]},
    )  # fmt: skip
    monkeypatch.setattr(live, "SetupHost", hosts)
    telling = Telling()
    act(experiment, runs=folder / "runs", reporter=telling)
    return telling


def test_a_live_tier_is_measured_from_search_to_report_and_needs_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(Board(setup=replace(SETUP, runtime="onnxruntime")))
    searched(tmp_path, hosts, monkeypatch, pipeline.run)
    run = tmp_path / "runs" / "mini"
    assert not (run / "latency" / "cpu.jsonl").exists()
    assert len({check_key(asked) for asked in hosts.board.asked}) == len(hosts.board.asked) >= 6
    for point in read_front(run / "fronts" / "edge.json"):
        assert point.origin["latency_ms@cpu"] == "measured"
        assert point.measured == {"latency_ms@cpu": point.scores["latency_ms@cpu"]}
        assert point.kept is True
    assert "my board" in (run / "report.html").read_text()
    pipeline.report(run)
    bound = max(point.scores["params"] for point in read_front(run / "fronts" / "edge.json")) - 1
    edited(run, tiers={**TIERS, "edge": {**TIERS["edge"], "limits": {"params": bound}}})
    tier = next(tier for tier in pipeline.fronts(run) if tier.name == "edge")
    assert f"limits: none then, params <= {bound:g} now" in tier.notes[0]
    assert all(point.params <= bound and point.measured_ms == point.predicted_ms for point in tier.front)
    edited(run, setups={**SETUPS, "cpu": {"runtime": "onnxruntime", "threads": 2}})
    with pytest.raises(RunError, match=r"setup\.threads: 1 then, 2 now"):
        pipeline.fronts(run)


def test_a_board_that_goes_away_pauses_its_tier_only_and_the_same_command_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(Board(), after=3)
    with pytest.raises(HostAway, match=r"1 tier paused \(edge: board: it does not answer\)") as caught:
        searched(tmp_path / "a", hosts, monkeypatch, pipeline.run)
    assert "same command" in caught.value.do
    run = tmp_path / "a" / "runs" / "mini"
    assert read_front(run / "fronts" / "cloud.json"), "the other tier is done"
    assert (run / "report.html").exists()
    assert len(read_table(run / "latency" / "cpu-live.jsonl").checks) == 3

    hosts.after = 10**9
    searched(tmp_path / "a", hosts, monkeypatch, pipeline.search)
    whole = Hosts(Board())
    searched(tmp_path / "b", whole, monkeypatch, pipeline.run)
    assert hosts.board.asked == whole.board.asked, "none twice, and those of a search that was never interrupted"
    fronts = [json.loads((tmp_path / name / "runs/mini/fronts/edge.json").read_text()) for name in "ab"]
    assert [point["key"] for point in fronts[0]] == [point["key"] for point in fronts[1]]


def test_a_network_that_the_host_cannot_run_fails_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board([ExportError("no kernel", where="x", allowed="y", do="z")])
    telling = searched(tmp_path, Hosts(board), monkeypatch, pipeline.run)
    assert len(board.asked) == 8
    assert not [line for line in telling.lines if "pauses" in line]


def test_this_machine_times_a_network_and_a_hang_is_the_hosts(tmp_path: Path) -> None:
    run = open_run(written(tmp_path, tiers=TIERS, setups=SETUPS), runs=tmp_path / "runs")
    host = SetupHost(run, "cpu", run.experiment.tiers["edge"].live)
    timed = host.time(network())
    assert timed.setup.runtime == "onnxruntime"
    assert len(timed.measurement.rounds_ns) == 3
    assert timed.file_bytes
    slow = replace(host, live=run.experiment.tiers["edge"].live.model_copy(update={"timeout_s": 0.05}))
    with pytest.raises(HostAway, match=r"within 0\.05 s"):
        slow.time(network(8))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def test_a_board_times_a_network_through_ssh_and_is_away_when_it_is_switched_off(
    server: Server, tmp_path: Path
) -> None:
    board = {"runtime": "onnxruntime", "host": "board", "ssh_config": str(server.ssh_config)}
    run = open_run(written(tmp_path, tiers=TIERS, setups={**SETUPS, "cpu": board}), runs=tmp_path / "runs")
    host = SetupHost(run, "cpu", run.experiment.tiers["edge"].live)
    assert host.name == "board"
    timed = host.time(network())
    assert len(timed.measurement.rounds_ns) == 3
    assert timed.setup.runtime_version, "the board told it"
    assert not list((tmp_path / "runs").rglob("*.part"))
    server.process.kill()
    server.process.wait()
    with pytest.raises(HostAway, match="board"):
        host.time(network(8))


@pytest.mark.parametrize(
    ("met", "kind"),
    [
        ("1 of 2 could not be timed: network of 1 operator: cannot load", ExportError),
        ("1 could not be measured: network: the measuring process took longer than 5 s", HostAway),
        ("the kit has 5.0 MB, 0.1 MB are free", HostAway),
    ],
)
def test_what_the_network_is_to_blame_for_fails_it_and_all_else_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, met: str, kind: type[Exception]
) -> None:
    def failing(*given: Any, **options: Any) -> Any:
        raise RunError(met, where="board", allowed="y", do="z")

    monkeypatch.setattr(live, "measure_missing", failing)
    run = open_run(written(tmp_path, tiers=TIERS, setups=SETUPS), runs=tmp_path / "runs")
    with pytest.raises(kind):
        SetupHost(run, "cpu", run.experiment.tiers["edge"].live).time(network())


@pytest.mark.parametrize(
    "tier",
    [
        {"limits": {"latency_ms": 5, "latency_quantile": 0.9}},
        {"limits": {"energy_mj": 5}},
        {"limits": {"peak_mb": 5}},
        {"limits": {"file_kib": 5}},
        {"minimize": ["energy_mj"]},
    ],
)
def test_what_only_a_table_predicts_is_refused_in_a_live_tier(tmp_path: Path, tier: dict[str, Any]) -> None:
    experiment = written(tmp_path, tiers={"edge": {"setup": "cpu", "measure": "live", **tier}})
    with pytest.raises(ConfigError, match="is predicted from a table"):
        open_run(experiment)
