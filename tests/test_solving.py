"""A searched run is solved again without scoring; searches end by rules and begin with what is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas import pipeline
from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree
from hwnas.errors import ConfigError, RunError
from hwnas.pareto import Objective, best
from hwnas.problem.cost_models import cost_metric_scorers
from hwnas.search.fronts import read_front
from hwnas.search.successive_halving import sample_initial
from hwnas.space import Architecture
from hwnas.tabular import TableMetric
from hwnas.workspace.workspace import open_run
from tests.helpers.experiments import published
from tests.helpers.narration import Telling, printed


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    top = tmp_path_factory.mktemp("solved")
    pipeline.search(published(top), runs=top)
    return top / "published"


def refuse(*given: Any) -> float:
    raise AssertionError("it was scored before")


def test_a_run_is_solved_again_as_a_search_with_these_limits_would(whole: Path, tmp_path: Path) -> None:
    solved = pipeline.solve(whole, limits=["latency_ms=0.6", "params=1500"])
    limits = {"latency_ms": 0.6, "params": 1500}
    other = published(tmp_path, tiers={"edge": {"setup": "board", "limits": limits}})
    (searched,) = pipeline.search(other, runs=tmp_path)
    stored = {json.loads(line)["key"] for line in (whole / "scores.jsonl").read_text().splitlines()}
    assert solved.n_stored == len(stored)
    expected = {p.architecture.key for p in searched.front}
    assert {p.architecture.key for p in solved.front} == expected
    assert expected <= stored
    assert {p.origin["latency_ms@board"] for p in solved.front} == {"published"}


def test_solving_writes_nothing(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    pipeline.solve(whole, limits=["latency_ms=0.6"])
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_limits_that_nothing_meets_name_the_nearest_network(whole: Path) -> None:
    with pytest.raises(ConfigError, match=r"none of \d+ networks with an accuracy meets the limits") as told:
        pipeline.solve(whole, limits=["latency_ms=0.01"])
    solved = pipeline.solve(whole, limits=[])
    fastest = min(solved.front, key=lambda p: p.scores["latency_ms@board"])
    assert fastest.architecture.key in told.value.allowed


@pytest.mark.parametrize(
    ("how", "met"),
    [
        ({"setup": "bord"}, "there is no set-up `bord`.*Did you mean `board`"),
        ({"limits": ["latency_ms"]}, "`latency_ms` is no limit"),
        ({"limits": ["latency=3"]}, "unknown key `latency`"),
        ({"limits": ["latency_ms=fast"]}, "`latency_ms` is 'fast'"),
        ({"limits": ["energy_mj=3"]}, "`energy_mj` is limited"),
    ],
)
def test_what_cannot_be_solved_for_is_told(whole: Path, how: dict[str, Any], met: str) -> None:
    with pytest.raises(ConfigError, match=met):
        pipeline.solve(whole, **how)


def test_a_run_without_accuracies_cannot_be_solved(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no `top1@table` is stored"):
        pipeline.solve(published(tmp_path), runs=tmp_path)


def test_the_command_prints_the_front_or_json(
    whole: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = [p.architecture.key for p in pipeline.solve(whole, limits=["latency_ms=0.6"]).front]
    given = ("solve", str(whole), "--limit", "latency_ms=0.6")
    assert all(key in printed(*given, monkeypatch=monkeypatch, capfd=capfd) for key in keys)
    found = json.loads(printed(*given, "--json", monkeypatch=monkeypatch, capfd=capfd))
    assert [point["key"] for point in found["front"]] == keys


def test_a_new_tier_joins_a_finished_run_and_scores_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = published(tmp_path, tiers={"edge": {"setup": "board"}})
    (alone,) = pipeline.search(path, runs=tmp_path)
    raw = yaml.safe_load(path.read_text())
    raw["tiers"]["small"] = {"setup": "board", "limits": {"params": 1500}}
    path.write_text(yaml.safe_dump(raw))
    scores = tmp_path / "published" / "scores.jsonl"
    before = scores.read_bytes()
    real = TableMetric.__call__
    monkeypatch.setattr(
        TableMetric, "__call__", lambda self, a: real(self, a) if self.wanted.column == "us" else refuse()
    )
    edge, small = pipeline.search(path, runs=tmp_path)
    assert edge.evaluations == alone.evaluations
    assert scores.read_bytes() == before
    assert small.front
    assert all(point.scores["params"] <= 1500 for point in small.front)


def test_a_plateau_ends_a_search_at_the_same_trial_interrupted_or_not(tmp_path: Path) -> None:
    rules = {"trials": 400, "sampler": "random", "early_stopping": {"patience": 20, "min_delta": 0.3}}
    told = Telling()
    path = published(tmp_path / "one", search=rules)
    (whole,) = pipeline.search(path, runs=tmp_path / "one", reporter=told)
    assert whole.finished.trials < 72
    assert "hypervolume grew by" in whole.finished.stopped
    assert any(line.startswith("edge ends after") for line in told.lines)
    other = published(tmp_path / "two", search=rules)
    pipeline.search(other, runs=tmp_path / "two", trials=15)
    (continued,) = pipeline.search(other, runs=tmp_path / "two")
    assert continued.finished == whole.finished
    (again,) = pipeline.search(other, runs=tmp_path / "two")
    assert again.finished == whole.finished


def test_hours_end_a_search(tmp_path: Path) -> None:
    path = published(tmp_path, search={"trials": 400, "sampler": "random", "max_hours": 1e-12})
    (searched,) = pipeline.search(path, runs=tmp_path)
    assert searched.finished.trials == 1
    assert "hours" in searched.finished.stopped


def test_a_search_begins_with_what_is_known_and_takes_over_accuracies(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = [p.architecture for p in read_front(whole / "fronts" / "edge.json")]
    (tmp_path / "mine.json").write_text(json.dumps([a.as_dict() for a in front[:1]]))
    count = 2 + len(front)
    path = published(tmp_path, search={"trials": count, "sampler": "random", "warm_start": [str(whole), "mine.json"]})
    (searched,) = pipeline.search(path, runs=tmp_path, reporter=(told := Telling()))
    tried = [e.architecture for e in searched.evaluations]
    assert set(front) <= set(tried)
    assert any("accuracies are taken over" in line for line in told.lines)
    assert {p.architecture for p in searched.front} == set(front)


@pytest.mark.parametrize(("entry", "met"), [("nowhere", "there is no run and no file"), (".", "holds no fronts")])
def test_a_start_that_names_nothing_is_told(tmp_path: Path, entry: str, met: str) -> None:
    entry = str(tmp_path) if entry == "." else entry
    path = published(tmp_path, search={"trials": 3, "warm_start": [entry]})
    with pytest.raises(ConfigError, match=met):
        pipeline.search(path, runs=tmp_path)


def scored(monkeypatch: pytest.MonkeyPatch) -> list[Architecture]:
    """All that is scored without training from now on."""
    asked, real = list[Architecture](), TrainingFree.__call__
    monkeypatch.setattr(TrainingFree, "__call__", lambda self, a: asked.append(a) or real(self, a))  # type: ignore[func-returns-value]
    return asked


@pytest.mark.parametrize("sampler", ["random", "guided"])
def test_a_search_begins_with_the_best_untrained_networks_within_the_limits(tmp_path: Path, sampler: str) -> None:
    start = {"proxies": ["params", "macs"], "networks": 30, "keep": 4}
    search = {"trials": 6, "sampler": sampler, "zero_cost_init": start}
    path = published(tmp_path, search=search)
    (searched,) = pipeline.search(path, runs=tmp_path)
    run = open_run(path, runs=tmp_path)
    tier, costs = run.objectives.tier("edge"), cost_metric_scorers(run, "edge", {})
    drawn = sample_initial(run.space, 30, 0, lambda a: costs["latency_ms@board"](a) <= 0.9)
    rows = [{metric: scorer(a) for metric, scorer in costs.items()} for a in drawn]
    wanted = (Objective("params", "max"), Objective("macs", "max"), tier.cost("latency_ms"))
    expected = [drawn[index] for index in best(rows, wanted, 4)]
    first = dict.fromkeys([run.space.smallest(), run.space.largest(), *expected])
    assert [e.architecture for e in searched.evaluations][: len(first)] == list(first)


def test_untrained_networks_are_scored_once_and_a_continued_search_is_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = {"trials": 20, "sampler": "random", "zero_cost_init": {"networks": 6, "keep": 3}}
    asked = scored(monkeypatch)
    (whole,) = pipeline.search(published(tmp_path / "one", search=search), runs=tmp_path / "one")
    assert len(asked) == 6 * 3
    path = published(tmp_path / "two", search=search)
    pipeline.search(path, runs=tmp_path / "two", trials=4)
    asked.clear()
    (continued,) = pipeline.search(path, runs=tmp_path / "two")
    pipeline.report(tmp_path / "two" / "published")
    tried, expected = ([e.architecture for e in one.evaluations] for one in (continued, whole))
    assert (tried, asked) == (expected, [])


def test_a_start_by_an_unknown_proxy_is_refused_before_any_work(tmp_path: Path) -> None:
    path = published(tmp_path, search={"zero_cost_init": {"proxies": ["mecco"]}})
    with pytest.raises(ConfigError, match=r"unknown proxy `mecco`.*Did you mean `meco`"):
        open_run(path, runs=tmp_path)


def test_a_table_of_a_runtime_that_hwnas_does_not_run_is_refused_in_four_parts(whole: Path, tmp_path: Path) -> None:
    table = tmp_path / "other.jsonl"
    table.write_text(SETUP_LINE)
    with pytest.raises(ConfigError, match="`runtime` is 'tensorrt'") as caught:
        pipeline.solve(whole, setup=str(table), limits=["latency_ms=1"])
    assert str(table) in caught.value.where


SETUP_LINE = (
    '{"hwnas_table": 1, "setup": {"device": "x", "runtime": "tensorrt", "runtime_version": "1", "threads": 1, '
    '"precision": "fp32", "batch": 1}}\n'
)
