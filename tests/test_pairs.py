"""Pairs: networks searched with their best cut over a link, beside brute force, and what is left of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas import pipeline
from hwnas.collaborate.codecs import BoundaryCodec, InputCodec
from hwnas.collaborate.cuts import ChainCosts
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.errors import ConfigError, RunError
from hwnas.pareto import front
from hwnas.problem.cost_models import load_cost_models
from hwnas.problem.pairs.problem import DRAWS, PairProblem
from hwnas.problem.plans.drafts import boundary_bytes, network_answer_bytes
from hwnas.space import Architecture
from hwnas.workspace.workspace import open_run
from tests.helpers.command_line import Call
from tests.helpers.experiments import every, written

TIERS = {"edge": {"setup": "cpu", "limits": {"params": 900}}, "cloud": {"setup": "cpu"}}
LINKS = {"near": {"up_mbps": 400, "down_mbps": 900, "rtt_ms": 0.02, "connection": "warm"}}
PAIRS = {"site": {"edge": "edge", "cloud": "cloud", "link": "near", "boundary": "int8"}}
SPACE = """\
name: some
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 8], kernel: [1, 3]}
  - {name: s1, op: conv, depth: [1, 2], width: [8, 16], kernel: 1}
  - {name: head, op: classifier}
"""
SCORES = "def score(architecture, network):\n    return 1 - 1 / (1 + sum(cost.params for cost in network.costs))\n"


def brute_force_ms(problem: PairProblem, architecture: Architecture, quantile: float | None) -> float:
    """Try every cut of a network, one transfer each."""
    run, setup = problem.run, problem.cost_models["cpu"].model
    network = run.network(architecture)
    costs, draws = ChainCosts.of(network, setup, setup), problem.link.quick_draws(run.experiment.seed, DRAWS)
    sizes = boundary_bytes(network, BoundaryCodec("int8"), None)
    answer = np.asarray(float(network_answer_bytes(network) + HTTP_BYTES))

    def way(size: float) -> float:
        times = draws.transfer(np.asarray(size + HTTP_BYTES), answer).total
        return float(times.mean() if quantile is None else np.quantile(times, quantile))

    raw = InputCodec("raw").format((64,), "uint8").body_bytes(64)
    options = [costs.tail_ms[0] + way(raw)]
    options += [costs.head_ms[cut] + way(sizes[cut]) + costs.tail_ms[cut] for cut in range(1, costs.cuts)]
    if sum(cost.params for cost in network.costs) <= 900:
        options.append(costs.head_ms[-1])
    return float(min(options))


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of a few networks whose accuracies cost nothing, with its table."""
    top = tmp_path_factory.mktemp("joint")
    (top / "mine.py").write_text(SCORES)
    accuracy = {"source": "mine.py:score", "quantity": "top1"}
    search = {"trials": 400, "sampler": "guided"}
    path = written(
        top,
        SPACE,
        data=None,
        accuracy=accuracy,
        tiers=TIERS,
        links=LINKS,
        pairs=PAIRS,
        search=search,
        export={"picks": ["best"]},
    )
    pipeline.bench(path, runs=top / "runs")
    return path


@pytest.fixture(scope="module")
def run(experiment: Path) -> Path:
    pipeline.search(experiment, runs=experiment.parent / "runs")
    return experiment.parent / "runs" / "mini"


@pytest.mark.parametrize("minimize", ["mean", "p50", "p95"])
def test_latencies_of_all_networks_equal_brute_force(experiment: Path, minimize: str) -> None:
    opened = open_run(experiment, runs=experiment.parent / "runs")
    pair = opened.experiment.pairs["site"].model_copy(update={"minimize": minimize})
    opened.experiment.pairs["site"] = pair
    problem = PairProblem(opened, "site", load_cost_models(opened))
    networks = every(opened.space)  # type: ignore[arg-type]
    many = problem.request_ms(opened.codebook.encode(networks))
    alone = [brute_force_ms(problem, one, pair.quantile) for one in networks]
    np.testing.assert_allclose(many, alone, rtol=1e-9)


def test_an_exhaustive_search_finds_the_front_of_brute_force(run: Path) -> None:
    opened = open_run(run)
    problem = PairProblem(opened, "site", load_cost_models(opened))
    networks = every(opened.space)  # type: ignore[arg-type]
    metric, accuracy = problem.metric, opened.accuracy
    sizes = [sum(cost.params for cost in opened.network(one).costs) for one in networks]
    rows = [
        {accuracy: 1 - 1 / (1 + size), metric: brute_force_ms(problem, one, 0.95)}
        for one, size in zip(networks, sizes, strict=True)
    ]
    best = {networks[index].key for index in front(rows, problem.tier.objectives)}
    document = plans_of(run)
    assert {plan["edge"] or plan["cloud"] for plan in document["plans"]} == best
    assert document["enumerated"] == len(networks)


def plans_of(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run / "plans" / "pairs" / "site.json").read_text())
    return document


def test_the_plans_are_told_as_those_of_a_plan(run: Path, hwnas: Call) -> None:
    planned, document = pipeline.plan_edge_cloud(run, "near").document, plans_of(run)
    assert document.keys() >= planned.keys()
    keys = {plan["kind"]: plan.keys() for plan in planned["plans"]}
    for plan in document["plans"]:
        assert plan["kind"] in ("edge_only", "cloud_only", "split")
        assert plan["name"].startswith(plan["kind"])
        assert plan.keys() <= keys.get(plan["kind"], plan.keys())
        assert plan["latency_ms"]["p50"] <= plan["latency_ms"]["p95"]
    assert (run / "plans" / "pairs" / "site.html").stat().st_size > 1000
    assert "pair site over near" in hwnas("show", str(run)).out


def test_a_plan_over_the_link_takes_the_pairs_networks(run: Path) -> None:
    path, before = run / "plans" / "pairs" / "site.json", plans_of(run)
    opened = open_run(run)
    known = {point["key"] for tier in TIERS for point in json.loads((run / f"fronts/{tier}.json").read_text())}
    known |= before["networks"].keys()
    other = next(one for one in every(opened.space) if one.key not in known)  # type: ignore[arg-type]
    added = {**before["plans"][0], "kind": "split", "edge": other.key, "cloud": other.key, "accuracy": 2.0}
    try:
        networks = {**before["networks"], other.key: other.as_dict()}
        searched = {**before["searched"], other.key: {"value": 2.0, "error": None}}
        changes = {"plans": [*before["plans"], added], "networks": networks, "searched": searched}
        path.write_text(json.dumps({**before, **changes}))
        assert other.key in pipeline.plan_edge_cloud(run, "near").document["networks"]
        assert other.key not in pipeline.plan_edge_cloud(run, "lte").document["networks"]
        path.write_text(json.dumps({**before, "found_under": {**before["found_under"], "requests": "0"}}))
        assert any("pair `site` are left out" in note for note in pipeline.plan_edge_cloud(run, "near").notes)
    finally:
        path.write_text(json.dumps(before))


@pytest.mark.parametrize("text", ["{", '{"plans": 3}'])
def test_damaged_plans_are_refused(run: Path, text: str) -> None:
    path, before = run / "plans" / "pairs" / "site.json", (run / "plans" / "pairs" / "site.json").read_text()
    try:
        path.write_text(text)
        with pytest.raises(RunError, match=r"damaged") as caught:
            pipeline.plan_edge_cloud(run, "near")
        assert caught.value.where == str(path)
    finally:
        path.write_text(before)


def test_a_pair_goes_on_where_it_stopped(run: Path, experiment: Path) -> None:
    before = plans_of(run)
    pipeline.search(experiment, runs=experiment.parent / "runs")
    assert plans_of(run) == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"edge": "egde"}, "`egde` is no tier"),
        ({"cloud": "edge"}, "A pair joins two tiers"),
        ({"link": "lan"}, "there is no link `lan`"),
        ({"minimize": "p96"}, "minimize"),
        ({"boundary": "int4"}, "boundary"),
        ({"objectives": ["p95"]}, "objectives"),
    ],
)
def test_bad_pairs_are_refused_before_any_work(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    path = written(tmp_path, tiers=TIERS, links=LINKS, pairs={"site": PAIRS["site"] | changes})
    with pytest.raises(ConfigError) as caught:
        open_run(path)
    error = caught.value
    assert named in f"{error.met} {error.where} {error.allowed}"
    assert "pairs" in f"{error.met} {error.where} {error.allowed}"
    assert error.allowed
    assert error.do


def test_a_pair_is_refused_the_name_of_a_tier(tmp_path: Path) -> None:
    path = written(tmp_path, tiers=TIERS, links=LINKS, pairs={"edge": PAIRS["site"]})
    with pytest.raises(ConfigError, match=r"pairs\.edge"):
        open_run(path)
