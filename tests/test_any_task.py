"""A run of signals with a temperature each, from training to report: low is good, errors are in kelvins, and nowhere is
it spoken of images in classes."""

from __future__ import annotations

import html
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import save_file

from hwnas import cli, pipeline, results
from hwnas.errors import ConfigError
from hwnas.network import build, lower
from hwnas.problem.accuracy import accuracy_of
from hwnas.problem.cost_models import load_cost_models
from hwnas.problem.population_costs import make_surrogate_spec
from hwnas.search.fronts import read_front
from hwnas.workspace.workspace import Workspace, open_run

SPACE: dict[str, Any] = {
    "name": "waves", "input": {"shape": [2, 16]}, "outputs": 1,
    "stages": [
        {"name": "s1", "op": "conv1d", "width": [4, 8, 16], "kernel": [3, 5], "stride": 2},
        {"name": "s2", "op": "conv1d", "width": [4, 8], "kernel": 3, "depth": [1, 2]},
        {"name": "head", "op": "regressor"},
    ],
}  # fmt: skip
WAVES = """\
import numpy as np

def load():
    rng = np.random.default_rng(0)
    kelvins = rng.uniform(280, 320, (400, 1)).astype(np.float32)
    waves = rng.normal(0, 0.3, (400, 2, 16)) + (kelvins[:, :, None] - 300) / 10
    return {"train": (waves.astype(np.float32), kelvins)}
"""
EXPERIMENT: dict[str, Any] = {
    "name": "waves", "space": "space.yaml", "task": {"name": "regression", "unit": "K"}, "data": "waves.py:load",
    "train": {
        "epochs": 2, "batch_size": 40, "ema_decay": 0.8,
        "teacher": "teacher.safetensors", "teacher_space": "space.yaml",
    },
    "accuracy": {"calibration_batches": 2},
    "setups": {"cpu": {"runtime": "onnxruntime"}},
    "tiers": {"edge": {"setup": "cpu", "limits": {"mae": 25, "quality_confidence": 0.6}}},
    "search": {
        "trials": 14, "sampler": "guided",
        "zero_cost_init": {"proxies": ["params", "synflow"], "networks": 8, "keep": 2},
        "successive_halving": [
            {"score": "synflow", "networks": 6}, {"score": "inherited", "networks": 4},
            {"score": "finetuned", "networks": 2, "epochs": 1},
        ],
    },
    "timing": {"rounds": 3, "warm_up_ms": 0, "min_sample_ms": 0.1, "validation_networks": 2},
    "export": {"formats": ["onnx"], "picks": ["best", "weights:mae=2,latency_ms=1"], "fine_tune_epochs": 1},
}  # fmt: skip
FOREIGN = re.compile(r"top-?1|\bimages?\b|\bclass(es)?\b|\blogits?\b|\bpixels?\b|\baccurac(y|ies)\b", re.IGNORECASE)
"""Words of image classification."""


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any_task")
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    (folder / "waves.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    (folder / "waves.py").write_text(WAVES)
    space, _ = pipeline.open_space(folder / "space.yaml")
    teacher = build(lower(space, space.largest()))
    save_file(teacher.state_dict(), folder / "teacher.safetensors")
    return folder


@pytest.fixture(scope="module")
def run(top: Path) -> Path:
    """A run that was trained, searched, halved, compared with networks trained alone, exported and reported."""
    path, runs = top / "waves.yaml", top / "runs"
    pipeline.bench(path, runs=runs)
    pipeline.train(path, runs=runs)
    pipeline.search(path, runs=runs)
    pipeline.halving(path, runs=runs)
    pipeline.fidelity(path, runs=runs, networks=3, epochs=1)
    pipeline.export(path, runs=runs)
    pipeline.report(path, runs=runs)
    return runs / "waves"


@pytest.fixture(scope="module")
def opened(run: Path) -> Workspace:
    return open_run(run)


def visible(page: Path) -> str:
    """What a person sees of a page, and the tips of its charts."""
    text = page.read_text(encoding="utf-8")
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", text[text.index("<body") :], flags=re.DOTALL)
    body = re.sub(r"data:[^\"']*", " ", body)
    said = re.findall(r'aria-label="([^"]*)"', body)
    return html.unescape(" ".join([re.sub(r"<[^>]*>", " ", body), *said]))


def without_config(text: str) -> str:
    """A page's text without the experiment that it repeats, whose keys are those of all experiments."""
    return re.sub(r"The experiment, resolved.*?fine_tune_epochs: \d+", " ", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", ["report.html", "fidelity.html"])
def test_no_page_speaks_of_images_in_classes(run: Path, page: str) -> None:
    text = without_config(visible(run / page))
    assert [text[m.start() - 40 : m.end() + 40] for m in FOREIGN.finditer(text)] == []
    assert re.search(r"Mean absolute error.*\d K\b", text, re.DOTALL)


def test_the_report_has_the_tasks_unit_wherever_its_quality_is(run: Path) -> None:
    text = without_config(visible(run / "report.html"))
    assert "Mean absolute error ≤ 25 K" in text
    assert "Mean absolute error, validation (K)" in text
    assert "lower is better" in text
    assert re.search(r"on test samples", text)
    assert re.search(r"1 epoch|2 epochs in", text)
    for after in re.findall(r"Mean absolute error[^.%]{0,12}%", text):
        raise AssertionError(after)


def test_the_best_is_the_lowest(opened: Workspace, run: Path) -> None:
    metric = opened.accuracy
    assert metric == "mae@inherited"
    front = [point for point in read_front(run / "fronts" / "edge.json") if point.kept is not False]
    values = [point.expected[metric] for point in front]
    assert "best" in front[values.index(min(values))].picks
    latencies = [point.expected["latency_ms@cpu"] for point in front]
    assert [v for _, v in sorted(zip(latencies, values, strict=True))] == sorted(values, reverse=True)
    assert all(point.errors[metric] > 0 for point in front)


def test_what_halving_promotes_is_low_in_error(run: Path) -> None:
    rungs = json.loads((run / "ladder" / "edge.json").read_text())["rungs"]
    assert [rung["metric"] for rung in rungs] == ["score@synflow", "mae@inherited", "mae@short"]
    second = rungs[1]["evaluations"]
    best = min(second, key=lambda one: one["scores"].get("mae@inherited", 9.0))
    assert best["promoted"]


def test_the_guide_holds_the_limit_on_the_side_of_the_goal(opened: Workspace) -> None:
    guide = make_surrogate_spec(opened, "edge", load_cost_models(opened))
    assert guide is not None
    assert (guide.bound, guide.confidence) == (25, 0.6)


def test_fidelity_takes_low_for_good_and_tells_errors_in_the_unit(run: Path) -> None:
    found = json.loads((run / "fidelity.json").read_text())
    assert found["validation_samples"] == found["alone"]["samples"] // 7
    detail = found["networks_detail"]
    assert all(one["alone_error"] > 0 and one["score_error"] > 0 for one in detail)
    taken = min(detail, key=lambda one: one["score"])
    assert found["regret"] == pytest.approx(taken["alone"] - min(one["alone"] for one in detail))
    assert found["bias"] == pytest.approx(sum(one["score"] - one["alone"] for one in detail) / len(detail))


def test_a_manifest_has_the_tasks_words_and_its_files_agree(run: Path) -> None:
    manifest = json.loads((run / "bundle" / "edge" / "manifest.json").read_text())
    text = json.dumps({key: value for key, value in manifest.items() if key not in ("experiment", "conditions")})
    assert not FOREIGN.findall(text)
    assert manifest["quality"] == "mae"
    assert manifest["test_samples"]["samples"] == 80
    for model in manifest["models"]:
        assert model["fine_tuned"]["validation_mae"]["before"]["samples"] == 40
        (file,) = model["files"]
        assert file["mae_agreement"] == 1
        assert file["test_mae"] == pytest.approx(model["test_mae"]["value"], rel=1e-4)


@pytest.mark.parametrize("command", ["train", "search", "halving", "fidelity", "export", "feasible", "doctor", "show"])
def test_no_command_speaks_of_images_in_classes(
    run: Path, command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"fidelity": ["--networks", "3", "--epochs", "1"]}.get(command, [])
    monkeypatch.setattr(sys, "argv", ["hwnas", command, str(run), *more])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    text = "\n".join(capfd.readouterr())
    assert FOREIGN.findall(text) == []
    if command not in ("export", "doctor"):
        assert re.search(r"\d K\b", text)


def test_a_limit_on_the_tasks_metric_is_solved_for(run: Path) -> None:
    solved = pipeline.solve(run, limits=["mae=20", "params<=500"])
    assert list(map(str, solved.tier.limits)) == ["params <= 500", "mae@inherited <= 20"]
    assert all(point.scores["mae@inherited"] <= 20 for point in solved.front)
    with pytest.raises(ConfigError, match=r"meets the limits mae@inherited <= 0\.001"):
        pipeline.solve(run, limits=["mae=0.001"])


@pytest.mark.parametrize(
    ("limit", "met", "allowed"),
    [
        ("rmes=1", "unknown key `rmes`", "Did you mean `rmse`"),
        ("rmse=1", "`rmse` is limited, but `inherited` gives `mae`", "networks are scored by"),
        ("top1=0.9", "`top1` is limited, but `inherited` gives `mae`", "networks are scored by"),
    ],
)
def test_a_limit_on_what_is_not_scored_is_refused(run: Path, limit: str, met: str, allowed: str) -> None:
    with pytest.raises(ConfigError, match=met) as error:
        pipeline.solve(run, limits=[limit])
    assert allowed in error.value.allowed


def test_results_in_python_have_the_unit(run: Path) -> None:
    found = results.open_run(run)
    chart = found.fronts["edge"].plot()
    assert "Mean absolute error, validation" in chart.title
    assert found.history.plot("quality").title == "Mean absolute error on validation samples"


def test_a_function_may_give_any_metric_of_the_task(top: Path) -> None:
    (top / "judge.py").write_text("def judge(architecture, network):\n    return float(len(network.operators))\n")
    accuracy = {"source": "judge.py:judge", "quantity": "rmse"}
    path = top / "judged.yaml"
    plain = {key: value for key, value in EXPERIMENT.items() if key not in ("train", "export")}
    plain |= {"name": "judged", "accuracy": accuracy, "tiers": {"edge": {"setup": "cpu"}}}
    path.write_text(yaml.safe_dump(plain))
    run = open_run(path, runs=top / "runs")
    assert (run.accuracy, run.objectives.goal) == ("rmse@judge", "min")
    path.write_text(yaml.safe_dump({**plain, "accuracy": {**accuracy, "quantity": "rms"}}))
    with pytest.raises(ConfigError, match="`rms` is no metric of the task"):
        open_run(path, runs=top / "runs")


def test_a_users_own_metrics_are_limited_and_shown_in_their_unit(top: Path) -> None:
    path, tier = top / "own.yaml", {"setup": "cpu", "limits": {"abs_error": {"at_most": 0.5}}}
    plain = {key: value for key, value in EXPERIMENT.items() if key not in ("train", "search", "export")}
    path.write_text(yaml.safe_dump({**plain, "task": "tests.vector_task:VectorRegression", "tiers": {"edge": tier}}))
    run = open_run(path, runs=top / "runs")
    (limit,) = run.objectives.tier("edge").limits
    assert str(limit) == "abs_error@inherited <= 0.5"
    assert run.units.limit(limit) == "Mean absolute error ≤ 0.5 K"


def test_a_table_of_errors_is_taken_in_their_unit(top: Path) -> None:
    space, _ = pipeline.open_space(top / "space.yaml")
    found = {space.random(random.Random(seed)) for seed in range(8)} | {space.smallest(), space.largest()}
    rows = [f"{architecture.key},{3 + 2 * number}" for number, architecture in enumerate(sorted(found, key=str))]
    (top / "errors.csv").write_text("\n".join(["key,error", *rows]) + "\n")
    accuracy = {"source": "table", "file": "errors.csv", "column": "error", "key": "key"}
    path = top / "table.yaml"
    plain = {key: value for key, value in EXPERIMENT.items() if key not in ("train", "search", "export")}
    plain["tiers"] = {"edge": {"setup": "cpu"}}
    for more, refused in (({}, False), ({"scale": "percent"}, True)):
        path.write_text(
            yaml.safe_dump({**plain, "accuracy": {**accuracy, **more}, "tiers": {"edge": {"setup": "cpu"}}})
        )
        run = open_run(path, runs=top / "runs")
        if refused:
            with pytest.raises(ConfigError, match="`mae` is no share"):
                accuracy_of(run, None)
        else:
            assert max(accuracy_of(run, None)(architecture) for architecture in found) == 1 + 2 * len(found)
            assert run.objectives.goal == "min"
