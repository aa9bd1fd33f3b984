"""Weights that are trained already: they stand for a training by the same recipe. `hwnas demo` ships with such."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hwnas import pipeline
from hwnas.config import read_experiment
from hwnas.errors import ConfigError, RunError
from hwnas.io.resources import find_file
from hwnas.supernet.weights_file import DIGEST_KEY, metadata, read_weights
from hwnas.workspace.references import Edited
from hwnas.workspace.training.supernets import load_run
from hwnas.workspace.workspace import open_run
from tests.helpers.command_line import Call
from tests.helpers.command_line import hwnas as hwnas
from tests.helpers.experiments import FEW, written

QUICK = {"epochs": 1, "batch_size": 64, "learning_rate": 0.1}


@pytest.fixture(scope="module", params=[0.0, 0.9])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A file of weights, without and with a moving average, and the recipe that made them."""
    folder, recipe = tmp_path_factory.mktemp("saved"), {**QUICK, "ema_decay": request.param}
    path = written(folder, FEW, train=recipe)
    pipeline.train(path, runs=folder / "runs", save=folder / "w.safetensors")
    return folder / "w.safetensors", recipe


def test_weights_stand_for_the_training_that_made_them(saved: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    weights, recipe = saved
    path = written(tmp_path, FEW, train={**recipe, "weights": str(weights)})
    for _ in range(2):  # as any training that is complete, it is gone on with
        history = pipeline.train(path, runs=tmp_path)
        assert [(epoch.epoch, epoch.loss) for epoch in history] == [
            (one["epoch"], one["loss"]) for one in json.loads(metadata(weights.read_bytes())["history"])
        ]
    run = open_run(path, runs=tmp_path)
    state, shipped = load_run(run, Silent()).supernet.state_dict(), read_weights(weights)
    assert all(torch.equal(value, shipped[name]) for name, value in state.items())
    without = Edited(path, ["train.weights=null"])
    assert len(pipeline.train(without, runs=tmp_path)) == 1, "the folder has it now: the file is not needed again"


class Silent:
    def info(self, text: str) -> None:
        raise AssertionError(text)

    bar: Any = None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("train.learning_rate=0.2", "train.learning_rate: 0.1 then, 0.2 now"),
        ("train.epochs=2", "train.epochs: 1 then, 2 now"),
        ("seed=3", "seed: 0 then, 3 now"),
        ("space=digits", "space: 'few' then, 'digits' now"),
        ("data={name: digits, limit: 128}", "dataset: "),
    ],
)
def test_weights_of_another_training_are_refused_by_what_differs(
    change: str, named: str, saved: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    weights, recipe = saved
    path = written(tmp_path, FEW, train={**recipe, "weights": str(weights)})
    with pytest.raises(ConfigError) as error:
        pipeline.train(Edited(path, [change]), runs=tmp_path)
    assert named in error.value.met
    assert error.value.where == str(weights)
    assert not list((tmp_path / "mini").glob("train/*.pt"))


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def bare(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


@pytest.mark.parametrize(
    ("spoil", "kind", "named"),
    [
        (damaged, RunError, "SHA-256"),
        (bare, ConfigError, "`identity` is missing"),
        (os.remove, ConfigError, "there is no file"),
    ],
)
def test_files_that_are_none_are_refused(
    spoil: Callable[[Path], None],
    kind: type[Exception],
    named: str,
    saved: tuple[Path, dict[str, Any]],
    tmp_path: Path,
) -> None:
    weights, recipe = saved
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    spoil(copy)
    with pytest.raises(kind, match=named):
        pipeline.train(written(tmp_path, FEW, train={**recipe, "weights": "copy.safetensors"}), runs=tmp_path)


# --- hwnas demo ---


def test_the_shipped_weights_are_small_and_name_their_recipe() -> None:
    experiment = find_file("demo", "experiments")
    content = experiment.with_name("demo.safetensors").read_bytes()
    head = metadata(content)
    recipe = read_experiment(experiment).train.model_dump(mode="json")
    assert len(content) < 400_000
    assert len(head[DIGEST_KEY]) == 64
    identity = json.loads(head["identity"])
    assert (identity["space"], identity["seed"]) == ("digits_demo", 0)
    assert {key: identity["recipe"][key] for key in ("epochs", "batch_size", "augment")} == {
        key: recipe[key] for key in ("epochs", "batch_size", "augment")
    }


FAST = ("search.trials=4", "timing.rounds=3", "timing.processes=0", "timing.validation_networks=2")


@pytest.mark.slow
def test_the_demo_leaves_fronts_files_that_were_run_and_a_report(hwnas: Call, tmp_path: Path) -> None:
    settings = [word for setting in FAST for word in ("--set", setting)]
    done = hwnas("demo", "--no-open", *settings)
    assert done.code == 0, done.err
    folder = tmp_path / "runs" / "demo"
    assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")
    for tier in ("edge", "cloud"):
        manifest = json.loads((folder / "bundle" / tier / "manifest.json").read_text())
        assert manifest["supernet"]["epochs"] == 60
        for model in manifest["models"]:
            assert model["test_top1"]["value"] > 0.9
            assert all(file["top1_agreement"] > 0.95 for file in model["files"])
    plan = (folder / "study-edge.log").read_text()
    assert "guided" in plan
    assert hwnas("demo", "--no-open", *settings).code == 0, "it is gone on with"


@pytest.mark.parametrize(("display", "opened"), [("", 0), (":0", 1)])
def test_the_page_is_opened_where_there_is_a_display(
    display: str, opened: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hwnas.cli import experiments

    seen: list[str] = []
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(experiments.sys, "platform", "linux")
    monkeypatch.setattr(experiments.webbrowser, "open", seen.append)
    experiments._open_page(tmp_path / "report.html")
    assert seen == [(tmp_path / "report.html").as_uri()] * opened
