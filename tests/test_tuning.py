"""Fine-tuning of picks before export: better on validation images or not shipped, resumable, told with its origin."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn
from torch.testing import assert_close

from hwnas import cli, pipeline
from hwnas.supernet.training import standalone as alone
from tests.helpers.experiments import FEW, written


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A searched run whose one pick is exported without fine-tuning."""
    top = tmp_path_factory.mktemp("tuning")
    path = written(top, FEW, search={"trials": 4}, export={"formats": ["onnx"], "picks": ["best"]})
    pipeline.run(path, runs=top / "runs")
    return top / "runs" / "mini"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that are written from now on."""
    seen: list[nn.Module] = []
    from hwnas.export import bundle

    real = bundle.write_model
    monkeypatch.setattr(bundle, "write_model", lambda module, *rest: (seen.append(module), real(module, *rest))[1])
    return seen


def model(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "bundle" / "cloud" / "manifest.json").read_text())["models"][0]
    return found


def test_without_it_a_manifest_tells_nothing_of_it(run: Path) -> None:
    assert "fine_tuned" not in model(run)
    assert not (run / "fine_tuned").exists()


def test_a_pick_is_trained_on_and_the_better_one_is_shipped(run: Path) -> None:
    pipeline.export(run, fine_tune=4)
    told = model(run)["fine_tuned"]
    before, after = told["validation_top1"]["before"], told["validation_top1"]["after"]
    assert told["epochs"] == 4
    assert told["learning_rate"] == pytest.approx(0.02)
    assert {before["origin"], after["origin"]} == {"measured"}
    assert before["images"] == 179
    assert told["shipped"] == ("after" if after["value"] >= before["value"] else "before")


def test_interrupted_in_any_epoch_and_continued_it_ships_the_same_weights(
    run: Path, exported: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.export(run, fine_tune=3)
    real, count = alone.run_epoch, 0

    def dying(*args: Any, **kwargs: Any) -> float:
        nonlocal count
        count += 1
        if count % 2 == 0:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    for folder in (run / "fine_tuned").glob("*-3"):
        for file in folder.iterdir():
            file.unlink()
    monkeypatch.setattr(alone, "run_epoch", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            pipeline.export(run, fine_tune=3)
    pipeline.export(run, fine_tune=3)
    assert count == 5
    assert_close(exported[-1].state_dict(), exported[0].state_dict(), rtol=0, atol=0)


def test_another_export_does_not_train_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.export(run, fine_tune=2)

    def never(*args: Any, **kwargs: Any) -> float:
        raise AssertionError("it is trained already")

    monkeypatch.setattr(alone, "run_epoch", never)
    pipeline.export(run, fine_tune=2)


def test_a_training_that_diverges_ships_the_network_as_it_was_and_tells_why(
    run: Path, exported: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.export(run, fine_tune=0)

    def diverges(*args: Any, **kwargs: Any) -> float:
        raise FloatingPointError("its loss is not finite")

    monkeypatch.setattr(alone, "run_epoch", diverges)
    pipeline.export(run, fine_tune=1)
    told = model(run)["fine_tuned"]
    assert (told["shipped"], "after" in told["validation_top1"]) == ("before", False)
    assert "its loss is not finite" in told["failed"]
    assert_close(exported[-1].state_dict(), exported[0].state_dict(), rtol=0, atol=0)


def test_the_command_takes_the_epochs(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["hwnas", "export", str(run), "--fine-tune", "2", "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    assert json.loads(capsys.readouterr().out)["cloud"]["models"][0]["fine_tuned"]["epochs"] == 2


def test_a_recipe_with_a_teacher_is_fine_tuned_by_it(run: Path, tmp_path: Path) -> None:
    from hwnas.problem.fine_tune import tune
    from hwnas.workspace.training.supernets import untrained

    (tmp_path / "one.py").write_text(
        "from torch import nn\ndef one():\n    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))\n"
    )
    opened = pipeline.open_run(run)
    train = opened.experiment.train.model_copy(update={"teacher": f"{tmp_path / 'one.py'}:one"})
    export = opened.experiment.export.model_copy(update={"fine_tune_epochs": 1})
    taught = replace(opened, experiment=opened.experiment.model_copy(update={"train": train, "export": export}))
    trained, architecture = untrained(taught), opened.space.smallest()
    network = opened.network(architecture)
    module = trained.supernet.extract(network).eval()
    tuned = tune(taught, trained, architecture, network, module, module, lambda epoch, epochs: None)
    assert "failed" not in tuned.manifest_entry
    assert set(tuned.manifest_entry["validation_top1"]) == {"before", "after", "difference"}
