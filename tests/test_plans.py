"""`hwnas plan`: a small run with an edge and a cloud, and what is planned for it over links."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hwnas import pipeline
from hwnas.collaborate.cascades import Answers, split_held_out
from hwnas.collaborate.choice import break_even, eligible, regimes, winner_of
from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.collaborate.cuts import PartTime
from hwnas.collaborate.halves import split_module, split_network
from hwnas.collaborate.learned.exits import exit_features, exit_logits, fit_exit
from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.presets import PRESETS
from hwnas.collaborate.links.tcp import MODEL_ERROR, Connection
from hwnas.collaborate.plan import Candidate, PlanAccuracy
from hwnas.collaborate.predict import Load, Worlds, predict, quantiles_of, simulate
from hwnas.commands.edge_cloud_plans import EdgeCloudPlans
from hwnas.commands.measure_plans import measurable_plans
from hwnas.errors import ConfigError, RunError
from hwnas.network import build
from hwnas.problem.plans.candidates import Enumeration
from hwnas.problem.plans.drafts import Draft
from hwnas.problem.plans.samples import HeldOutSamples
from hwnas.problem.plans.sides import Side, tier_names
from hwnas.tasks.regression import Regression
from hwnas.workspace.measuring import setups
from tests.helpers.command_line import Call
from tests.helpers.experiments import edited, published, written
from tests.helpers.links import constant_link
from tests.helpers.supernets import opened, some_images, some_networks

KEYS = {"kind", "edge", "cloud", "cut", "codec", "threshold", "accuracy", "latency_ms", "bytes"}
LATENCY = {"p50", "p95", "p99", "low", "high"}
TIERS = {"edge": {"setup": "cpu", "limits": {"params": 900}}, "cloud": {"setup": "cpu"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was trained, timed and searched."""
    top = tmp_path_factory.mktemp("pair")
    links = {
        "far": {
            "up_mbps": 2,
            "down_mbps": 10,
            "rtt_ms": 300,
            "tariff": {"server_hour": 0.1, "gb_up": 0.0, "gb_down": 0.1},
        }
    }
    experiment = written(top, tiers=TIERS, links=links, export={"formats": ["onnx"], "picks": ["best"]})
    for verb in (pipeline.bench, pipeline.train, pipeline.search):
        verb(experiment, runs=top / "runs")
    return top / "runs" / "mini"


@pytest.fixture(scope="module")
def wired(run: Path) -> EdgeCloudPlans:
    return pipeline.plan_edge_cloud(run, "wired", epsilon=0.05)


def kinds(plans: EdgeCloudPlans) -> set[str]:
    return {plan.candidate.kind for plan in plans.plans}


def test_all_kinds_are_planned_and_kept(run: Path, wired: EdgeCloudPlans) -> None:
    assert kinds(wired) >= {"edge_only", "cloud_only", "split"}
    document = json.loads((run / "plans" / "wired.json").read_text())
    assert document == json.loads(json.dumps(wired.document))
    assert document["winner"] == document["plans"][0]["name"]
    for plan in document["plans"]:
        assert plan.keys() >= KEYS
        assert plan["latency_ms"].keys() == LATENCY
        latency = plan["latency_ms"]
        assert latency["low"] <= latency["p50"] <= latency["high"]
        assert latency["p50"] <= latency["p95"] <= latency["p99"]
        assert 0 <= plan["accuracy"] <= 1
        assert plan["accuracy"] is not None
        assert plan["origins"]["accuracy"].startswith("measured on")
        assert {"latency", "accuracy"} <= plan["origins"].keys()
        assert {plan["edge"], plan["cloud"]} - {None} <= document["networks"].keys()
        assert sum(plan["waterfall_ms"].values()) > 0
    names = [plan["name"] for plan in document["plans"]]
    assert len(set(names)) == len(names)
    codecs = {plan["codec"] for plan in document["plans"] if plan["kind"] == "cloud_only"}
    assert "raw" in codecs
    every = {plan["edge"] for plan in document["plans"] if plan["kind"] == "edge_only"}
    assert every == set(json_front(run, "edge"))


def json_front(run: Path, tier: str) -> list[str]:
    return [
        point["key"]
        for point in json.loads((run / "fronts" / f"{tier}.json").read_text())
        if point.get("kept") is not False
    ]


def test_the_same_plans_come_again_and_no_network_is_asked_twice(
    run: Path, wired: EdgeCloudPlans, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas.export import bundle
    from hwnas.problem.plans import samples

    def refuse(*given: Any) -> Any:
        raise AssertionError("its answers are stored")

    monkeypatch.setattr(bundle, "outputs_of", refuse)
    monkeypatch.setattr(samples, "encode_ms", lambda codec, some: 0.0)
    first, again = (pipeline.plan_edge_cloud(run, "wired", epsilon=0.05).document for _ in range(2))
    assert again == first
    assert [plan["accuracy"] for plan in first["plans"]]


def test_answers_that_were_damaged_are_asked_for_again(run: Path, wired: EdgeCloudPlans) -> None:
    for path in (run / "plans" / "answers").iterdir():
        content = bytearray(path.read_bytes())
        content[-3] ^= 0x40
        path.write_bytes(content)
    again = pipeline.plan_edge_cloud(run, "wired", epsilon=0.05)
    accuracies = [{plan.candidate.name: plan.candidate.accuracy.value for plan in one.plans} for one in (wired, again)]
    common = accuracies[0].keys() & accuracies[1].keys()
    assert len(common) > 3
    assert all(accuracies[0][name] == accuracies[1][name] for name in common)


def test_a_far_link_is_not_asked_and_prices_are_told(run: Path) -> None:
    planned = pipeline.plan_edge_cloud(run, "far", epsilon=0.2)
    assert planned.winner is not None
    assert planned.winner.candidate.kind == "edge_only"
    rows = {plan.candidate.kind: plan for plan in planned.plans}
    assert rows["edge_only"].money_per_million == 0
    cloud = rows["cloud_only"]
    hours = cloud.candidate.tail.ms / 3.6e6
    assert cloud.money_per_million == pytest.approx(1e6 * (0.1 * hours + 0.1 * cloud.candidate.wire_bytes[1] / 1e9))
    assert cloud.latency.p50 > 300
    assert rows["edge_only"].energy_mj is None
    assert "no energies" in rows["edge_only"].refused["energy_mj"]


def test_the_exported_file_answers_where_there_is_one(run: Path) -> None:
    pipeline.export(run)
    planned = pipeline.plan_edge_cloud(run, "wired")
    origins = [plan.candidate.accuracy.origin for plan in planned.plans if plan.candidate.kind == "edge_only"]
    assert any("best.onnx, run on this machine" in origin for origin in origins)
    assert all("run on this machine" in origin or "PyTorch in fp32" in origin for origin in origins)
    splits = [plan.candidate.accuracy.origin for plan in planned.plans if plan.candidate.kind == "split"]
    assert splits
    assert all("PyTorch in fp32, cut after operator" in origin for origin in splits)  # never an int8 file's


def test_clients_are_counted_and_an_overloaded_cloud_is_left_out(run: Path) -> None:
    planned = pipeline.plan_edge_cloud(run, "wired", load=Load(1, 1.0, 1, 50.0))
    clients = [plan.clients for plan in planned.plans if plan.candidate.kind == "cloud_only"]
    assert all(count is not None and count > 10 for count in clients)
    busy = pipeline.plan_edge_cloud(run, "wired", load=Load(10**6, 10**3))
    assert kinds(busy) == {"edge_only"}
    assert any("cannot keep up" in note for note in busy.notes)


def test_a_run_on_published_numbers_is_planned_without_cuts(tmp_path: Path) -> None:
    tiers = {"edge": {"setup": "board", "limits": {"latency_ms": 0.5}}, "cloud": {"setup": "board"}}
    pipeline.search(published(tmp_path, tiers=tiers), runs=tmp_path)
    planned = pipeline.plan_edge_cloud(tmp_path / "published", "lte")
    assert kinds(planned) == {"edge_only", "cloud_only"}
    assert any("published" in note for note in planned.notes)
    assert planned.plans[0].candidate.accuracy.origin == "published"


def test_the_command_prints_one_document_or_a_table(run: Path, hwnas: Call) -> None:
    done = hwnas("plan", str(run), "--link", "wifi", "--json")
    document = json.loads(done.out)
    assert done.code == 0
    assert document["link"]["name"] == "wifi"
    assert {plan["kind"] for plan in document["plans"]} >= {"edge_only", "cloud_only", "split"}
    done = hwnas("plan", str(run), "--link", "wifi")
    assert done.code == 0
    assert "Plans of mini over wifi" in done.out
    assert "edge only" in done.out
    page = (run / "plans" / "wifi.html").read_text()
    assert "Where a request" in page
    assert "private" not in page


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--link", "wfi"], "there is no link `wfi`"),
        (["--link", "wifi", "--edge", "egde"], "there is no tier `egde`"),
        (["--link", "wifi", "--edge", "edge", "--cloud", "edge"], "cannot be told apart"),
        (["--link", "wifi", "--delta", "0"], "`--delta` is 0"),
        (["--link", "wifi", "--clients", "0"], "`--clients` is 0"),
        (["--link", "wifi", "--rate", "inf"], "`--rate` is inf"),
        (["--link", "wifi", "--rate", "nan"], "`--rate` is nan"),
        (["--link", "wifi", "--rate", "1", "--p99-ms", "nan"], "`--p99-ms` is nan"),
        (["--link", "wifi", "--rate", "1", "--p99-ms", "-5"], "`--p99-ms` is -5"),
        (["--link", "wifi", "--p99-ms", "50"], "`--p99-ms` is given, and `--rate` is 0"),
    ],
)
def test_what_cannot_be_planned_is_refused(run: Path, hwnas: Call, options: list[str], problem: str) -> None:
    done = hwnas("plan", str(run), *options)
    assert done.code == 2
    assert problem in done.err


def test_a_run_without_fronts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no front yet"):
        pipeline.plan_edge_cloud(written(tmp_path, tiers=TIERS), "wifi", runs=tmp_path / "runs")
    with pytest.raises(ConfigError, match="has one tier only"):
        pipeline.plan_edge_cloud(written(tmp_path), "wifi", runs=tmp_path / "runs")


def test_an_empty_front_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiers = {"edge": {"setup": "board"}, "cloud": {"setup": "board"}}
    pipeline.search(published(tmp_path, tiers=tiers), runs=tmp_path)
    monkeypatch.setattr(Side, "points", {})
    with pytest.raises(RunError, match="the front of tier `edge` has no networks"):
        pipeline.plan_edge_cloud(tmp_path / "published", "lte")


def test_tiers_are_told_by_name_then_by_order() -> None:
    assert tier_names(["cloud", "edge"], None, None) == ("edge", "cloud")
    assert tier_names(["phone", "server"], None, None) == ("phone", "server")
    assert tier_names(["a", "b", "cloud"], "b", None) == ("b", "cloud")
    assert tier_names(["a", "b"], None, "a") == ("b", "a")
    for tiers, edge in ((["a", "b", "c"], None), (["a", "b", "c"], "c"), (["a", "b", "cloud"], None)):
        with pytest.raises(ConfigError, match="cannot be told apart"):
            tier_names(tiers, edge, None)


# --- parts ---


def test_a_file_answers_in_the_unit_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a regression give millimetres, modules deviations: both are judged alike."""
    task, deviations = Regression().fit(torch.tensor([[10.0], [30.0]])), torch.tensor([[0.5], [-1.0]])
    file = SimpleNamespace(run=lambda inputs: task.to_unit(deviations).numpy())
    monkeypatch.setattr(setups, "runtime_of", lambda config: SimpleNamespace(load=lambda path: file))
    samples: Any = object.__new__(HeldOutSamples)
    experiment = SimpleNamespace(setups={"cpu": None}, tiers={"edge": SimpleNamespace(setup="cpu")})
    samples.__dict__ |= {
        "run": SimpleNamespace(experiment=experiment),
        "_splits": [SimpleNamespace(fit=lambda own: own)],
        "inputs": deviations,
        "fitted": lambda network, inputs: inputs,
    }
    side, network = SimpleNamespace(tier="edge"), SimpleNamespace(task=task)
    assert samples._run_file(side, Path("best.onnx"), network) == pytest.approx(deviations.numpy())


@pytest.mark.parametrize("name", ["digits", "nas_bench_macro", "ofa_mobilenet_v3_w1.0", "autoformer_tiny"])
def test_head_and_tail_are_the_whole_at_every_cut(name: str) -> None:
    space, _ = opened(name)
    for network in some_networks(space, 5):
        module, images = build(network).eval(), some_images(network, 1)
        with torch.no_grad():
            whole = module(images)
            for cut in range(1, len(network.operators)):
                head, tail = split_module(module, cut)
                boundary = head(images)
                assert (tail(boundary) - whole).abs().max() <= 1e-5
                first, second = split_network(network, cut)
                assert tuple(boundary.shape[1:]) == second.input_shape == first.costs[-1].output_shape
                codec = BoundaryCodec("fp32")
                content = codec.encode(boundary[0].numpy())
                form = codec.format(second.input_shape)
                assert form.body_bytes(4 * math.prod(second.input_shape)) == len(form.body(content, ""))


def test_a_cut_that_is_not_there_is_refused() -> None:
    network = some_networks(opened("digits")[0], 2)[0]
    with pytest.raises(ConfigError, match="is cut after operator 99"):
        split_network(network, 99)


def candidate(kind: str, accuracy: float, head: float, tail: float = 0.0, size: float = 1.0) -> Candidate:
    return Candidate(
        kind,  # type: ignore[arg-type]
        PlanAccuracy(accuracy, None, "synthetic"),
        edge="e",
        cloud=None if kind == "edge_only" else f"c{size:g}",
        head=PartTime(head, 0.05 * head, 0.02 * head),
        tail=PartTime(tail, 0.05 * tail, 0.02 * tail),
        sent_bytes=np.array([size]),
        escalated=0.0 if kind == "edge_only" else 1.0,
    )


def test_intervals_hold_the_medians_of_as_many_worlds_as_they_say() -> None:
    """Of machines drawn as the posterior has them, nine of ten have their median latency within the interval."""
    link = constant_link(10, 10, 20)
    one = candidate("cloud_only", 0.9, 100, 30, 10_000)
    plan = predict(one, link, Worlds.drawn(link, 0), Load())
    assert plan is not None
    others = [predict(one, link, Worlds.drawn(link, seed, worlds=1), Load()) for seed in range(1, 201)]
    medians = [other.latency.p50 for other in others if other is not None]
    inside = np.mean([plan.latency.low <= median <= plan.latency.high for median in medians])
    assert 0.8 <= inside <= 0.97


@pytest.mark.parametrize("connection", ["cold", "idle", "warm"])
def test_the_interval_over_a_link_that_never_varies_is_the_error_of_the_model_of_tcp(connection: Connection) -> None:
    link = replace(constant_link(10, 10, 20), connection=connection)
    worlds = Worlds.drawn(link, 0, worlds=2000, requests=1)
    way = candidate("cloud_only", 0.9, 0, 0, 10_000)
    latency = quantiles_of(simulate(way, worlds, Load().queue(way)))
    assert (latency.high - latency.low) / latency.p50 == pytest.approx(3.29 * MODEL_ERROR[connection], rel=0.1)


def test_a_tail_is_not_a_sum_of_tails() -> None:
    link = LinkModel.of_preset("lte", PRESETS["lte"])
    one = candidate("cloud_only", 0.9, 100, 300, 10_000)
    plan = predict(one, link, Worlds.drawn(link, 0), Load())
    assert plan is not None
    alone = candidate("cloud_only", 0.9, 0, 0, 10_000)
    way = predict(alone, link, Worlds.drawn(link, 0), Load())
    assert way is not None
    assert plan.latency.p99 < way.latency.p99 + 1.2 * 400 * 1.16
    assert plan.latency.p50 == pytest.approx(way.latency.p50 + 400, rel=0.1)


def side_of(goal: str, points: dict[str, Any] | None = None) -> Any:
    """A side with nothing but the goal of its quality, and points."""
    front = SimpleNamespace(tier=SimpleNamespace(quality=SimpleNamespace(goal=goal)))
    return SimpleNamespace(front=front, points=points or {})


class Drafted(Enumeration):
    """The enumeration of drafts that are given."""

    def of(self, drafts: list[Draft]) -> list[Candidate]:
        self.__dict__ |= {"_cloud_only": lambda: ([], drafts), "_splits": list}
        return self.candidates()


def drafted(codec: str, size: float, accuracy: float, tail: float = 10.0) -> Draft:
    """A draft of accuracy 0.9 that samples show to have another."""
    whole = replace(candidate("cloud_only", 0.9, 0, tail, size), codec=codec)
    return Draft(whole, lambda: replace(whole, accuracy=PlanAccuracy(accuracy, None, "synthetic")))


def test_a_codec_that_loses_more_does_not_displace_one_that_loses_less() -> None:
    draws = constant_link(10, 10, 20).quick_draws(0, 1)
    drafts = [drafted("png", 9000, 0.9), drafted("jpeg-50", 2000, 0.6), drafted("jpeg-75", 3000, 0.5)]
    left = Drafted(side_of("max"), side_of("max"), draws, None).of(drafts)
    assert {one.codec for one in left} == {"png", "jpeg-50"}


def test_what_spares_a_loaded_cloud_is_kept() -> None:
    draws = constant_link(10, 10, 20).quick_draws(0, 1)
    drafts = [drafted("raw", 2000, 0.9, tail=10.0), drafted("raw", 30_000, 0.9, tail=5.0)]
    for load, count in ((Load(), 1), (Load(50, 1.0), 2)):
        assert len(Drafted(side_of("max"), side_of("max"), draws, None, load=load).of(drafts)) == count


def test_the_cascades_that_are_tested_share_what_is_promised() -> None:
    """Of two edges and three clouds, one of which is an edge's network, with two rules and a learned one."""
    rng, parts = np.random.default_rng(0), split_held_out(1000, 8000, 0)
    rules = {"max_prob": rng.random(9000), "margin": rng.random(9000)}
    sure = (rules["max_prob"] > 0.2).astype(float)
    answers = {
        "a": Answers(sure, rules, "synthetic"),
        "b": Answers(sure * (rng.random(9000) < 0.8), rules, "synthetic"),
    }
    answers |= {key: Answers((rng.random(9000) < share).astype(float), rules, "synthetic")
                for key, share in {"c": 0.97, "d": 0.9}.items()}  # fmt: skip
    edge, cloud = (side_of("max", {key: SimpleNamespace(architecture=key) for key in keys}) for keys in ("ab", "bcd"))
    edge.latency_origin = cloud.latency_origin = "synthetic"
    samples: Any = SimpleNamespace(whole=lambda side, key: answers[key], parts=parts)
    one = Drafted(edge, cloud, constant_link(10, 10, 20).quick_draws(0, 1), samples)
    alone = candidate("edge_only", 0.9, 1)
    one.__dict__ |= {"_edge_only": lambda point: alone, "_best_input": lambda key: candidate("cloud_only", 0.9, 0, 1)}
    cascades = [found for found in one.cascades() if found.cascade is not None]
    promised = [found.cascade.guarantee for found in cascades if found.cascade is not None and found.cascade.guarantee]
    untested = sum("others beat it" in (found.extras["no_guarantee"] or "") for found in cascades)
    assert promised
    assert untested > 0
    assert {round(one.promise.delta / each.delta) for each in promised} == {len(cascades) - untested}


def test_a_quality_of_which_less_is_better_has_no_cascades() -> None:
    one = Drafted(side_of("min"), side_of("min"), constant_link(10, 10, 20).quick_draws(0, 1), None)
    assert one.of([]) == []
    assert one.notes == ["there are no cascades: they are judged by a quality of which more is better"]


def test_the_winner_follows_the_link() -> None:
    link = constant_link(10, 10, 20)
    worlds = Worlds.drawn(link, 0)
    candidates = [
        candidate("edge_only", 0.9, 200),
        candidate("cloud_only", 0.9, 0, 10, 150_000),
        candidate("split", 0.9, 60, 5, 5_000),
    ]
    plans = [plan for one in candidates if (plan := predict(one, link, worlds, Load())) is not None]
    assert winner_of(plans, 0.01) is plans[2]
    table = regimes(plans, link, 0.01)
    kinds_of = {plan.candidate.name: plan.candidate.kind for plan in plans}
    winners = [[kinds_of[name] for name in row] for row in table["winners"]]
    assert winners[-1][0] == "cloud_only"
    assert winners[0][-1] == "edge_only"
    assert any("split" in row for row in winners)
    means = np.array(table["mean_ms"])
    assert all((after <= before + 1e-9).all() for before, after in pairwise(means))


@pytest.mark.parametrize("connection", ["cold", "idle", "warm"])
def test_both_take_as_long_at_the_break_even_point(connection: Any) -> None:
    """With the answer's bytes and the radio's waking, on a link with long round trips."""
    link = replace(constant_link(50, 0.5, 200, connection), promotion_ms=300.0)
    worlds = Worlds.drawn(link, 0, worlds=2, requests=2)
    cloud = replace(candidate("cloud_only", 0.9, 0, 10, 8_000), answer_bytes=8_000)
    plans = [predict(one, link, worlds, Load()) for one in (candidate("edge_only", 0.9, 3000), cloud)]
    even = break_even([plan for plan in plans if plan is not None], link, 0.01)
    assert even is not None
    draws = replace(link, rtt_ms=Quantiles.constant(even["rtt_ms"])).quick_draws(0, 1)
    way = draws.transfer(np.array(8_600.0), np.array(8_600.0), 10.0).total
    assert float(way[0]) + 10 == pytest.approx(3000, rel=1e-6)
    assert all("edge_only" in row[-1] for row in regimes([p for p in plans if p], link, 0.01)["winners"][:3])


def test_what_is_less_accurate_or_promises_nothing_does_not_win() -> None:
    link = constant_link(10, 10, 20)
    worlds = Worlds.drawn(link, 0)
    plans = [
        predict(candidate("edge_only", accuracy, ms), link, worlds, Load()) for accuracy, ms in ((0.8, 1), (0.9, 10))
    ]
    known = [plan for plan in plans if plan is not None]
    assert winner_of(known, 0.05) is known[1]
    assert winner_of(known, 0.2) is known[0]
    assert eligible([], 0.1) == []
    assert winner_of([], 0.1) is None


def test_a_radio_without_coefficients_is_refused(run: Path) -> None:
    link = LinkModel.of_preset("wifi", PRESETS["wifi"])
    one = candidate("cloud_only", 0.9, 0, 10, 1000)
    plan = predict(Candidate(**{**vars(one), "head_mj": 0.0}), link, Worlds.drawn(link, 0), Load())
    assert plan is not None
    assert plan.energy_mj is None
    assert "no coefficients" in plan.refused["energy_mj"]
    lte = LinkModel.of_preset("lte", PRESETS["lte"])
    plan = predict(Candidate(**{**vars(one), "head_mj": 2.0, "escalated": 0.5}), lte, Worlds.drawn(lte, 0), Load())
    assert plan is not None
    assert lte.radio is not None
    up, down = 1000 + 600 + 22 + 2 * 52, 0 + 600 + 22 + 52  # HTTP, a TLS record, headers of segments
    radio = lte.radio.up_mj(8e-3 * up / 10.6, 10.6) + lte.radio.down_mj(8e-3 * down / lte.median("down_mbps"), 27.1)
    assert plan.energy_mj == pytest.approx(2.0 + 0.5 * float(radio), rel=1e-6)


def test_plans_of_a_changed_experiment_are_made_anew(run: Path) -> None:
    edited(run, links={"near": {"preset": "wired"}})
    assert pipeline.plan_edge_cloud(run, "near").path.name == "near.json"


def test_an_exit_leaves_its_network_as_it_is_and_is_planned(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwnas.problem.plans import exits

    seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    answered = exits.exit_answers

    def watched(samples: HeldOutSamples, side: Side, point: Any) -> dict[int, Answers]:
        module = samples.module(side, point.architecture)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        found = answered(samples, side, point)
        seen.append((before, module.state_dict()))
        return found

    monkeypatch.setattr(exits, "exit_answers", watched)
    planned = pipeline.plan_edge_cloud(run, "wired", epsilon=0.5, exits=True)
    assert seen
    assert all(torch.equal(value, after[name]) for before, after in seen for name, value in before.items())
    cuts = [plan for plan in planned.plans if plan.candidate.kind == "cascade" and plan.candidate.cut is not None]
    assert cuts
    for plan in cuts:
        entry = plan.as_dict()
        assert entry["edge"] == entry["cloud"]
        assert entry["exit"]["operators"] == entry["cut"]
        assert 0 < entry["escalated"] < 1
        assert entry["codec"] == "int8"
        assert "an exit after operator" in entry["origins"]["accuracy"]
    measured = [plan.candidate for plan in measurable_plans(planned)]
    assert {one.kind for one in measured if "exit" not in one.extras} == kinds(planned) - {"cascade"} | {
        plan.candidate.kind for plan in planned.plans if "exit" not in plan.candidate.extras
    }
    assert sum("exit" in one.extras for one in measured) == 1
    assert planned.winner is not None
    assert measured[0].name == planned.winner.candidate.name


def test_an_exit_learns_what_its_features_tell() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    maps = rng.normal(0, 1, (600, 4, 6, 6))
    maps[np.arange(600), labels, :3] += 1.0  # in the upper half alone
    features = exit_features(maps)
    weights = fit_exit(features[:400], labels[:400], 3)
    assert (exit_logits(weights, features[400:]).argmax(1) == labels[400:]).mean() > 0.95
    assert features[:, :4] == pytest.approx(maps[:, 0].reshape(600, 2, 3, 2, 3).mean((2, 4)).reshape(600, 4))
