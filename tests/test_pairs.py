"""Pairs: networks searched with their best cut over a link, beside brute force, and what is left of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas import pipeline
from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.collaborate.cuts import ChainCosts
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.errors import ConfigError
from hwnas.pareto import front
from hwnas.problem.cost_models import load_cost_models
from hwnas.problem.pairs.problem import DRAWS, PairProblem
from hwnas.problem.plans.drafts import boundary_bytes, network_answer_bytes
from hwnas.space import Architecture
from hwnas.workspace.workspace import open_run
from tests.helpers.experiments import every, written

TIERS = {"edge": {"setup": "cpu", "limits": {"params": 900}}, "cloud": {"setup": "cpu"}}
LINKS = {"near": {"up_mbps": 400, "down_mbps": 900, "rtt_ms": 0.02, "connection": "warm"}}
PAIRS = {"site": {"edge": "edge", "cloud": "cloud", "link": "near", "boundary": "int8"}}
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

    raw = json_body(64)
    options = [costs.tail_ms[0] + way(raw)]
    options += [costs.head_ms[cut] + way(sizes[cut]) + costs.tail_ms[cut] for cut in range(1, costs.cuts)]
    if sum(cost.params for cost in network.costs) <= 900:
        options.append(costs.head_ms[-1])
    return float(min(options))


def json_body(count: int) -> int:
    from hwnas.collaborate.codecs import InputCodec

    return InputCodec("raw").format((count,), "uint8").body_bytes(count)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of 48 networks whose accuracies cost nothing, with its table."""
    top = tmp_path_factory.mktemp("joint")
    (top / "mine.py").write_text(SCORES)
    accuracy = {"source": "mine.py:score", "quantity": "top1"}
    search = {"trials": 400, "sampler": "guided"}
    path = written(
        top, data=None, accuracy=accuracy, tiers=TIERS, links=LINKS, pairs=PAIRS, search=search, export={"picks": ["best"]}
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
    source = {"params": lambda one: sum(cost.params for cost in opened.network(one).costs)}
    rows = [
        {accuracy: 1 - 1 / (1 + source["params"](one)), metric: brute_force_ms(problem, one, 0.95)} for one in networks
    ]
    best = {networks[index].key for index in front(rows, problem.tier.objectives)}
    document = plans_of(run)
    assert {plan["edge"] or plan["cloud"] for plan in document["plans"]} == best
    assert document["enumerated"] == len(networks)


def plans_of(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run / "plans" / "pairs" / "site.json").read_text())
    return document


def test_the_plans_are_named_and_told_as_those_of_a_plan(run: Path) -> None:
    planned = pipeline.plan_edge_cloud(run, "near")
    names = {plan.candidate.name for plan in planned.plans}
    document = plans_of(run)
    assert document["plans"]
    assert document["plans"][0].keys() == planned.plans[0].as_dict().keys() | document["plans"][0]["extras"].keys() if (
        "extras" in document["plans"][0]
    ) else True
    for plan in document["plans"]:
        assert plan["kind"] in ("edge_only", "cloud_only", "split")
        if plan["kind"] != "split":
            assert plan["name"].removesuffix("-raw") in {name.removesuffix("-raw") for name in names}
    assert set(planned.document["networks"]) <= {
        *document["networks"], *(p["key"] for tier in TIERS for p in json.loads((run / f"fronts/{tier}.json").read_text()))
    }  # fmt: skip


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
    with pytest.raises(ConfigError, match="pairs.edge"):
        open_run(path)
