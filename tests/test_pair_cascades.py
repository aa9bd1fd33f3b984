"""Cascades of a pair's search, beside brute force over all pairs of networks, rules and thresholds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas import pipeline
from hwnas.collaborate.cascades import CascadePoint, Pair
from hwnas.collaborate.codecs import InputCodec
from hwnas.collaborate.cuts import PartTime, part_time
from hwnas.collaborate.plan import Candidate, PlanAccuracy
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.commands.edge_cloud_plans import planned_links
from hwnas.config.links import PairConfig
from hwnas.pareto import front
from hwnas.problem.cost_models import load_cost_models
from hwnas.problem.pairs.cascades import judged_cascades
from hwnas.problem.pairs.joined import join_pairs
from hwnas.problem.pairs.problem import DRAWS, PairProblem
from hwnas.problem.plans.drafts import network_answer_bytes
from hwnas.problem.plans.samples import MOST_SAMPLES, HeldOutSamples
from hwnas.problem.plans.sides import open_sides
from hwnas.report.plans.table import plan_title
from hwnas.report.plans.winners import OUTDATED
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint
from hwnas.space import Architecture
from hwnas.workspace.progress import default_reporter
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import Workspace, open_run
from tests.helpers.experiments import every, written

TIERS = {"edge": {"setup": "cpu", "limits": {"params": 300}}, "cloud": {"setup": "cpu"}}
LINKS = {"near": {"up_mbps": 40, "down_mbps": 90, "rtt_ms": 0.2, "connection": "warm"}}
PAIRS = {"site": {"edge": "edge", "cloud": "cloud", "link": "near"}}
SPACE = """\
name: some
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 8], kernel: [1, 3]}
  - {name: s1, op: conv, width: [8, 16], kernel: [1]}
  - {name: head, op: classifier}
"""
EPSILON = 0.01


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose pair was searched with more trials than there are networks."""
    top = tmp_path_factory.mktemp("cascades")
    experiment = written(
        top,
        SPACE,
        data={"name": "digits", "limit": 900},
        tiers=TIERS,
        links=LINKS,
        pairs=PAIRS,
        search={"trials": 60, "sampler": "guided"},
        export={"formats": ["onnx"], "picks": ["best"]},
    )
    for verb in (pipeline.bench, pipeline.train, pipeline.search):
        verb(experiment, runs=top / "runs")
    return top / "runs" / "mini"


@pytest.fixture(scope="module")
def document(run: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((run / "plans" / "pairs" / "site.json").read_text())
    return told


@pytest.fixture(scope="module")
def problem(run: Path) -> PairProblem:
    opened = open_run(run)
    return PairProblem(opened, "site", load_cost_models(opened))


def cascades_by_hand(problem: PairProblem) -> tuple[list[Candidate], dict[str, float]]:
    """All cascades of all networks with the laxest threshold of all that lose little, and all networks' accuracies."""
    run = problem.run
    trained = supernet_of(run, default_reporter(None))
    assert trained is not None
    samples, sides = HeldOutSamples(run, trained, MOST_SAMPLES), open_sides(run)
    networks = every(run.space)  # type: ignore[arg-type]
    answers = {one.key: samples.whole(sides[1], one) for one in networks}
    on_edge = problem.whole(run.codebook.encode(networks))[0]
    cascades = list[Candidate]()
    for edge, allowed in zip(networks, on_edge, strict=True):
        for cloud in networks if allowed else ():
            if edge.key != cloud.key:
                pair = Pair(answers[edge.key], answers[cloud.key], samples.parts)
                cascades += [by_hand(problem, pair, rule, edge, cloud) for rule in pair.confidences]
    judging = samples.parts.judging
    return cascades, {key: float(one.scores[judging].mean()) for key, one in answers.items()}


def by_hand(problem: PairProblem, pair: Pair, rule: str, edge: Architecture, cloud: Architecture) -> Candidate:
    rows, confidence = pair.parts.calibration, pair.confidences[rule]
    best = np.inf
    for threshold in np.unique(confidence[rows]):
        kept = confidence[rows] >= threshold
        loss = np.mean(pair.cloud.scores[rows]) - np.mean(
            np.where(kept, pair.edge.scores[rows], pair.cloud.scores[rows])
        )
        best = min(best, threshold) if loss <= EPSILON + 1e-12 else best
    rows = pair.parts.judging
    kept = confidence[rows] >= best
    accuracy = float(np.mean(np.where(kept, pair.edge.scores[rows], pair.cloud.scores[rows])))
    point = CascadePoint(rule, float(best), accuracy, 0.0, float(1 - kept.mean()), None)
    head, tail = (
        part_time(costs.model, network, 0, len(network.operators))
        for costs, network in zip(problem.sides, map(problem.run.network, (edge, cloud)), strict=True)
    )
    network = problem.run.network(cloud)
    sent = np.array([float(InputCodec("raw").format((1, 8, 8), "uint8").body_bytes(64))])
    told = PlanAccuracy(accuracy, None, "")
    return Candidate(
        "cascade", told, edge.key, cloud.key, codec="raw", head=head, tail=tail, sent_bytes=sent,
        answer_bytes=network_answer_bytes(network), escalated=point.escalated, cascade=point,
    )  # fmt: skip


def test_an_exhaustive_search_finds_the_cascades_of_brute_force(problem: PairProblem, document: dict[str, Any]) -> None:
    cascades, accuracies = cascades_by_hand(problem)
    cascades = [one for one in cascades if 0 < one.escalated < 1]
    alone = [(key, accuracies[key], problem.score(one)) for key, one in networks_by_key(problem).items()]
    assert document["enumerated"] == len(alone) + len(cascades)
    assert cascades
    rows = [{"accuracy": accuracy, "ms": ms} for _, accuracy, ms in alone]
    rows += [{"accuracy": one.accuracy.value, "ms": problem.cascade_ms(one)} for one in cascades]
    objectives = (problem.tier.quality, problem.tier.costs[0])
    named = [{objectives[0].metric: row["accuracy"], objectives[1].metric: row["ms"]} for row in rows]
    best = {index - len(alone) for index in front(named, objectives) if index >= len(alone)}
    found = {
        (plan["edge"], plan["cloud"], plan["rule"]): plan for plan in document["plans"] if plan["kind"] == "cascade"
    }
    wanted = {(cascades[n].edge, cascades[n].cloud, cascades[n].cascade.rule): cascades[n] for n in best}  # type: ignore[union-attr]
    assert wanted.keys() <= found.keys()
    for key, cascade in wanted.items():
        assert found[key]["accuracy"] == pytest.approx(cascade.accuracy.value)
        assert found[key]["escalated"] == pytest.approx(cascade.escalated)
        assert found[key]["threshold"] == pytest.approx(cascade.cascade.threshold)  # type: ignore[union-attr]


def networks_by_key(problem: PairProblem) -> dict[str, Architecture]:
    return {one.key: one for one in every(problem.run.space)}  # type: ignore[arg-type]


@pytest.mark.parametrize("minimize", ["mean", "p50", "p95", "p99"])
@pytest.mark.parametrize("share", [0.005, 0.2, 0.7])
def test_a_cascades_latency_is_that_of_requests_of_which_some_are_asked(
    problem: PairProblem, share: float, minimize: str
) -> None:
    pair = problem.run.experiment.pairs["site"]
    pair, told = pair.model_copy(update={"minimize": minimize}), PlanAccuracy(0.0, None, "")
    asks = PairProblem(with_pair(problem.run, pair), "site", problem.cost_models)
    one = Candidate(
        "cascade", told, head=PartTime(0.7, 0.0, 0.0), tail=PartTime(0.2, 0.0, 0.0), encode_ms=0.1,
        sent_bytes=np.array([900.0]), answer_bytes=200, escalated=share,
    )  # fmt: skip
    ways = asks.link.quick_draws(asks.run.experiment.seed, DRAWS).transfer(
        np.asarray(900.0 + HTTP_BYTES), np.asarray(200.0 + HTTP_BYTES)
    )
    requests = np.repeat(1.0 + np.broadcast_to(ways.total, (DRAWS,)), 100)
    requests[: round((1 - share) * len(requests))] = 0.7
    expected = requests.mean() if pair.quantile is None else np.quantile(requests, pair.quantile)
    assert asks.cascade_ms(one) == pytest.approx(expected, rel=0.02)


def with_pair(run: Workspace, pair: PairConfig) -> Workspace:
    return replace(run, experiment=run.experiment.model_copy(update={"pairs": {"site": pair}}))


def test_a_plan_over_the_link_takes_both_networks_of_a_pairs_cascades(run: Path, document: dict[str, Any]) -> None:
    cascades = [plan for plan in document["plans"] if plan["kind"] == "cascade"]
    opened = open_run(run)
    edge, cloud = join_pairs(opened, open_sides(opened), "near", supernet_of(opened, default_reporter(None))).sides
    assert cascades
    for side, role in ((edge, "edge"), (cloud, "cloud")):  # those that measuring struck off are there, and stay so
        assert {plan[role] for plan in cascades} <= {point.architecture.key for point in side.front.points}


def test_without_cascades_there_are_none(problem: PairProblem) -> None:
    pair = problem.config.model_copy(update={"cascades": 0})
    asks = PairProblem(with_pair(problem.run, pair), "site", problem.cost_models)
    point = FrontPoint(problem.run.space.smallest(), {})
    assert not judged_cascades(asks, [], [point], None).judged


def test_without_weights_the_reason_is_told(problem: PairProblem) -> None:
    smallest = problem.run.space.smallest()
    scores = {problem.run.accuracy: 0.5, problem.metric: 1.0}
    found = judged_cascades(problem, [Evaluation(smallest, scores)], [FrontPoint(smallest, scores)], None)
    assert not found.cascades
    assert "no weights" in found.notes[0]


def test_the_report_names_the_winner_over_each_link_and_leads_to_the_pages(run: Path, document: dict[str, Any]) -> None:
    planned = pipeline.plan_edge_cloud(run, "near", epsilon=EPSILON)
    page = pipeline.report(run).read_text()
    section = page[page.index('id="Plans"') : page.index('id="Networks"')]
    for pair, text in ((False, planned.document), (True, document)):
        winner = next(plan for plan in text["plans"] if plan["name"] == text["winner"])
        address = f"plans/{'pairs/site' if pair else 'near'}.html"
        assert f'href="{address}"' in section
        assert (run / address).is_file()
        assert plan_title(winner) in section
    assert "pair site" in section
    assert "both fronts" in section


def test_plans_whose_networks_are_gone_are_told_as_outdated_and_damaged_ones_not_at_all(run: Path) -> None:
    opened, planned = open_run(run), pipeline.plan_edge_cloud(run, "near", epsilon=EPSILON)
    document = json.loads(planned.path.read_text())
    for plan in document["plans"]:
        plan["edge"], plan["cloud"] = (plan[side] and "0" * 12 for side in ("edge", "cloud"))
    planned.path.write_text(json.dumps(document))
    (run / "plans" / "other.json").write_text("{")
    told = {
        one.document["link"]["name"]: one.outdated for one in planned_links(opened, set()) if "pair" not in one.document
    }
    assert told == {"near": True}
    assert OUTDATED in pipeline.report(run).read_text()
    planned.path.unlink()
    (run / "plans" / "other.json").unlink()


def test_the_stages_of_a_run_to_come_have_its_pairs(run: Path) -> None:
    stages = {stage.name: stage for stage in pipeline.plan(run)}
    assert list(stages).index("search cloud") < list(stages).index("search site")
    assert "over near" in stages["search site"].work
    assert all(path.is_file() for path in stages["search site"].files)
