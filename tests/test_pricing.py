"""Limits with a confidence and operators without a row, from the experiment to the scores; nothing is timed."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hwnas.commands.cost import cost
from hwnas.errors import ConfigError, TableError
from hwnas.measure.table import open_table
from hwnas.measure.timing import Measurement
from hwnas.network import lower, operators_of
from hwnas.problem.cost_models import cost_metric_scorers, latency_origin, load_cost_models, notices
from hwnas.problem.feasibility import check_limits
from hwnas.problem.population_costs import cost_functions, make_surrogate_spec
from hwnas.search.surrogate.acquisition import Observations
from hwnas.workspace.measuring.setups import runtime_of
from hwnas.workspace.workspace import Workspace, open_run

LATENCY = "latency_ms@board"


def run_of(
    folder: Path,
    limits: Mapping[str, Any],
    *,
    checks: int = 12,
    gaps: int = 0,
    search: Mapping[str, Any] | None = None,
    measure: str = "table",
    **setup: Any,
) -> Workspace:
    """An experiment on the digits space, with a made-up table that lacks `gaps` rows, its last one first."""
    experiment = {
        "name": "made_up",
        "space": "digits",
        "data": "digits",
        "setups": {"board": {"runtime": "onnxruntime", "table": str(folder / "table.jsonl"), **setup}},
        "tiers": {"edge": {"setup": "board", "limits": dict(limits), "measure": measure}},
        "search": dict(search or {}),
    }
    (folder / "made_up.yaml").write_text(yaml.safe_dump(experiment))
    run, rng = open_run(folder / "made_up.yaml", runs=folder / "runs"), random.Random(0)
    table = open_table(folder / "table.jsonl", runtime_of(run.experiment.setups["board"]).setup)
    costs_ns = {link: rng.uniform(1e6, 1e7) for link in operators_of(run.space)}
    table.append_overhead(Measurement((1e4,) * 3))
    lacking = list(costs_ns)[::-4][:gaps]
    for link, ns in costs_ns.items():
        if link not in lacking:
            table.append_row(*link, Measurement(tuple(ns * rng.uniform(1, 1.1) for _ in range(20))))
    for _ in range(checks):
        network = lower(run.space, run.space.random(rng))
        ns = 0.9 * sum(costs_ns[link] for link in network.links) * rng.gauss(1, 0.02)
        table.append_check(network, Measurement((ns,) * 3))
    return run


def test_a_confidence_limits_a_quantile_of_the_prediction(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"latency_ms": 30, "latency_quantile": 0.9})
    cost_models, architecture = load_cost_models(run), run.space.random(random.Random(1))
    (limit,) = run.objectives.tier("edge").limits
    scores = {metric: scorer(architecture) for metric, scorer in cost_metric_scorers(run, "edge", cost_models).items()}
    model, network = cost_models["board"].model, lower(run.space, architecture)
    assert (limit.metric, limit.bound) == (f"{LATENCY}:p90", 30)
    assert scores[limit.metric] == model.upper_ms(network, 0.9)
    assert scores[LATENCY] == model.predict_ms(network)
    assert scores[LATENCY] < scores[limit.metric] < model.predict(network).high_ms


def test_what_was_measured_is_compared_with_the_limit_itself(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"latency_ms": 30, "latency_quantile": 0.9}, checks=0)
    (limit,) = run.objectives.tier("edge", measured=True).limits
    assert (limit.metric, limit.bound) == (LATENCY, 30)
    assert run.objectives.tier("edge", measured=True).objectives == run.objectives.tier("edge").objectives


def test_a_limit_that_no_quantile_meets_tells_what_is_reachable(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"latency_ms": 0.1, "latency_quantile": 0.975})
    with pytest.raises(ConfigError, match=r"latency_ms@board:p97\.5 <= 0\.1") as caught:
        check_limits(run, load_cost_models(run))
    assert f"{LATENCY}:p97.5" in caught.value.allowed


@pytest.mark.parametrize(("checks", "told"), [(12, 0), (2, 1)])
def test_a_confidence_that_rests_on_rows_alone_is_told(tmp_path: Path, checks: int, told: int) -> None:
    run = run_of(tmp_path, {"latency_ms": 30, "latency_quantile": 0.9}, checks=checks)
    assert len(notices(run, load_cost_models(run))) == told


def test_a_confidence_without_a_latency_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="limits"):
        run_of(tmp_path, {"latency_quantile": 0.9})


def test_a_gap_is_an_error_or_is_marked(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("refused", "estimated")]
    for folder in folders:
        folder.mkdir()
    refused = run_of(folders[0], {}, checks=0, gaps=1)
    largest = lower(refused.space, refused.space.largest())
    gap = next(reversed(list(operators_of(refused.space))))
    with pytest.raises(TableError, match="no row") as caught:
        load_cost_models(refused)["board"].model.linear([gap])
    assert f"hwnas bench {folders[0]}/made_up.yaml --runs" in caught.value.do

    estimated = run_of(folders[1], {}, checks=0, gaps=1, missing="estimate")
    model = load_cost_models(estimated)["board"].model
    (ms,) = model.linear([gap])[1]
    assert ms > 0
    holding = next(
        network
        for network in (lower(estimated.space, estimated.space.random(random.Random(seed))) for seed in range(1000))
        if gap in network.links
    )
    assert latency_origin(model, holding) == f"predicted, 1 of {len(holding.operators)} operators estimated"
    if gap not in largest.links:
        assert latency_origin(model, largest) == "predicted"


def test_the_cost_of_a_network_tells_how_much_of_it_is_estimated(tmp_path: Path) -> None:
    run = run_of(tmp_path, {}, checks=0, gaps=30)
    with pytest.raises(TableError, match="no row"):
        cost("digits", "largest", table=tmp_path / "table.jsonl")
    found = cost("digits", "largest", table=tmp_path / "table.jsonl", missing="estimate")
    *operators, _ = found["operators"]
    assert 1 <= found["estimated_rows"] == sum(one["estimated"] for one in operators)
    assert f"{found['estimated_rows']} of {len(operators)} operators estimated" in found["latency_origin"]
    assert found["low_ms"] < found["latency_ms"] < found["high_ms"]
    assert json.dumps(found)
    assert run.space.name == found["space"]


# --- what `guided` is told ---


def test_costs_of_a_population_are_the_scores_of_its_networks(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"latency_ms": 30, "latency_quantile": 0.9})
    cost_models, rng = load_cost_models(run), random.Random(2)
    architectures = [run.space.random(rng) for _ in range(5)]
    codes = run.codebook.encode(architectures)
    for metric, scorer in cost_metric_scorers(run, "edge", cost_models).items():
        found = cost_functions(run, "edge", cost_models)[metric](codes)
        assert found == pytest.approx([scorer(architecture) for architecture in architectures]), metric


@pytest.mark.parametrize("confidence", [None, 0.9])
def test_guided_holds_a_limit_on_accuracy_as_surely_as_the_tier_says(tmp_path: Path, confidence: float | None) -> None:
    run = run_of(tmp_path, {"top1": 0.8, "quality_confidence": confidence}, search={"sampler": "guided"})
    guide = make_surrogate_spec(run, "edge", load_cost_models(run))
    assert guide is not None
    assert (guide.bound, guide.confidence) == (-0.8, confidence or 0.5)


@pytest.mark.parametrize(
    ("limits", "sampler", "met"),
    [
        ({"quality_confidence": 0.9}, "guided", "says how surely a limit such as `top1` is held"),
        ({"top1": 0.8, "quality_confidence": 0.9}, "tpe", "`quality_confidence` is asked of `tpe`"),
        ({"top1": 0.8, "quality_confidence": 1}, "guided", "`quality_confidence` is 1"),
    ],
)
def test_a_confidence_that_nothing_can_hold_is_refused(
    tmp_path: Path, limits: dict[str, float], sampler: str, met: str
) -> None:
    with pytest.raises(ConfigError, match=met):
        run_of(tmp_path, limits, search={"sampler": sampler})


def test_guided_proposes_within_the_limits_of_a_tier(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"latency_ms": 30, "macs": 400_000}, search={"sampler": "guided"})
    cost_models = load_cost_models(run)
    guide = make_surrogate_spec(run, "edge", cost_models)
    assert guide is not None
    nothing = Observations(np.empty((0, len(run.space.choices)), np.intp), np.empty(0), np.empty(0, np.bool_))
    proposed = guide.propose(nothing, nothing.codes, (0, 0))
    assert proposed is not None
    (architecture,) = run.codebook.decode(proposed[None])
    scorers = cost_metric_scorers(run, "edge", cost_models)
    assert not run.objectives.tier("edge").broken({m: scorers[m](architecture) for m in (LATENCY, "macs")})


def test_guided_refuses_latencies_that_are_timed_during_the_search(tmp_path: Path) -> None:
    run = run_of(tmp_path, {}, search={"sampler": "guided"}, measure="live")
    with pytest.raises(ConfigError, match="knows latencies before they are timed"):
        make_surrogate_spec(run, "edge", load_cost_models(run))
