"""A task of a user's own, with two inputs and two outputs, from an experiment to files: docs/how-to/tasks.md."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from hwnas import pipeline
from hwnas.errors import ConfigError, HwnasError
from hwnas.tasks import task_of
from hwnas.workspace.references import Edited
from hwnas.workspace.workspace import open_run
from tests.helpers.pages import fences, file_name
from tests.helpers.repository import REPOSITORY

PAGE = REPOSITORY / "docs" / "how-to" / "tasks.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files."""
    place = tmp_path_factory.mktemp("tasks")
    for _, block in fences(PAGE):
        if name := file_name(block):
            (place / name).write_text(block, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def ran(folder: Path) -> Path:
    """The folder of the page's run."""
    with contextlib.chdir(folder):
        pipeline.run("wrist.yaml")
    return folder / "runs" / "wrist"


def test_the_page_runs_to_files_that_agree(ran: Path) -> None:
    (manifest,) = ran.rglob("manifest.json")
    content = json.loads(manifest.read_text())
    (model,) = content["models"]
    assert model["test_activity_top1"]["value"] > 0.45, "a third is chance; which network is picked hangs on timings"
    assert model["test_metrics"]["rate_mae"]["unit"] == "bpm"
    assert model["test_metrics"]["rate_mae"]["value"] < 40
    files = {file["format"]: file for file in model["files"]}
    assert set(files) == {"onnx", "tflite", "pt2"}
    for file in files.values():
        assert file["activity_top1_agreement"] == 1
        assert file["max_difference"] < 1e-4
        assert (len(file["inputs"]), len(file["outputs"])) == (2, 2)
    assert [tensor["name"] for tensor in files["onnx"]["inputs"]] == ["motion", "person"]
    assert [tensor["name"] for tensor in files["onnx"]["outputs"]] == ["activity", "rate"]
    assert list(model["preprocessing"]["inputs"]) == ["motion", "person"]


def test_a_runs_folder_holds_the_task(ran: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    task = folder / "my_task.py"
    away = task.rename(folder / "away.txt")
    try:
        opened = open_run(ran)
        assert (type(opened.space.task).__name__, vars(opened.space.task)["rate_weight"]) == ("MyTask", 2.0)
        assert open_run(ran).experiment.task == {"name": "task/my_task.py:MyTask", "rate_weight": 2.0}
    finally:
        away.rename(task)


def test_a_training_is_not_continued_with_another_task(
    ran: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    task = folder / "my_task.py"
    before = task.read_text()
    task.write_text(before + "# changed\n")
    try:
        with pytest.raises(HwnasError, match=r"task: .* then, .* now"):
            pipeline.train("wrist.yaml")
    finally:
        task.write_text(before)


@pytest.mark.parametrize(
    ("was", "now", "problem"),
    [
        (".square().mean() for", ".square() for", r"`MyTask.distill` returns|`MyTask.distill` raised"),
        (
            "return cross_entropy(activity, labels) +",
            "return outputs[2] +",
            r"my_task.py:\d+: `MyTask.loss` raised Ind",
        ),
        (
            "return Sums(len(hits),",
            "return Sums(len(hits) + 1,",
            r"my_task.py:\d+: `MyTask.statistics` returns the sums",
        ),
        ('("rate_mae", sums.samples["off"])', "", r"my_task.py:\d+: `MyTask.values` returns no value .* `rate_mae`"),
        ('TensorSpec("rate", (1,))', 'TensorSpec("rate", (2,))', r"gives output_1 3 .*takes activity 3 \+ rate 2"),
        (
            "{runtime: onnxruntime, threads: 1}",
            "{runtime: tflite, precision: int8}",
            r"setups.laptop: int8 files of netw",
        ),
        ("rate_weight: float = 1.0", 'rate_weight: str = "a"', "`rate_weight` is 2.0.*is of type text"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    was: str, now: str, problem: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_text(file.read_text().replace(was, now))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HwnasError) as error:
        pipeline.train("wrist.yaml")
    assert re.search(problem, str(error.value)), str(error.value)


def test_an_experiment_overrides_by_a_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    edited = Edited("wrist.yaml", ["task={name: 'my_task.py:MyTask', quality: rate_mae}"])
    assert open_run(edited).space.task.quality.name == "rate_mae"
    with pytest.raises(ConfigError, match="has no metric `rate_mea`") as error:
        task_of({"name": "my_task.py:MyTask", "quality": "rate_mea"}, base=folder, where="x: task")
    assert "Did you mean `rate_mae`" in error.value.allowed


def test_files_take_the_inputs_by_name(ran: Path) -> None:
    import onnxruntime

    (path,) = ran.rglob("best.onnx")
    session = onnxruntime.InferenceSession(path)
    shapes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    outputs = session.run(["rate"], {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    assert outputs[0].shape == (1, 1)
