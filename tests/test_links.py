"""Links between edge and cloud: presets, traces, and the time that TCP takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.formats import read_trace
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.presets import PRESETS
from hwnas.collaborate.links.series import ConstantDelay, ConstantRate, DelaySeries, LinkSeries, RateSeries, Steps
from hwnas.collaborate.links.tcp import LinkDraws, flights, wire_bytes
from hwnas.config import parse_experiment
from hwnas.errors import ConfigError
from hwnas.workspace.links import link_of
from tests.helpers.experiments import EXPERIMENT
from tests.helpers.links import constant_link, recorded_link, slow_finish_ms, slow_transfer_ms


def test_each_number_of_a_preset_says_where_it_comes_from() -> None:
    assert {"wired", "wifi", "lte", "5g", "3g"} <= PRESETS.keys()
    for preset in PRESETS.values():
        assert preset.origins.keys() == {"up_mbps", "down_mbps", "rtt_ms"}
        assert all(text.startswith(("published", "estimated", "median published")) for text in preset.origins.values())
        assert preset.radio is None or (preset.radio.year > 2000 and preset.radio.source.startswith("published"))


def test_three_quantiles_are_those_of_the_draws() -> None:
    drawn = Quantiles(1.2, 10.6, 42.5).of_normal(np.random.default_rng(0).standard_normal(200_000))
    assert np.quantile(drawn, [0.05, 0.5, 0.95]) == pytest.approx([1.2, 10.6, 42.5], rel=0.03)


# --- TCP ---


def test_flights_of_slow_start_are_the_golden_ones() -> None:
    sizes = (3_072, 7_840, 15_680, 31_360, 75_264, 150_528, 802_816)
    assert [flights(size) for size in sizes] == [1, 1, 2, 2, 3, 4, 6]


@pytest.mark.parametrize("connection", ["cold", "idle", "warm"])
def test_a_long_thin_link_costs_a_round_trip_for_each_flight(connection: str) -> None:
    draws = constant_link(1e6, 1e6, 100.0, connection).quick_draws(0, 1)  # type: ignore[arg-type]
    for size in (1_000, 31_360, 150_528):
        trips = {"cold": 2 + flights(size), "idle": flights(size), "warm": 1}[connection]
        assert float(draws.transfer(np.array(float(size)), np.array(100.0)).total[0]) == pytest.approx(
            100 * trips, abs=0.5
        )


def test_a_request_takes_what_the_flight_by_flight_simulation_says() -> None:
    rng = np.random.default_rng(1)
    for seed in range(20):
        link = recorded_link(seed)
        draws = link.quick_draws(0, 3)
        for size in 10 ** rng.uniform(2, 5.7, 5):
            times = draws.transfer(np.array(size), np.array(900.0), 7.0).total
            slow = [slow_transfer_ms(link, start, size, 900.0, 7.0) - 7.0 for start in draws.start_ms]
            assert times == pytest.approx(slow, rel=1e-9)


def test_a_faster_link_is_never_slower() -> None:
    sizes = np.geomspace(100, 1e6, 40)
    rates = np.geomspace(0.1, 1000, 30)[:, None]
    draws = LinkDraws(np.zeros((1, 1)), ConstantRate(rates), ConstantRate(rates), ConstantDelay(np.array(50.0)))
    total = draws.transfer(sizes, np.array(500.0)).total
    assert (np.diff(total, axis=0) <= 1e-9).all()
    assert (np.diff(total, axis=1) >= -1e-9).all()


def test_losses_cost_round_trips_and_only_those_that_meet_one() -> None:
    link = LinkModel("lossy", *map(Quantiles.constant, (10.0, 10.0, 80.0)), loss=0.01)
    sound = constant_link(10.0, 10.0, 80.0).draws(1, 4000, 0).transfer(np.array(20_000.0), np.array(300.0)).total
    lossy = link.draws(1, 4000, 0).transfer(np.array(20_000.0), np.array(300.0)).total
    hit = lossy > sound + 1
    assert hit.mean() == pytest.approx(1 - 0.99**16, abs=0.03)
    trips = np.round((lossy - sound) / 80).astype(int)
    assert set(trips[hit].ravel()) <= {1, 3, 4, 6}
    answers = 1 - 0.99**1
    assert (trips == 4).mean() == pytest.approx((0.99**3 - 0.99**15) * answers, abs=0.003)  # up and down by themselves
    assert (trips == 3).mean() == pytest.approx(0.03 * 0.99 + 0.86 * answers, abs=0.015)


def test_a_request_waits_for_the_end_of_an_outage() -> None:
    usual = map(Quantiles.constant, (10.0, 10.0, 80.0))
    link = LinkModel("torn", *usual, outage_share=0.1, outage_ms=2000.0)
    sound = constant_link(10.0, 10.0, 80.0).draws(1, 20_000, 0).transfer(np.array(1000.0), np.array(300.0)).total
    held = link.draws(1, 20_000, 0).transfer(np.array(1000.0), np.array(300.0)).total - sound
    inside = held > 1e-6
    assert inside.mean() == pytest.approx(0.1, abs=0.01)
    assert held[inside].mean() == pytest.approx(2000, rel=0.1)
    quick = link.quick_draws(0).held_ms
    assert np.mean(quick) == pytest.approx(200, rel=0.3)


def test_wire_bytes_add_records_and_headers() -> None:
    assert float(wire_bytes(1448 - 22)) == 1500
    assert float(wire_bytes(20_000)) == 20_000 + 44 + 52 * 14


# --- recorded links ---


def test_bytes_leave_a_recorded_rate_as_second_by_second() -> None:
    rng = np.random.default_rng(0)
    for seed in range(10):
        steps = recorded_link(seed).series.records["up"]
        starts, sizes = rng.uniform(0, 90_000, 20), 10 ** rng.uniform(1, 6.5, 20)
        quick = RateSeries(steps).finish_ms(starts, sizes)
        assert quick == pytest.approx(
            [slow_finish_ms(steps, *one) for one in zip(starts, sizes, strict=True)], rel=1e-9
        )


def test_blocks_keep_neighbours_and_values() -> None:
    steps = Steps(np.arange(100) * 10.0, np.arange(100.0), 1000.0)
    fresh = steps.resampled(np.random.default_rng(0), 200.0, 50)
    assert len(fresh.values) == 5000
    assert np.mean(np.diff(fresh.values) % 100 == 1) > 0.94
    assert fresh.period_ms == 50_000.0


FORMS = {
    "named.csv": "seconds,up_mbps,down_mbps,rtt_ms\n0,1,10,50\n1,2,20,60\n2,0,30,70\n",
    "units.csv": "3.97,Mbits/sec\n500,Kbits/sec\n8,bits/sec\n",
    "seconds.txt": "0.0\t4.0\n0.5\t2.0\n1.0\t1.0\n",
    "link.up": "0\n0\n5\n150\n250\n",
    "rtt.txt": "pub_time(ms) sub_time(ms) delay(ms) sinr\n1000 1025 25 9\n1055 1075 20 9\n1110 1140 30 9\n",
}


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("named.csv", {"up": [1, 2, 0], "down": [10, 20, 30], "rtt": [50, 60, 70]}),
        ("units.csv", {"down": [3.97, 0.5, 8e-6]}),
        ("seconds.txt", {"down": [4, 2, 1]}),
        ("link.up", {"up": [0.36, 0.12, 0.12]}),
        ("rtt.txt", {"rtt": [25, 20, 30]}),
    ],
)
def test_every_form_of_a_trace_is_read(tmp_path: Path, name: str, records: dict[str, list[float]]) -> None:
    (tmp_path / name).write_text(FORMS[name])
    series = read_trace(tmp_path / name)
    assert series.records.keys() == records.keys()
    for key, steps in series.records.items():
        assert steps.values == pytest.approx(records[key])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "fewer than two lines"),
        ("seconds,up_mbps\n0,x\n1,2\n", "cannot be understood"),
        ("seconds,up_mbps\n0,-1\n1,2\n", "holds -1"),
        ("seconds,speed\n0,1\n1,2\n", "unknown column `speed`"),
        ("seconds,up_mbps\n1,1\n0,2\n", "not ascending"),
        ("seconds,up_mbps\n0,0\n1,0\n", "0 all the time"),
        ("seconds,rtt_ms\n0,nan\n1,2\n", "no finite number"),
        ("3,parsecs\n4,parsecs\n", "unknown column"),
        ("pub_time(ms) delay(ms)\n1000 25\n1000 30\n", "fewer than two times"),
    ],
)
def test_a_trace_that_no_link_can_have_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem) as caught:
        read_trace(path)
    assert caught.value.where == str(path)


def test_a_link_that_is_dead_most_of_the_time_has_the_rate_of_its_mean(tmp_path: Path) -> None:
    (tmp_path / "dead.csv").write_text("seconds,up_mbps\n0,0\n1,8\n2,0\n3,0\n")
    link = LinkModel("dead", *map(Quantiles.constant, (1.0, 1.0, 50.0)), series=read_trace(tmp_path / "dead.csv"))
    assert link.quantiles("up_mbps")["p50"] == 0
    assert link.median("up_mbps") == 2


@pytest.mark.parametrize(
    ("name", "key", "quantiles"),
    [
        ("5g_n78_arterial_70kmh_rtt.txt", "rtt", (16, 24)),
        ("5g_n8_rural_weak_rtt.txt", "rtt", (33, 794)),
        ("lte_nyc_subway7_downlink.csv", "down", (5.27, 18.2)),
        ("lte_nyc_bus57_downlink.csv", "down", (6.47, 15.3)),
    ],
)
def test_real_traces_have_the_figures_of_their_page(
    shared_data: Path, name: str, key: str, quantiles: tuple[float, float]
) -> None:
    values = read_trace(shared_data / "links" / name).records[key].values
    assert np.quantile(values, [0.5, 0.95]) == pytest.approx(quantiles, rel=0.02)


def test_values_drawn_one_by_one_miss_the_tail_that_blocks_keep(shared_data: Path) -> None:
    """Outages last: of three round trips in a row, all are slow, or none is."""
    steps = read_trace(shared_data / "links" / "5g_n8_rural_outages_rtt.txt").records["rtt"]
    size, answer = np.array(60_000.0), np.array(500.0)

    def q90(delay: Steps, starts: np.ndarray) -> float:
        draws = LinkDraws(starts, ConstantRate(np.array(50.0)), ConstantRate(np.array(50.0)), DelaySeries(delay))
        return float(np.quantile(draws.transfer(size, answer).total, 0.9))

    rng = np.random.default_rng(0)
    replayed = q90(steps, rng.uniform(0, steps.period_ms, 20_000))
    rounds = 40
    blocks = steps.resampled(rng, 30_000.0, rounds)
    single = steps.resampled(rng, 1.0, rounds)
    assert q90(blocks, rng.uniform(0, blocks.period_ms, 20_000)) == pytest.approx(replayed, rel=0.25)
    assert abs(q90(single, rng.uniform(0, single.period_ms, 20_000)) / replayed - 1) > 0.25


# --- names ---


def test_a_link_is_of_the_experiment_a_file_a_trace_or_a_preset(tmp_path: Path) -> None:
    (tmp_path / "named.csv").write_text(FORMS["named.csv"])
    (tmp_path / "rate.csv").write_text(FORMS["units.csv"])
    (tmp_path / "rtt.txt").write_text(FORMS["rtt.txt"])
    (tmp_path / "own.yaml").write_text("preset: wifi\nrtt_ms: 7\ntrace: rate.csv\nup_share: 0.5\nconnection: warm\n")
    links = {"site": {"up_mbps": {"p5": 1, "p50": 2, "p95": 4}, "rtt_ms": 30}}
    experiment = parse_experiment({**EXPERIMENT, "links": links}, where="test")

    def named(name: str) -> LinkModel:
        return link_of(name, experiment, tmp_path)

    assert named("site").quantiles("up_mbps") == {"p5": 1, "p50": 2, "p95": 4}
    assert named("site").describe()["down_mbps"]["origin"].endswith("of the preset `lte`")
    own = named("own.yaml")
    assert (own.name, own.connection, own.median("rtt_ms")) == ("own", "warm", 7)
    assert own.median("up_mbps") == pytest.approx(0.5 * own.median("down_mbps"))
    assert own.origins["up_mbps"].startswith("estimated, 0.5 of the recorded rate down")
    assert named("named.csv").origins["rtt_ms"].startswith("measured")
    assert named("rtt.txt").describe()["up_mbps"]["origin"].endswith("of the preset `5g`")
    assert "estimated, 0.39" in named("rate.csv").origins["up_mbps"]
    assert named("5g").median("rtt_ms") == 47
    with pytest.raises(ConfigError, match="there is no link `5gg`") as caught:
        named("5gg")
    assert "Did you mean `5g`" in caught.value.allowed


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ({"up_mbps": {"p5": 3, "p50": 2, "p95": 4}}, "do not ascend"),
        ({"rtt_ms": 0}, "greater than 0"),
        ({"up_share": 0.5}, "`up_share` is of a recorded rate"),
        ({"los": 0.1}, "unknown key `los`"),
        ({"radio": {"device": "phone", "up_mw": 1, "down_mw": 1}}, "`year` is missing"),
    ],
)
def test_a_link_that_cannot_be_is_refused(link: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_experiment({**EXPERIMENT, "links": {"bad": link}}, where="test")
    assert problem in str(caught.value)


def test_an_empty_series_has_no_record() -> None:
    assert LinkSeries().records == {}
