"""Training with the rounding of int8 before export: what it wins back, never the worse file, resumable."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from hwnas import pipeline
from hwnas.commands import export_quantized
from hwnas.commands.export_quantized import TRAINED_FOLDER, int8_setups, quantization_aware
from hwnas.errors import ConfigError
from hwnas.export.fold import folded
from hwnas.export.simulation.unfold import unfolded
from hwnas.problem.fine_tune import FineTuneResult
from hwnas.supernet import Recipe, estimate
from hwnas.supernet.training import standalone as alone
from hwnas.workspace.workspace import Workspace
from tests.helpers.experiments import FEW, MANY, written
from tests.helpers.modules import trained_looking

OUTLIER = 300.0
EPOCHS = 3
INT8: dict[str, Any] = {
    "data": {"name": "digits"},
    "train": {"epochs": 30, "batch_size": 64, "learning_rate": 0.1},
    "setups": {"cpu": {"runtime": "onnxruntime", "precision": "int8"}},
    "export": {"formats": ["onnx"], "quantized_epochs": EPOCHS},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    top = tmp_path_factory.mktemp("quantized")
    return pipeline.open_run(written(top, MANY, **INT8), runs=top / "runs")


@pytest.fixture(scope="module")
def sound(run: Workspace) -> nn.Module:
    """A network that is trained alone."""
    recipe = Recipe(epochs=6, batch_size=64, learning_rate=0.1)
    return alone.train_standalone(run.network(run.space.largest()), run.dataset.without_test(), recipe)


@pytest.fixture(scope="module")
def hurt(sound: nn.Module) -> nn.Module:
    """The same with a channel of each layer so large, and the weights that read it so small, that int8 loses much."""
    module = copy.deepcopy(sound)
    norms = [one for one in module.modules() if isinstance(one, nn.BatchNorm2d)]
    layers = [one for one in module.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for norm, after in zip(norms, layers[1:], strict=True):
            norm.weight[0] *= OUTLIER
            norm.bias[0] *= OUTLIER
            after.weight[:, 0] /= OUTLIER
    return module


@pytest.fixture(scope="module")
def ranges(run: Workspace) -> Tensor:
    inputs: Tensor = run.dataset.train.first(64).every()
    fitted: Tensor = run.network(run.space.largest()).task.fitted(inputs, (1, 8, 8))
    return fitted


@pytest.fixture(scope="module")
def tuned(run: Workspace, hurt: nn.Module, ranges: Tensor) -> FineTuneResult:
    return result(run, hurt, ranges)


def result(run: Workspace, module: nn.Module, ranges: Tensor) -> FineTuneResult:
    done = quantization_aware(run, "cloud", run.space.largest(), module, ranges, lambda epoch, epochs: None)
    assert done is not None
    return done


def test_half_of_what_int8_loses_is_won_back(
    run: Workspace, sound: nn.Module, hurt: nn.Module, tuned: FineTuneResult
) -> None:
    network, validation = run.network(run.space.largest()), run.dataset.validation
    fp32 = estimate(hurt, network, validation).value
    assert fp32 == estimate(sound, network, validation).value
    file = tuned.manifest_entry["files"]["onnx"]
    before, after = (file["validation_top1"][name]["value"] for name in ("before", "after"))
    assert fp32 - before > 0.1
    assert after - before >= (fp32 - before) / 2
    assert (tuned.better, tuned.manifest_entry["shipped"]) == (True, "after")
    assert file["paired"]["difference"] == pytest.approx(after - before)
    assert file["paired"]["p_value"] < 0.05


def test_the_trained_network_has_the_structure_of_the_one_before(hurt: nn.Module, tuned: FineTuneResult) -> None:
    before, after = hurt.state_dict(), tuned.module.state_dict()
    assert {name: value.shape for name, value in before.items()} == {name: value.shape for name, value in after.items()}
    assert not torch.equal(before["stem_1.conv.weight"], after["stem_1.conv.weight"])


def test_a_worse_file_is_not_shipped(
    run: Workspace, hurt: nn.Module, ranges: Tensor, tuned: FineTuneResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = export_quantized._file_statistics
    judged: list[Any] = []

    def reversed_(*args: Any) -> Any:
        judged.append(real(*args))
        return real(*args[:-1], tuned.module if len(judged) == 1 else hurt)

    monkeypatch.setattr(export_quantized, "_file_statistics", reversed_)
    monkeypatch.setattr(alone, "run_epoch", _never)
    worse = result(run, hurt, ranges)
    assert worse.module is hurt
    assert (worse.better, worse.manifest_entry["shipped"]) == (False, "before")


def test_one_file_that_gets_worse_outweighs_another_that_gets_better(
    run: Workspace, hurt: nn.Module, ranges: Tensor, tuned: FineTuneResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = export_quantized._file_statistics
    judged: list[Any] = []

    def both(*args: Any) -> Any:
        judged.append(real(*args)["onnx"])
        return {"onnx": judged[-1], "tflite": judged[0] if len(judged) == 1 else judged[-1]}

    def opposed(*args: Any) -> Any:
        good, bad = real(*args[:-1], tuned.module)["onnx"], real(*args[:-1], hurt)["onnx"]
        judged.append(None)
        return {"onnx": bad, "tflite": good} if len(judged) == 1 else {"onnx": good, "tflite": bad}

    monkeypatch.setattr(alone, "run_epoch", _never)
    monkeypatch.setattr(export_quantized, "_file_statistics", both)
    assert result(run, hurt, ranges).better
    judged.clear()
    monkeypatch.setattr(export_quantized, "_file_statistics", opposed)
    assert not result(run, hurt, ranges).better


def test_interrupted_in_any_epoch_and_continued_it_gives_the_same_weights(
    run: Workspace, hurt: nn.Module, ranges: Tensor, tuned: FineTuneResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = (run.folder / TRAINED_FOLDER).iterdir()
    for file in folder.iterdir():
        file.unlink()
    real: Any = getattr(alone, "run_epoch")  # noqa: B009
    count = 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count % 2 == 0:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(alone, "run_epoch", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            result(run, hurt, ranges)
    again = result(run, hurt, ranges)
    assert count == 5
    assert_close(again.module.state_dict(), tuned.module.state_dict(), rtol=0, atol=0)
    assert again.manifest_entry == tuned.manifest_entry


def test_a_training_that_diverges_ships_the_network_as_it_was_and_tells_why(
    run: Workspace, sound: nn.Module, ranges: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*args: Any, **kwargs: Any) -> Any:
        raise FloatingPointError("its loss is not finite")

    monkeypatch.setattr(alone, "run_epoch", diverges)
    kept = result(run, sound, ranges)
    assert kept.module is sound
    assert "its loss is not finite" in kept.manifest_entry["failed"]
    assert set(kept.manifest_entry["files"]["onnx"]["validation_top1"]) == {"before"}


def test_what_is_unfolded_folds_to_the_trained_weights_and_keeps_its_statistics() -> None:
    torch.manual_seed(0)
    chain: Any = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 3, 3), nn.Identity(), nn.Flatten(), nn.Linear(48, 5),
    )  # fmt: skip
    module, inputs = trained_looking(chain), torch.randn(16, 2, 8, 8)
    chain[4] = nn.BatchNorm2d(3, affine=False).eval()
    twin: Any = folded(module)
    with torch.no_grad():
        for value in twin.parameters():
            value.add_(0.1 * torch.randn_like(value))
    restored: Any = unfolded(module, twin, lambda one: one(inputs))
    with torch.no_grad():
        assert_close(restored(inputs), twin(inputs), rtol=1e-4, atol=1e-4)
        again: Any = folded(restored)
        assert_close(again[0].weight, twin[0].weight, rtol=1e-5, atol=1e-6)
    norm = restored[1]
    seen = restored[0](inputs)
    assert_close(norm.running_mean, seen.mean((0, 2, 3)).detach(), rtol=1e-3, atol=1e-4)
    assert_close(norm.running_var, seen.var((0, 2, 3), correction=0).detach(), rtol=1e-3, atol=1e-4)


def test_an_exported_pick_has_it_in_its_manifest(tmp_path: Path) -> None:
    changes = {**INT8, "data": {"name": "digits", "limit": 256}, "train": {"epochs": 2, "batch_size": 64}}
    export = {"formats": ["onnx"], "picks": ["best"], "quantized_epochs": 1, "agreement": 0.5}
    path = written(tmp_path, FEW, **{**changes, "search": {"trials": 4}, "export": export})
    pipeline.run(path, runs=tmp_path / "runs")
    manifest = json.loads((tmp_path / "runs" / "mini" / "bundle" / "cloud" / "manifest.json").read_text())
    entry, weights = manifest["models"][0]["quantization_aware"], manifest["models"][0]["weights"]
    assert (entry["epochs"], entry["learning_rate"]) == (1, pytest.approx(0.005))
    assert set(entry["files"]["onnx"]) == {"validation_top1", "paired"}
    assert ("trained on with the rounding" in weights) == (entry["shipped"] == "after")


def test_a_tier_without_int8_files_is_not_trained(run: Workspace, sound: nn.Module, ranges: Tensor) -> None:
    setup = run.experiment.setups["cpu"].model_copy(update={"precision": "fp32"})
    run.experiment.setups["cpu"], before = setup, run.experiment.setups["cpu"]
    try:
        assert int8_setups(run, "cloud") == {}
        architecture = run.space.largest()
        assert quantization_aware(run, "cloud", architecture, sound, ranges, lambda epoch, epochs: None) is None
    finally:
        run.experiment.setups["cpu"] = before


def test_epochs_for_int8_without_an_int8_tier_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, MANY, **{**INT8, "setups": {"cpu": {"runtime": "onnxruntime"}}})
    with pytest.raises(ConfigError, match=r"quantized_epochs.*no tier has files in int8"):
        pipeline.open_run(path, runs=tmp_path / "runs")


def _never(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("it is trained already")
