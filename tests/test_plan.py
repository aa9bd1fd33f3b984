"""`hwnas run --dry-run`: the stages and files of a run, before it and after it. Nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas import pipeline
from tests.helpers.command_line import Call
from tests.helpers.command_line import hwnas as hwnas
from tests.helpers.experiments import FEW, published, written


def test_a_plan_names_the_files_that_the_run_leaves(hwnas: Call, tmp_path: Path) -> None:
    export = {"picks": ["best"], "formats": ["onnx"]}
    written(tmp_path, FEW, export=export, search={"trials": 4}, tiers={"edge": {"setup": "cpu"}})
    before = sorted(tmp_path.rglob("*"))
    done = hwnas("run", "mini.yaml", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert sorted(tmp_path.rglob("*")) == before
    stages = json.loads(done.out)
    assert [one["name"] for one in stages] == [
        "table cpu", "training", "search edge", "timing cpu", "export edge", "report",
    ]  # fmt: skip
    assert all(one["seconds"] > 0 for one in stages)
    assert stages[2]["work"] == "4 trials, sampler guided"
    assert hwnas("run", "mini.yaml", "-q").code == 0
    assert [file for one in stages for file in one["files"] if not Path(file).is_file()] == []
    after = {stage.name: stage for stage in pipeline.plan("mini.yaml")}
    assert [after[name].seconds for name in ("table cpu", "training", "search edge")] == [0.0, 0.0, 0.0]
    shown = hwnas("run", "mini.yaml", "--dry-run").out
    assert all(name in shown for name in after)


def test_what_cannot_be_told_is_not_told(tmp_path: Path) -> None:
    path = written(
        tmp_path, FEW, accuracy={"source": "standalone"}, tiers={"edge": {"setup": "cpu", "measure": "live"}}
    )
    stages = {stage.name: stage for stage in pipeline.plan(path, runs=tmp_path / "runs")}
    assert stages["search edge"].seconds is None
    assert "sampler nsga2" in stages["search edge"].work
    assert "training" not in stages


def test_a_search_of_published_numbers_has_nothing_to_time_or_train(tmp_path: Path) -> None:
    stages = pipeline.plan(published(tmp_path), runs=tmp_path / "runs", trials=7)
    assert [stage.name for stage in stages] == ["search edge", "report"]
    assert stages[0].work == "7 trials, sampler random"


@pytest.mark.parametrize("change", [{"data": "nosuch"}, {"export": {"formats": ["tflite"], "picks": ["bst"]}}])
def test_what_a_run_refuses_a_plan_refuses(change: dict[str, object], hwnas: Call, tmp_path: Path) -> None:
    written(tmp_path, FEW, **change)
    assert hwnas("run", "mini.yaml", "--dry-run").err == hwnas("run", "mini.yaml").err != ""
