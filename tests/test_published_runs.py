"""Experiments that begin with published weights: nothing is trained, and every stage after it is as ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from hwnas import pipeline
from hwnas.config import Experiment
from hwnas.errors import ConfigError, HwnasError
from hwnas.workspace.references import Edited
from hwnas.workspace.training.supernets import load_run
from hwnas.workspace.workspace import open_run
from tests.helpers.command_line import Call
from tests.helpers.command_line import hwnas as hwnas
from tests.helpers.experiments import EXPERIMENT
from tests.helpers.published_supernets import CLASSES, golden, small_space_text, state_of

NAME = "autoformer_tiny"


class Silent:
    """Hears nothing, and has no bar to show: nothing is trained."""

    def info(self, text: str) -> None:
        raise AssertionError(text)

    bar: Any = None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights, a space with a few of their networks, and an experiment on images of noise."""
    made = tmp_path_factory.mktemp("published_run")
    torch.save({"model": state_of(golden(NAME)["layout"])}, made / "weights.pth")
    space = small_space_text(NAME)
    space["choices"]["embed_dim"] = [192]
    space["stages"][1] |= {"depth": [12, 14], "heads": 4, "mlp_ratio": 3.0}
    rng = np.random.default_rng(0)
    labels = np.arange(80) % CLASSES
    np.savez(made / "images.npz", x_train=rng.integers(0, 256, (80, 3, 32, 32), np.uint8), y_train=labels)
    normal = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    changes = {
        "data": {"name": "arrays", "path": "images.npz", **normal},
        "train": {"weights": "weights.pth", "format": "autoformer"},  # no batch of 128 is here: nothing is trained
        "search": {"trials": 2, "sampler": "random"},
        "export": {"picks": ["knee"], "formats": ["onnx"]},
        "timing": {"rounds": 3, "warm_up_ms": 0, "min_sample_ms": 0.1, "validation_networks": 2},
    }
    (made / "space.yaml").write_text(yaml.safe_dump(space))
    (made / "mini.yaml").write_text(yaml.safe_dump({**EXPERIMENT, **changes}))
    return made


@pytest.fixture(scope="module")
def outcome(folder: Path) -> pipeline.Outcome:
    return pipeline.run(folder / "mini.yaml", runs=folder / "runs")


def test_nothing_is_trained_and_files_say_whose_weights_they_have(outcome: pipeline.Outcome) -> None:
    manifest = json.loads(outcome.manifests[0].read_text())
    assert manifest["supernet"]["published"] == "autoformer"
    assert manifest["supernet"]["epochs"] == 0
    model = manifest["models"][0]
    assert model["weights"] == "inherited from published weights of the format `autoformer`"
    step = next(step for step in model["preprocessing"]["steps"] if step["step"] == "normalise")
    assert step["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert outcome.report.is_file()


def test_the_weights_are_those_of_the_file_and_the_file_is_not_needed_again(
    folder: Path, outcome: pipeline.Outcome
) -> None:
    trained = load_run(open_run(outcome.folder), Silent())
    assert trained.history == ()
    key = "blocks_1/transformer/attention/value/bias"
    joint = state_of(golden(NAME)["layout"])["blocks.0.attn.qkv.bias"]
    assert torch.equal(trained.supernet.state_dict()[key], joint)
    (folder / "weights.pth").rename(folder / "moved.pth")
    try:
        assert pipeline.train(folder / "mini.yaml", runs=folder / "runs") == []
    finally:
        (folder / "moved.pth").rename(folder / "weights.pth")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (["train.weights=other.pth"], "published: "),
        (["train.weights=null", "train.format=null", "train.batch_size=16"], "published: "),
    ],
)
def test_a_run_keeps_to_the_weights_that_it_began_with(
    changes: list[str], named: str, folder: Path, outcome: pipeline.Outcome
) -> None:
    with pytest.raises(HwnasError) as error:
        pipeline.train(Edited(folder / "mini.yaml", changes), runs=folder / "runs")
    assert named in error.value.met


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (["train.weights=absent.pth"], "there is no file `absent.pth`"),
        (["train.format=ofi"], "unknown format of weights `ofi`"),
        (["train.format=ofa"], "no `patchembed/"),
        (["train.format=null"], "the kept weights cannot be used"),
        (["train.weights=space.yaml"], "it holds other things than tensors"),
    ],
)
def test_bad_weights_are_refused_before_anything_is_written(
    changes: list[str], named: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(HwnasError) as error:
        pipeline.train(Edited(folder / "mini.yaml", changes), runs=tmp_path)
    assert named in error.value.met
    assert not list(tmp_path.glob("*/train/*.pt"))


def test_a_format_needs_a_file() -> None:
    with pytest.raises(ValueError, match="Name the file"):
        Experiment.model_validate({**EXPERIMENT, "train": {"format": "ofa"}})


def test_the_command_says_that_nothing_is_trained(folder: Path, outcome: pipeline.Outcome, hwnas: Call) -> None:
    answer = hwnas("train", str(folder / "mini.yaml"), "--runs", str(folder / "runs"))
    assert "nothing is trained: the weights are published ones" in answer.out
    stages = {stage.name: stage.work for stage in pipeline.plan(folder / "mini.yaml", runs=folder / "other")}
    assert stages["training"] == "none: weights are given"


def test_another_error_is_a_config_error(folder: Path, tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="missing keys"):
        pipeline.train(Edited(folder / "mini.yaml", [f"train.weights={tmp_path / 'w.pth'}"]), runs=tmp_path)
