"""Plans over an imposed link: what is asked in which state, and how the answers stand beside the prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas.collaborate.choice import fastest_of_kinds
from hwnas.collaborate.cuts import SampledTime
from hwnas.collaborate.imposed import measurement
from hwnas.collaborate.imposed.calibration import Calibration
from hwnas.collaborate.imposed.comparison import Compared, agreement, near_ms, on_this_machine
from hwnas.collaborate.imposed.link import LinkState
from hwnas.collaborate.imposed.measurement import Rounds, TimedRequest, measured_quantiles
from hwnas.collaborate.imposed.namespaces import check_namespaces
from hwnas.collaborate.imposed.states import NEAR, link_states, settled_state
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.presets import PRESETS
from hwnas.collaborate.links.series import DelaySeries, LinkSeries, Steps
from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.collaborate.plan import Candidate, Plan, PlanAccuracy, PlanLatency
from hwnas.collaborate.predict import Load, Worlds, simulate
from hwnas.commands.measure_plans import (
    COMPARED_WORLDS,
    PlanMeasurement,
    compared_worlds,
    cost_ms,
    measure_candidates,
)
from hwnas.deploy import imposed_edge
from hwnas.deploy.imposed_edge import ImposedEdge
from hwnas.errors import ConfigError, HwnasError
from hwnas.registry import optional
from hwnas.report.plans.measured import measured_section, measured_sentence
from hwnas.workspace.progress import default_reporter
from tests.helpers.hand_made_pairs import synthetic_samples, write_pairs
from tests.helpers.links import constant_link, recorded_link

LTE = LinkModel.of_preset("lte", PRESETS["lte"])


@pytest.fixture(autouse=True)
def _no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(measurement, "TIMED_ALONE", 4)


@dataclass
class Recorder:
    """A link and an endpoint in one, which write down what they are told."""

    told: list[object] = field(default_factory=list)
    state: LinkState | None = None

    def set_state(self, state: LinkState) -> None:
        self.state = state

    def connect(self) -> None:
        self.told.append(("connect", self.state))

    def await_connection(self) -> None:
        self.told.append("open")

    def close(self) -> None:
        self.told.append("close")

    def ask(self, sample: int, *, always: bool = False) -> TimedRequest:
        self.told.append((sample, always, self.state))
        return TimedRequest(10.0, 1.0, 0.5, 2.0, True)


def test_states_of_a_link_have_its_quantiles_and_records_are_replayed() -> None:
    states = link_states(LTE, 400, 0)
    assert median(state.rtt_ms or 0 for state in states) == pytest.approx(85, rel=0.02)
    assert np.quantile([state.up_mbps or 0 for state in states], [0.05, 0.95]) == pytest.approx([1.2, 42.5], rel=0.06)
    assert {state.held_ms for state in states} == {LTE.promotion_ms}
    torn = replace(LTE, connection="warm", outage_share=0.25, outage_ms=100.0, loss=0.01)
    held = [state.held_ms for state in link_states(torn, 400, 0)]
    assert sum(one > 0 for one in held) == 100
    recorded = link_states(recorded_link(0), 100, 0)
    assert all(state.up_mbps is state.down_mbps is state.rtt_ms is None for state in recorded)
    assert np.sort([state.start_ms for state in recorded]) == pytest.approx((np.arange(100) + 0.5) * 300)


@pytest.mark.parametrize("connection", ["cold", "idle", "warm"])
def test_all_plans_meet_the_same_states_and_find_the_connection_that_was_planned(connection: str) -> None:
    link = replace(LTE, connection=connection, promotion_ms=0.0, loss=0.001)  # type: ignore[arg-type]
    both = [Recorder(), Recorder()]
    imposed = Recorder()
    imposed.set_state = lambda state: [one.set_state(state) for one in both]  # type: ignore[method-assign]
    states = link_states(link, 20, 0)
    taken = Rounds(imposed, link, both, 0).times(states)
    assert [(len(some.alone), len(some.over)) for some in taken] == [(4, 20), (4, 20)]
    for one in both:
        asked = [told for told in one.told if isinstance(told, tuple) and told[0] != "connect"]
        over = [told for told in asked if not told[1]]
        assert sorted(told[0] for told in over) == list(range(20))
        assert [told[0] for told in over] != list(range(20))
        assert all(state == states[number] for number, _, state in over)
        beside = [told[2] for told in asked if told[1]]
        settled = [settled_state(link)] * (measurement.WARMING if connection == "warm" else 0)
        assert beside == [NEAR] * (measurement.WARMING + 4) + settled
        connects = [told[1] for told in one.told if isinstance(told, tuple) and told[0] == "connect"]
        each = [settled_state(link, told[2]) for told in asked]
        assert connects == (each if connection == "idle" else [])
        assert one.told.count("open") == len(connects)
        assert one.told.count("close") == (0 if connection == "warm" else len(asked))


def test_the_machine_is_timed_among_the_requests_that_it_explains() -> None:
    one = Recorder()
    Rounds(one, LTE, [one], 0).times(link_states(LTE, 31, 0))
    kinds = [told[1] for told in one.told if isinstance(told, tuple) and told[0] != "connect"]
    after = kinds[measurement.WARMING :]
    assert [index for index, always in enumerate(after) if always] == [0, 11, 22, 33]


def test_rare_states_come_as_often_as_they_should() -> None:
    steps = Steps(np.array([0.0, 97_000.0]), np.array([10.0, 100.0]), 100_000.0)
    link = replace(constant_link(10, 10, 20), series=LinkSeries(rtt=steps))

    def cost(draws: LinkDraws) -> np.ndarray:
        return np.asarray(draws.delay.at_ms(draws.start_ms))

    def bad(states: list[LinkState]) -> int:
        return sum(state.start_ms >= 97_000 for state in states)

    stratified = [link_states(link, 100, seed, cost) for seed in range(20)]
    assert {bad(states) for states in stratified} == {3}
    assert len({state.start_ms for state in stratified[0]}) == 100
    costs = [
        float(cost(SimpleNamespace(delay=DelaySeries(steps), start_ms=np.array(s.start_ms)))) for s in stratified[0]
    ]  # type: ignore[arg-type]
    assert costs == sorted(costs)


def candidate(kind: str, escalated: float = 1.0) -> Candidate:
    return Candidate(
        kind,  # type: ignore[arg-type]
        PlanAccuracy(0.9, None, "synthetic"),
        edge=None if kind == "cloud_only" else "e",
        cloud=None if kind == "edge_only" else "c",
        sent_bytes=np.array([20_000.0]),
        answer_bytes=200,
        escalated=escalated,
    )


def requests_of(seed: int, escalated: float, count: int, link: LinkModel) -> list[TimedRequest]:
    """Requests that are as the model has them: edge 5 ms, cloud and ends 3 ms, over a link."""
    here = on_this_machine(candidate("cascade", escalated), alone(seed))
    drawn = simulate(here, Worlds.drawn(link, seed, worlds=1, requests=count), Load().queue(here))
    rows = zip(drawn.total[0], drawn.head[0], drawn.escalated[0], strict=True)
    return [TimedRequest(float(total), float(head), 0.5, 2.0, bool(asked)) for total, head, asked in rows]


def alone(seed: int) -> list[TimedRequest]:
    rng = np.random.default_rng(seed)
    way = near_ms(candidate("split"))
    return [TimedRequest(edge + 0.5 + 3.0 + way, edge, 0.5, 2.0, True) for edge in rng.normal(5, 0.3, 40).clip(4, 6)]


def test_requests_that_are_as_predicted_lie_within_the_band_nine_times_of_ten() -> None:
    one, worlds = candidate("cascade", 0.4), Worlds.drawn(LTE, 0, requests=400)
    requests = [request for seed in range(1, 21) for request in requests_of(seed, 0.4, 100, LTE)]
    several = [Compared.of(one, alone(seed), requests, worlds).as_dict() for seed in range(8)]  # own calls vary, too
    assert np.mean([entry["within_band"] for entry in several]) == pytest.approx(0.9, abs=0.03)
    entry = several[0]
    assert entry["measured_escalated"] == pytest.approx(0.4, abs=0.08)
    for name in ("p50", "p95", "p99"):
        low, high = entry["measured_intervals_ms"][name]
        assert low <= entry["measured_ms"][name] <= high
        assert entry["predicted_here_ms"][name] == pytest.approx(entry["measured_ms"][name], rel=0.4)


def test_a_slower_machine_is_predicted_to_be_slower_and_not_the_link() -> None:
    link = constant_link(10, 10, 50)
    slow = [replace(one, edge_ms=one.edge_ms * 20, total_ms=one.total_ms + one.edge_ms * 19) for one in alone(0)]
    fast_here, slow_here = (on_this_machine(candidate("split"), some) for some in (alone(0), slow))
    assert slow_here.head.ms == pytest.approx(20 * fast_here.head.ms)
    assert slow_here.tail.ms == pytest.approx(fast_here.tail.ms) == pytest.approx(3.0)
    edge_only = on_this_machine(candidate("edge_only", 0.0), [TimedRequest(7.0, 6.0)] * 10)
    worlds = Worlds.drawn(link, 0)
    assert Compared.of(edge_only, [TimedRequest(7.0, 6.0)] * 10, [TimedRequest(7.0, 6.0)], worlds).predicted.p50 == 7.0


def test_the_round_trip_that_calibration_met_is_predicted_with_and_counted_once() -> None:
    met = Calibration((20.0, 20.3), (10.0, 10.0), (10.0, 10.0))
    recorded = recorded_link(0)
    assert met.applied_to(constant_link(10, 10, 20)).median("rtt_ms") == pytest.approx(20.3)
    assert met.applied_to(recorded).quantiles("rtt_ms")["p95"] == recorded.quantiles("rtt_ms")["p95"] + met.extra_rtt_ms
    ends = [on_this_machine(candidate("split"), alone(0), extra).tail.ms for extra in (0.0, met.extra_rtt_ms)]
    assert ends[0] - ends[1] == pytest.approx(0.3)


def test_a_slower_edge_is_slower_by_what_it_usually_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = next(one for one in write_pairs(tmp_path) if one.name == "edge")
    edge = ImposedEdge({"folder": str(folder / "edge")}, 10.0)
    gaps = [gap for computing in (0.002, 0.002, 0.5, 0.002) for gap in (0.001, computing, 0.001, 0.001)]
    slept, clock = list[float](), iter(np.cumsum(gaps))
    monkeypatch.setattr(imposed_edge.time, "sleep", slept.append)
    monkeypatch.setattr(imposed_edge.time, "perf_counter", lambda: float(next(clock)))
    for sample in synthetic_samples()[:4]:
        edge.ask(sample, always=False)
    assert slept == pytest.approx([0.018] * 4)


def test_sampled_times_are_drawn_with_the_spread_of_their_samples() -> None:
    samples = np.random.default_rng(0).lognormal(1, 0.5, 500)
    drawn = SampledTime(samples).draw_ms(np.zeros((100, 1)), np.random.default_rng(1).standard_normal((100, 1000)))
    levels = [0.05, 0.5, 0.95]
    assert np.quantile(drawn, levels) == pytest.approx(np.quantile(samples, levels), rel=0.03)


@pytest.mark.parametrize("heavy", [False, True])
def test_the_interval_of_sampled_times_holds_the_quantiles_of_next_calls(heavy: bool) -> None:
    rng, inside = np.random.default_rng(0), {0.5: 0, 0.99: 0}
    for _ in range(80):
        calls = 10 + (rng.pareto(2.5, 250) if heavy else rng.exponential(1.0, 250))
        drawn = SampledTime(calls[:50]).draw_ms(np.zeros((40, 1)), rng.standard_normal((40, 200)))
        for level in inside:
            low, high = np.quantile(np.quantile(drawn, level, axis=1, method="hazen"), (0.05, 0.95))
            inside[level] += int(low <= np.quantile(calls[50:], level, method="hazen") <= high)
    assert all(64 <= count <= 79 for count in inside.values()), inside


def test_equal_calls_have_no_tail() -> None:
    drawn = SampledTime(np.full(20, 3.0)).draw_ms(np.zeros((2, 1)), np.random.default_rng(0).standard_normal((2, 50)))
    assert drawn == pytest.approx(np.full((2, 50), 3.0))


def test_worlds_that_are_compared_are_drawn_as_the_measured_states_are() -> None:
    cost = partial(cost_ms, [candidate("cloud_only")])
    compared = compared_worlds(LTE, PlanMeasurement(100), cost)
    spread = {
        name: np.quantile(cost(draws), 0.95, axis=1).std()
        for name, draws in (("strata", compared.link), ("random", LTE.draws(COMPARED_WORLDS, 100, 1)))
    }
    assert spread["strata"] < spread["random"] / 3
    whole = cost(LTE.quick_draws(3, 20_000))
    assert np.quantile(cost(compared.link), [0.5, 0.99]) == pytest.approx(np.quantile(whole, [0.5, 0.99]), rel=0.03)


def test_quantiles_have_intervals_that_shrink_with_more_requests() -> None:
    rng = np.random.default_rng(0)
    few, many = (measured_quantiles(rng.normal(100, 10, count)) for count in (50, 5000))
    widths = [intervals["p50"][1] - intervals["p50"][0] for _, intervals in (few, many)]
    assert widths[1] < widths[0] / 5
    assert many[0]["p50"] == pytest.approx(100, abs=1)


def test_the_winner_is_judged_among_those_that_may_win() -> None:
    def entry(predicted: float, measured: float) -> dict[str, dict[str, float]]:
        return {"predicted_here_ms": {"p95": predicted}, "measured_ms": {"p95": measured}}

    entries = {"a": entry(10, 12), "b": entry(11, 11.7), "cheap": entry(1, 1)}
    told = agreement(entries, ["a", "b"])
    assert (told["planned_winner"], told["measured_winner"], told["agrees"]) == ("a", "b", True)
    assert told["loss"] == pytest.approx(12 / 11.7 - 1)
    assert agreement({**entries, "b": entry(11, 8)}, ["a", "b"])["agrees"] is False
    assert agreement(entries, [])["measured_winner"] is None


def test_the_fastest_of_each_kind_are_measured_the_winner_first() -> None:
    def plan(kind: str, accuracy: float, p95: float, key: str) -> Plan:
        own = replace(candidate(kind), accuracy=PlanAccuracy(accuracy, None, "synthetic"), edge=key)
        return Plan(own, PlanLatency(p95, p95, p95, p95, p95))

    plans = [
        plan("edge_only", 0.6, 1, "small"),
        plan("edge_only", 0.9, 9, "large"),
        plan("split", 0.91, 5, "a"),
        plan("split", 0.91, 6, "b"),
        plan("cloud_only", 0.7, 20, "c"),
    ]
    chosen = [one.candidate.edge for one in fastest_of_kinds(plans, 0.02)]
    assert chosen == ["a", "large", "c"]


# --- both sides on this machine ---


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (PlanMeasurement(0), "`--measure` is 0"),
        (PlanMeasurement(10, 0.5), "`--edge-slowdown` is 0.5"),
        (PlanMeasurement(10, math.inf), "`--edge-slowdown` is inf"),
    ],
)
def test_a_measurement_that_cannot_be_made_is_refused(wanted: PlanMeasurement, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        wanted.check()


def test_both_sides_of_hand_made_plans_are_measured_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        check_namespaces()
        optional("uvicorn", extra="serve", why="hwnas serve")
        optional("cryptography", extra="serve", why="certificates")
    except HwnasError as error:
        pytest.skip(str(error))
    monkeypatch.undo()
    monkeypatch.setattr(measurement, "WARMING", 1)
    monkeypatch.setattr(measurement, "TIMED_ALONE", 3)
    deployed = {folder: one for folder, one in write_pairs(tmp_path).items() if folder.name in ("edge", "split-int8")}
    took = measure_candidates(
        constant_link(20.0, 20.0, 40.0), deployed, synthetic_samples()[:4], PlanMeasurement(4), default_reporter(None)
    )
    alone, split = (one.as_dict() for one in took.compared)
    assert split["measured_ms"]["p50"] > 40 > 0 < alone["measured_ms"]["p50"]
    assert (alone["measured_escalated"], split["measured_escalated"]) == (0, 1)
    assert split["measured_waterfall_ms"]["tail"] > 0
    assert took.facts["calibration"]["rtt_ms"]["asked"] == 40
    entries = {one.name: one.as_dict() for one in took.compared}
    shown: dict[str, Any] = {"kind": "split", "edge": "e", "cloud": None, "cut": 1, "codec": "int8", "threshold": None}
    document = {
        "plans": [{"name": name, **shown, **entry} for name, entry in entries.items()],
        "measured": {**took.facts, **agreement(entries, list(entries))},
    }
    assert "Predicted beside measured" in str(measured_section(document))
    assert "The planned winner is the measured one" in measured_sentence(document)
