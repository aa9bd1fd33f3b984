"""`hwnas halving`: training-free, inherited, trained on; resumable, failures told, limits held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

from hwnas import cli, pipeline
from hwnas.accuracy import trained as trained_proxy
from hwnas.commands.report import facts_of
from hwnas.commands.search import load_searches
from hwnas.errors import ConfigError, RunError, TrainingError
from hwnas.problem.cost_models import load_cost_models
from hwnas.problem.fronts.loading import load_front
from hwnas.search.fronts import read_front
from hwnas.search.score_store import ScoreStore
from hwnas.supernet import quality
from hwnas.supernet.weights_file import load_module
from hwnas.workspace.progress import NullReporter
from hwnas.workspace.training.supernets import load_run
from tests.helpers.experiments import edited, written
from tests.helpers.narration import printed

RUNGS = [
    {"score": "synflow", "networks": 20},
    {"score": "inherited", "networks": 8},
    {"score": "finetuned", "networks": 3, "epochs": 1},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a table and a supernet, before successive halving."""
    top = tmp_path_factory.mktemp("halving")
    tiers = {"cloud": {"setup": "cpu", "limits": {"params": 3000}}}
    path = written(top, search={"successive_halving": RUNGS}, tiers=tiers)
    pipeline.bench(path, runs=top / "runs")
    pipeline.train(path, runs=top / "runs")
    return top / "runs" / "mini"


@pytest.fixture(scope="module")
def halved(run: Path) -> Path:
    pipeline.halving(run)
    return run


def document(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "ladder" / "cloud.json").read_text())
    return found


def test_each_rung_scores_as_many_networks_as_it_is_given(halved: Path) -> None:
    rungs = document(halved)["rungs"]
    assert [rung["metric"] for rung in rungs] == ["score@synflow", "top1@inherited", "top1@short"]
    assert [rung["networks"] for rung in rungs] == [20, 8, 3]
    assert [rung["promoted"] for rung in rungs] == [8, 3, 3]
    assert "epochs=1" in rungs[2]["producer"]
    assert "from=inherited:" in rungs[2]["producer"]


def test_no_network_of_a_rung_breaks_a_limit_on_what_costs_nothing(halved: Path) -> None:
    for rung in document(halved)["rungs"]:
        assert all(one["scores"]["params"] <= 3000 and not one["broken"] for one in rung["evaluations"])


def test_the_front_is_that_of_the_last_rung_with_origins_and_errors(halved: Path) -> None:
    front = read_front(halved / "ladder" / "cloud-front.json")
    last = {one["key"] for one in document(halved)["rungs"][-1]["evaluations"]}
    assert {point.architecture.key for point in front} <= last
    for point in front:
        assert point.origin["top1@short"] == "measured"
        assert point.origin["latency_ms@cpu"] == "predicted"
        assert point.errors["top1@short"] == pytest.approx(
            (point.scores["top1@short"] * (1 - point.scores["top1@short"]) / 100) ** 0.5
        )


def test_what_is_scored_is_not_scored_again(halved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, lines = document(halved), (halved / "scores.jsonl").read_text()

    def never(*args: Any, **kwargs: Any) -> nn.Module:
        raise AssertionError("it is trained already")

    monkeypatch.setattr(trained_proxy, "train_standalone", never)
    pipeline.halving(halved)
    again = document(halved)
    for rung in (*before["rungs"], *again["rungs"]):
        del rung["elapsed_s"]
    assert again == before
    assert (halved / "scores.jsonl").read_text() == lines


def test_a_training_that_fails_is_recorded_and_the_others_go_on(halved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, number = trained_proxy.train_standalone, 0

    def failing(*args: Any, **kwargs: Any) -> nn.Module:
        nonlocal number
        number += 1
        if number == 2:
            raise TrainingError("it diverged", where="here", allowed="finite", do="lower the rate")
        return real(*args, **kwargs)

    kept = (halved / "experiment.yaml").read_text()
    edited(halved, search={"successive_halving": [*RUNGS[:2], {"score": "finetuned", "networks": 3, "epochs": 2}]})
    monkeypatch.setattr(trained_proxy, "train_standalone", failing)
    try:
        (result,) = pipeline.halving(halved)
    finally:
        (halved / "experiment.yaml").write_text(kept)
    last = result.rungs[-1]
    assert (last.failed, len(last.evaluations), len(last.promoted)) == (1, 3, 2)
    reasons = [score.failed for score in ScoreStore.open(halved / "scores.jsonl").scores if score.failed]
    assert any("it diverged" in reason for reason in reasons)


def test_the_command_prints_one_document_or_tables(
    halved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for more in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["hwnas", "halving", str(halved), *more])
        with pytest.raises(SystemExit):
            cli.main()
    text, _, tail = capsys.readouterr().out.partition("{")
    assert "Successive halving of cloud" in text
    assert "top1@short" in text
    assert json.loads("{" + tail)["cloud"]["rungs"][0]["networks"] == 20


@pytest.mark.parametrize(
    ("rungs", "met"),
    [
        ([], "the experiment names no rungs"),
        ([{"score": "synflaw", "networks": 4}], "Did you mean `synflow`"),
        ([{"score": "inherited", "networks": 4}, {"score": "finetuned", "networks": 5}], "have ever fewer"),
        ([{"score": "inherited"}], "the key `networks` is missing"),
        ([{"score": "inherited", "netwroks": 3}], "unknown key `netwroks`"),
    ],
)
def test_rungs_that_cannot_be_scored_are_refused_before_any_work(tmp_path: Path, rungs: Any, met: str) -> None:
    path = written(tmp_path, search={"successive_halving": rungs})
    with pytest.raises(ConfigError, match=met):
        pipeline.halving(path, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_rung_that_needs_a_supernet_says_so(run: Path, tmp_path: Path) -> None:
    path = written(tmp_path, search={"successive_halving": RUNGS[1:]}, accuracy={"source": "synflow"})
    raw = yaml.safe_load(path.read_text())
    raw["setups"]["cpu"]["table"] = str(run / "latency" / "cpu.jsonl")
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(RunError, match="needs a trained supernet"):
        pipeline.halving(path, runs=tmp_path / "runs")


@pytest.fixture(scope="module")
def exported(halved: Path) -> dict[str, Any]:
    """The manifest of its front; nothing was searched."""
    edited(halved, export={"picks": ["best", "fastest"], "formats": ["onnx"]})
    (path,) = pipeline.export(halved)
    assert path == halved / "ladder" / "bundle" / "cloud" / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_front_tells_the_scores_of_every_rung_and_was_timed(halved: Path) -> None:
    rungs = document(halved)["rungs"]
    scored = {rung["metric"]: {one["key"]: one["scores"] for one in rung["evaluations"]} for rung in rungs}
    for point in read_front(halved / "ladder" / "cloud-front.json"):
        for metric in ("score@synflow", "top1@inherited", "top1@short"):
            assert point.scores[metric] == scored[metric][point.architecture.key][metric]
        assert (point.origin["score@synflow"], point.origin["top1@inherited"]) == ("scored", "measured")
        assert point.measured["latency_ms@cpu"] > 0


def test_what_is_exported_has_the_weights_that_were_scored(halved: Path, exported: dict[str, Any]) -> None:
    assert exported["front"] == "ladder"
    run = pipeline.open_run(halved)
    for model in exported["models"]:
        assert "as they were scored on the last rung" in model["weights"]
        found = load_front(run, "cloud", "halving")
        point = next(point for point in found.points if point.architecture.key == model["key"])
        weights = found.weights(run, point.architecture)
        assert weights is not None
        network = run.network(point.architecture)
        module = load_module(weights, network)
        assert quality(module, network, run.dataset.validation.first(100)) == point.scores["top1@short"]
        assert quality(module, network, run.dataset.test) == model["test_top1"]["value"]


def test_without_kept_weights_the_supernets_are_exported_and_that_is_said(
    halved: Path, exported: dict[str, Any]
) -> None:
    for path in (halved / "training" / "short").rglob("*.safetensors"):
        path.rename(path.with_suffix(".away"))
    try:
        (path,) = pipeline.export(halved, front="halving")
    finally:
        for path_away in (halved / "training" / "short").rglob("*.away"):
            path_away.rename(path_away.with_suffix(".safetensors"))
    models = json.loads(path.read_text())["models"]
    assert [model["key"] for model in models] == [model["key"] for model in exported["models"]]
    assert all(model["weights"].startswith("inherited from a supernet") for model in models)


def test_the_report_tells_its_front_and_files(halved: Path, exported: dict[str, Any]) -> None:
    run = pipeline.open_run(halved)
    prices, trained = load_cost_models(run), load_run(run, NullReporter())
    (tier,) = facts_of(run, trained, prices, load_searches(run, trained)).tiers
    assert (tier.title, tier.accuracy.metric) == ("cloud, halving", "top1@short")
    assert [score.metric for score in tier.passed] == ["score@synflow", "top1@inherited"]
    assert len(tier.points) == 3
    assert {file.pick for file in tier.files}
    assert any(note.startswith("score@synflow: 20 networks, 8 went on") for note in tier.notes)
    page = pipeline.report(halved).read_text()
    assert "Top-1 accuracy, inherited" in page


def test_picks_of_its_front_are_shown(
    halved: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    front = read_front(halved / "ladder" / "cloud-front.json")
    best = next(point for point in front if "best" in point.picks)
    out = printed("show", str(halved), "--pick", "best", "--json", monkeypatch=monkeypatch, capfd=capfd)
    assert [point["key"] for point in json.loads(out)["cloud"]] == [best.architecture.key]
    assert "Front of cloud, halving" in printed("show", str(halved), monkeypatch=monkeypatch, capfd=capfd)


@pytest.mark.slow  # what it counts is left by the test of a training that fails, which is slow
def test_other_limits_are_solved_for_with_its_scores(halved: Path) -> None:
    solved = pipeline.solve(halved, front="halving", limits=["params=3000"])
    assert {point.architecture.key for point in solved.front} == {
        point.architecture.key for point in read_front(halved / "ladder" / "cloud-front.json")
    }
    assert solved.n_skipped == 2, "they were trained for two epochs"


def test_a_front_that_was_found_under_other_limits_is_solved_again(halved: Path) -> None:
    scored = document(halved)["rungs"][-1]["evaluations"]
    bound = min(one["scores"]["params"] for one in scored)
    edited(halved, tiers={"cloud": {"setup": "cpu", "limits": {"params": bound}}})
    try:
        (tier,) = pipeline.fronts(halved, front="halving")
        assert {point.params for point in tier.front} == {bound}
        assert f"limits: params <= 3000 then, params <= {bound:g} now" in tier.notes[0]
        assert tier.front[0].scores["top1@inherited"] is not None, "the rungs before stand with it"
    finally:
        edited(halved, tiers={"cloud": {"setup": "cpu", "limits": {"params": 3000}}})


def test_a_front_of_other_scores_is_refused(halved: Path) -> None:
    kept = (halved / "experiment.yaml").read_text()
    edited(halved, search={"successive_halving": [*RUNGS[:2], {"score": "finetuned", "networks": 3, "epochs": 2}]})
    try:
        with pytest.raises(RunError, match=r"accuracy.epochs: 1 then, 2 now"):
            pipeline.fronts(halved, front="halving")
    finally:
        (halved / "experiment.yaml").write_text(kept)


def test_a_front_that_is_not_there_is_told_with_the_command_that_makes_it(run: Path, halved: Path) -> None:
    with pytest.raises(RunError, match="tier `cloud` has no front yet"):
        pipeline.fronts(run, front="search")


def test_damaged_rungs_are_told(halved: Path) -> None:
    path = halved / "ladder" / "cloud.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    try:
        with pytest.raises(RunError, match="the rungs cannot be read"):
            pipeline.fronts(halved)
    finally:
        path.write_text(whole)
