"""Trained networks on other data: heads, statistics, fine-tuning, weights for another space, drift."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.testing import assert_close

from hwnas import pipeline
from hwnas.adapt.board.adapt import AdaptableModel, load_head, main, read_samples, save_head
from hwnas.adapt.board.drift import drift, kolmogorov, reference, sample_numbers
from hwnas.adapt.board.logistic import Head, fit, fitted, matched_rows, standardised
from hwnas.adapt.classes import ClassMatch, with_classes
from hwnas.adapt.fine_tuning import KnownClasses, joined, tuned_scales
from hwnas.adapt.head import PenultimateFeatures, WithFeatures, fitted_by_torch, head_of, last_linear
from hwnas.adapt.transfer import head_keys, transferred
from hwnas.commands.adapt_sources import picked_network
from hwnas.data import load_data
from hwnas.errors import ConfigError, HwnasError, RunError
from hwnas.export.manifest import damage, read_manifest
from hwnas.export.standalone.network import PredictError
from hwnas.io.checkpoint_files import checkpoints
from hwnas.network import lower
from hwnas.ops.classifier import Classifier
from hwnas.space import parse_space
from hwnas.supernet import Recipe, Supernet
from hwnas.supernet.training.recipe import make_optimizer
from hwnas.tasks import DEFAULT_TASK
from hwnas.workspace.progress import default_reporter
from hwnas.workspace.training.supernets import load_run, new_supernet
from hwnas.workspace.workspace import open_run
from tests.helpers.exported import EXPERIMENT, SPACE
from tests.helpers.hand_made_bundles import write_bundle
from tests.helpers.opened_nets import trained_on_digits, written
from tests.helpers.training import RAW

NAMES = tuple("0123456789")


def blobs(count: int = 300, classes: int = 3, width: int = 5) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    centres = rng.normal(size=(classes, width))
    return centres[labels] * 1.5 + rng.normal(size=(count, width)) * [1, 10, 0.1, 1, 1], labels


def zeros(classes: int = 3, width: int = 5) -> Head:
    return Head(np.zeros((classes, width)), np.zeros(classes), tuple(NAMES[:classes]))


class TestLogisticRegression:
    def test_it_is_that_of_scikit_learn(self) -> None:
        from sklearn.linear_model import LogisticRegression

        x, labels = blobs()
        scaled, _, scale = standardised(x)
        wanted = LogisticRegression(C=1 / (0.01 * len(x)), tol=1e-8, max_iter=1000).fit(scaled, labels)
        own = fitted(x, labels, zeros(), 0.01)
        assert_close(own.weight * scale, wanted.coef_, atol=1e-3, rtol=1e-3)

    def test_torch_and_numpy_find_the_same_head(self) -> None:
        x, labels = blobs()
        start = replace(zeros(), weight=np.full((3, 5), 0.2))
        one, other = fitted(x, labels, start, 0.1), fitted_by_torch(PenultimateFeatures(x, labels), start, 0.1)
        assert_close(one.weight, other.weight, atol=1e-3, rtol=1e-3)
        assert_close(one.bias - one.bias[0], other.bias - other.bias[0], atol=1e-3, rtol=1e-3)

    def test_rows_stay_where_samples_say_nothing(self) -> None:
        x, labels = blobs()
        start = replace(zeros(), weight=np.random.default_rng(1).normal(size=(3, 5)))
        own = fitted(x, labels, start, 1e6)
        assert_close(own.weight, start.weight, atol=1e-3, rtol=1e-3)

    def test_the_accuracy_is_of_samples_that_the_head_did_not_see(self) -> None:
        x, labels = blobs()
        shuffled = np.random.default_rng(2).permutation(labels)
        result = fit(x, shuffled, zeros())
        assert result.samples == 60
        assert result.accuracy is not None
        assert 0.1 < result.accuracy < 0.6

    def test_few_samples_of_a_class_are_all_learned_from(self) -> None:
        x, labels = blobs(9)
        assert fit(x, labels, zeros()).accuracy is None


class TestDrift:
    def test_clean_samples_raise_few_alarms_and_shifted_ones_do(self) -> None:
        rng = np.random.default_rng(0)

        def numbers(count: int, shift: float = 0.0) -> dict[str, Any]:
            x = rng.normal(size=(count, 1, 4, 4)) + shift
            return sample_numbers(x, rng.normal(size=(count, 5)), rng.normal(size=(count, 6)))

        stored = json.loads(json.dumps(reference(numbers(400))))
        assert sum(drift(numbers(200), stored).drifted for _ in range(100)) <= 5
        moved = [drift(numbers(200, 0.3), stored) for _ in range(20)]
        assert all(one.drifted for one in moved)
        assert {one.number for one in moved} == {"input_mean"}

    def test_a_sample_against_itself_is_at_distance_zero(self) -> None:
        numbers = sample_numbers(np.random.default_rng(0).normal(size=(50, 1, 8)), np.zeros((50, 1)), logits=False)
        same = drift(numbers, reference(numbers))
        assert (same.score, same.p_value) == (0, 1)

    def test_constant_numbers_are_no_drift(self) -> None:
        numbers = sample_numbers(np.ones((30, 1, 4)), np.ones((30, 3)))
        assert not drift(numbers, reference(numbers)).drifted

    def test_the_distribution_is_kolmogorovs(self) -> None:
        from scipy.stats import kstwobign

        for value in (0.6, 1.0, 1.6):
            assert abs(kolmogorov(value / 1000, 1e6) - kstwobign.sf(value)) < 1e-3


class TestClasses:
    def test_names_decide(self) -> None:
        match = ClassMatch.of(("cat", "dog", "fox"), ("owl", "fox", "cat"))
        assert (match.shared, match.columns, match.old_columns) == (("fox", "cat"), (1, 2), (2, 0))
        assert ClassMatch.of(("cat",), ("owl", "cat"), keep=True).new == ("cat", "owl")
        head = Head(np.arange(6.0).reshape(3, 2), np.arange(3.0), ("cat", "dog", "fox"))
        assert matched_rows(head, match.new).weight.tolist() == [[0, 0], [4, 5], [0, 1]]

    def test_labels_follow_their_classes_and_unknown_samples_are_left_out(self) -> None:
        data = load_data("digits", seed=0)
        turned = with_classes(data, ("7", "3", "new"))
        assert set(turned.train.targets.tolist()) == {0, 1}
        assert len(turned.train) == int(((data.train.targets == 7) | (data.train.targets == 3)).sum())
        image = turned.train.batch(torch.tensor([0]))
        place = int((data.train.indices == turned.train.indices[0]).nonzero())
        assert_close(image, data.train.batch(torch.tensor([place])))
        assert NAMES[data.train.targets[place]] == turned.class_names[turned.train.targets[0]]

    def test_a_network_never_names_a_class_that_it_does_not_know(self) -> None:
        match = ClassMatch.of(("a", "b"), ("b", "c"))
        logits = KnownClasses(nn.Identity(), match)(torch.tensor([[1.0, -5.0]]))
        assert logits.argmax(1).tolist() == [0]
        assert logits[0, 0] == -5

    def test_a_teacher_of_some_classes_says_nothing_of_the_others(self) -> None:
        task = replace(DEFAULT_TASK, taught=(0, 2))  # type: ignore[call-arg]
        outputs, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
        task.distill(outputs, teacher, 1.0).backward()  # type: ignore[no-untyped-call]
        assert outputs.grad is not None
        assert bool((outputs.grad[:, 1] == 0).all())
        assert bool((outputs.grad[:, 0] != 0).all())

    def test_rehearsed_samples_are_among_the_new_ones(self) -> None:
        data = load_data({"name": "digits", "limit": 60}, seed=0)
        space = parse_space(RAW, where="tiny")
        both = joined(data.train, data.validation.first(20), lower(space, space.smallest()))
        assert len(both) == 80
        whole = torch.cat([data.train.every(), data.validation.first(20).every()])  # type: ignore[list-item]
        assert_close(both.every(), whole[both.indices])


class TestModules:
    @pytest.mark.parametrize("hidden", [0, 12])
    def test_features_are_what_the_last_layer_takes(self, hidden: int) -> None:
        module = Classifier(4, 6, features=8, hidden=hidden).module().eval()
        name = last_linear(module, (4, 5, 5), where="test")
        x = torch.randn(3, 4, 5, 5)
        logits, features = WithFeatures(module, name)(x)
        assert_close(logits, module(x))
        head = head_of(module, name, NAMES[:6])
        assert_close(torch.from_numpy(head.logits(features.detach().double().numpy())).float(), logits)

    def test_a_network_without_a_linear_end_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="does not end in a linear layer"):
            last_linear(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()), (1, 4, 4), where="test")

    def test_rates_fall_towards_the_input(self) -> None:
        module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
        optimizer = make_optimizer(module, Recipe(layer_decay=0.5))
        assert [group["lr_scale"] for group in optimizer.param_groups] == [0.25, 0.25, 0.5, 0.5, 1, 1]
        assert sum(len(group["params"]) for group in optimizer.param_groups) == 6
        assert len(make_optimizer(module, Recipe()).param_groups) == 2

    def test_weights_go_to_another_space_by_name_and_rows_by_class(self) -> None:
        space = parse_space(RAW, where="tiny")
        other = parse_space({**RAW, "classes": 3, "input": {"channels": 1, "resolution": 16}}, where="tiny")
        old, new = Supernet(space, seed=0), Supernet(other, seed=1)
        moved = transferred(old, space, new, other, ClassMatch.of(NAMES, ("9", "x", "2")))
        assert not moved.begun
        new.load_state_dict(moved.state)
        weight = head_keys(new, other)[0]
        before, after = old.state_dict(), new.state_dict()
        assert_close(after[weight][[0, 2]], before[weight][[9, 2]])
        assert_close(after[weight][1], Supernet(other, seed=1).state_dict()[weight][1])
        assert all(torch.equal(after[name], before[name]) for name in after if name not in head_keys(new, other))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on half of the digits' classes, with a bundle that has features."""
    folder = tmp_path_factory.mktemp("adapt")
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)[:, None]
    first = digits.target < 5
    np.savez(folder / "old.npz", x_train=images[first], y_train=digits.target[first])
    named = np.array(["abcdefghij"[label] for label in digits.target])
    np.savez(folder / "new.npz", x_train=255 - images[:600], y_train=digits.target[:600])
    np.savez(folder / "labelled.npz", inputs=images[:400], targets=digits.target[:400], class_names=np.array(NAMES))
    np.savez(folder / "named.npz", inputs=images[:400], targets=named[:400])
    np.savez(folder / "unlabelled.npz", inputs=255 - images[:200])
    np.savez(folder / "one.npz", inputs=images[:1])
    np.savez(folder / "single.npz", inputs=images[digits.target == 3], targets=digits.target[digits.target == 3])
    np.savez(folder / "coloured.npz", inputs=images[:100].repeat(3, 1), targets=digits.target[:100] % 5)
    for name in ("old", "new"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"data": {"name": "arrays", "path": f"{name}.npz"}}))
    (folder / "space.yaml").write_text(SPACE.replace("classes: 10", "classes: 5"))
    export = {"formats": ["onnx"], "picks": ["best"], "features": True}
    content = {**EXPERIMENT, "data": {"name": "arrays", "path": "old.npz"}, "export": export}
    (folder / "few.yaml").write_text(yaml.safe_dump(content))
    for verb in (pipeline.train, pipeline.bench, pipeline.search, pipeline.export):
        verb(folder / "few.yaml", runs=folder / "runs")  # type: ignore[operator]
    return folder / "runs" / "few"


def adapt(run: Path, data: str, **options: Any) -> Any:
    return pipeline.adapt(str(run), str(run.parent.parent / data), **options)


def test_a_head_of_a_run_knows_the_new_classes(run: Path, tmp_path: Path) -> None:
    result = adapt(run, "labelled.npz", how="head", out=tmp_path / "head")
    assert result.report["classes"] == {"kept": list("01234"), "new": list("56789"), "left_out": []}
    test = result.report["test"]
    assert test["before"]["value"] < 0.6 < test["after"]["value"]
    manifest = read_manifest(tmp_path / "head" / "manifest.json")
    assert not damage(manifest)
    assert manifest.models[0].test_quality == test["after"]["value"]
    assert manifest.content["models"][0]["classes"] == list(NAMES)


def test_statistics_need_no_labels(run: Path, tmp_path: Path) -> None:
    result = adapt(run, "unlabelled.npz", how="norm", out=tmp_path / "norm")
    assert result.report["samples"] == 200
    assert (tmp_path / "norm" / "manifest.json").is_file()


def test_statistics_of_changed_images_bring_accuracy_back(run: Path, tmp_path: Path) -> None:
    np.savez(run.parent.parent / "dim.npz", **_dim(run.parent.parent / "old.npz"))
    result = adapt(run, "dim.npz", how="norm", out=tmp_path / "norm")
    assert result.report["test"]["after"]["value"] > result.report["test"]["before"]["value"]


def test_scales_and_shifts_are_trained_where_epochs_are_named_and_nothing_else(run: Path, tmp_path: Path) -> None:
    np.savez(run.parent.parent / "dim.npz", **_dim(run.parent.parent / "old.npz"))
    report = adapt(run, "dim.npz", how="norm", epochs=2, out=tmp_path / "norm").report
    scored = report["validation"]
    written = "scales" if scored["shipped"] == "scales and shifts" else "statistics"
    assert scored[written]["value"] == max(scored[kind]["value"] for kind in ("scales", "statistics"))
    trained = picked_network(str(run), run.parent, None, "best", default_reporter(None))
    assert trained.old is not None
    tuned = tuned_scales(
        trained.module, trained.network, trained.old, Recipe(), 1, seed=0, on_epoch=lambda epoch, loss: None
    )
    before, after = dict(trained.module.named_parameters()), dict(tuned.named_parameters())
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {name for name in after if ".norm." in name}
    assert all(value.requires_grad for value in after.values())


def _dim(path: Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return {
            "inputs": archive["x_train"] // 3,
            "targets": archive["y_train"],
            "class_names": np.array(NAMES[:5]),
        }


def test_fine_tuning_tells_what_was_forgotten_and_rehearsal_keeps_all_classes(run: Path, tmp_path: Path) -> None:
    result = adapt(run, "new.yaml", how="full", epochs=2, rehearse=100, out=tmp_path / "full")
    report = result.report
    assert report["forgetting"]["samples"] > 50
    assert report["teacher"]["classes"] == 5
    assert report["rehearsed"] == 100
    assert report["learning_rate"]["layer_decay"] < 1
    assert "statistics of each batch" in report["normalisation"]
    shipped = report["validation"]["shipped"]
    assert report["validation"][shipped]["value"] >= report["validation"]["head"]["value"]


def test_a_run_in_a_new_space_times_no_row_again(run: Path) -> None:
    before = (run / "latency" / "cpu.jsonl").read_text()
    result = adapt(run, "old.yaml", how="space", name="again")
    assert result.report["rows"]["cpu"]["missing"] == 0
    assert result.report["epochs"] == 2
    after = (Path(result.folder) / "latency" / "cpu.jsonl").read_text()
    assert after.startswith(before)
    old, again = open_run(run), open_run(result.folder)
    begun, network = new_supernet(again), old.network(old.space.largest())  # before its training
    x = torch.randn(2, 1, 8, 8)
    before_training = load_run(old, default_reporter(None)).supernet.eval()
    assert_close(begun.eval()(x, network), before_training(x, network))
    with pytest.raises(ConfigError, match="another run of the name"):
        adapt(run, "new.yaml", how="space", name="again")


def test_a_run_with_other_classes_times_its_heads_alone(run: Path) -> None:
    result = adapt(run, "new.yaml", how="space", epochs=1)
    rows = result.report["rows"]["cpu"]
    assert rows["missing"] == 2  # of a head behind either width
    assert result.folder.endswith("few_new")


def test_a_network_of_the_users_is_adapted(run: Path, tmp_path: Path) -> None:
    file = written(tmp_path)
    weights = trained_on_digits(file, epochs=1)
    data = str(run.parent.parent / "labelled.npz")
    result = pipeline.adapt(f"{file}:model", data, how="head", weights=weights, out=tmp_path / "out")
    assert result.report["classes"]["kept"] == []
    assert result.report["test"]["after"]["value"] > 0.6
    assert sorted(result.report["files"]) == ["adapted.json", "adapted.onnx", "adapted.safetensors"]
    with pytest.raises(ConfigError, match=r"`fc.weight` is 10x32 in the file"):
        pipeline.adapt(f"{file}:others", data, how="head", weights=weights)


def bundle(run: Path) -> Path:
    return run / "bundle" / "edge"


def board(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the bundle's program where hwnas cannot be imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(folder / "adapt.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


def test_a_head_is_the_file_that_was_named(tmp_path: Path) -> None:
    save_head(zeros(), tmp_path / "mine.bin")
    assert load_head(tmp_path / "mine.bin").classes == zeros().classes


def test_a_head_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "head.npz"
    save_head(zeros(), path)
    before = path.read_bytes()

    def full(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hwnas.adapt.board.adapt.np.savez", full)
    with pytest.raises(OSError, match="No space"):
        save_head(zeros(), path)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def test_names_in_bytes_are_names(tmp_path: Path) -> None:
    inputs, path = np.zeros((2, 1, 4, 4), np.uint8), tmp_path / "a.npz"
    np.savez(path, inputs=inputs, targets=np.array([b"cat", b"dog"]))
    assert read_samples(path, ()).names == ["cat", "dog"]
    np.savez(path, inputs=inputs, targets=np.array([1, 0]), class_names=np.array([b"cat", b"dog"]))
    assert read_samples(path, ()).names == ["dog", "cat"]


@pytest.mark.parametrize(
    "arrays",
    [
        {"inputs": np.array(1.0)},
        {"inputs": np.zeros((2, 4)), "steps_done": np.array([1, 2])},
        {"inputs": np.zeros((2, 4)), "steps_done": np.array(-1)},
        {"inputs": np.zeros((2, 4)), "targets": np.array([0, 1]), "class_names": np.array(3)},
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(PredictError):
        read_samples(tmp_path / "a.npz", ("cat", "dog"))


def test_a_head_of_other_sizes_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "head.npz", weight=np.zeros((3, 4)), bias=np.zeros(3), classes=np.array(["a", "b"]))
    with pytest.raises(PredictError, match="cannot be read"):
        load_head(tmp_path / "head.npz")


def test_a_network_without_classes_names_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_bundle(tmp_path / "bundle", classes=[])
    shape = json.loads((folder / "manifest.json").read_text())["models"][0]["files"][0]["inputs"][0]["shape"]
    np.savez(tmp_path / "a.npz", inputs=np.zeros((2, *shape[1:]), np.float32))
    assert main(["classify", str(tmp_path / "a.npz")], folder) == 2
    assert "names no classes" in capsys.readouterr().err


class TestBoard:
    def test_it_fits_a_head_and_names_classes_without_hwnas(self, run: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(bundle(run), tmp_path / "copy")
        data = str(run.parent.parent / "named.npz")
        done = board(folder, "head", data, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert (result["classes"], result["kept"]) == (list("abcdefghij"), [])
        assert result["accuracy"] > 0.7
        named = board(folder, "classify", data).stdout.split()
        with np.load(data) as archive:
            assert np.mean(np.array(named) == archive["targets"]) > 0.8
        assert load_head(folder / "head.npz").classes == tuple("abcdefghij")
        assert "hwnas" not in {line.split()[1] for line in _imports(folder / "adapt.py")}
        refused = board(folder, "head", data, "-o", str(tmp_path / "nowhere" / "head.npz"))
        assert (refused.returncode, refused.stderr.splitlines()[0][:26]) == (2, "the head cannot be written")

    def test_it_tells_drift(self, run: Path) -> None:
        assert board(bundle(run), "drift", str(run.parent.parent / "unlabelled.npz")).returncode == 1
        watched = adapt(run, "old.yaml", watch=True)
        assert not watched.drifted
        assert adapt(run, "unlabelled.npz", watch=True).drifted

    def test_bad_input_is_told_in_four_parts(self, run: Path, tmp_path: Path) -> None:
        data = run.parent.parent
        (tmp_path / "none.npz").write_bytes(b"PK\x03\x04")
        for verb, file, words in (
            ("head", data / "unlabelled.npz", "no labels"),
            ("head", data / "coloured.npz", "3, 8, 8"),
            ("drift", data / "one.npz", "there are 1 samples"),
            ("classify", tmp_path / "none.npz", "cannot be read"),
        ):
            done = board(bundle(run), verb, str(file))
            assert done.returncode == 2
            assert words in done.stderr
            assert "next:" in done.stderr
            assert "Traceback" not in done.stderr


def _imports(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]


def test_a_bundle_alone_gets_a_head_on_the_desk(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle(run), tmp_path / "copy")
    result = pipeline.adapt(str(folder), str(run.parent.parent / "labelled.npz"), how="head")
    assert result.report["held_out"]["accuracy"] > 0.7
    assert result.report["classes"]["kept"] == list("01234")
    data = str(run.parent.parent / "named.npz")
    kept = pipeline.adapt(str(folder), data, how="head", keep_classes=True, out=tmp_path / "head.npz")
    assert load_head(Path(kept.report["files"][0])).classes == (*"01234", *"abcdefghij")
    with pytest.raises(ConfigError, match="outside its run"):
        pipeline.adapt(str(folder), data, how="space")


def test_a_bundle_alone_is_trained_on_by_its_plain_module(run: Path, tmp_path: Path) -> None:
    np.savez(run.parent.parent / "dim.npz", **_dim(run.parent.parent / "old.npz"))
    folder, data = shutil.copytree(bundle(run), tmp_path / "copy"), str(run.parent.parent / "dim.npz")
    by_run = adapt(run, "dim.npz", how="norm", pick="best", out=tmp_path / "of_run").report["test"]
    alone = pipeline.adapt(str(folder), data, how="norm", out=tmp_path / "alone")
    assert alone.report["test"] == by_run
    assert alone.report["files"] == ["adapted.json", "adapted.onnx", "adapted.safetensors"]
    full = pipeline.adapt(str(folder), data, how="full", epochs=1, out=tmp_path / "full")
    assert full.report["classes"]["kept"] == list("01234")
    facts = json.loads((tmp_path / "full" / "adapted.json").read_text())
    assert facts["classes"] == facts["class_match"]["kept"] == list("01234")
    (folder / "best.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="another than the manifest lists"):
        pipeline.adapt(str(folder), data, how="norm")


def test_a_bundle_whose_module_takes_raw_numbers_or_is_missing_names_its_run(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle(run), tmp_path / "copy")
    whole = json.loads((folder / "manifest.json").read_text())
    for change, words in (
        ({"preprocessing": {"in_file": []}}, "takes raw numbers"),
        ({"module": {"source": None, "reason": "an operator of yours"}}, "no module of PyTorch .an operator of yours"),
        ({"classes": []}, "no classifier"),
    ):
        model = {**whole["models"][0], **change}
        (folder / "manifest.json").write_text(json.dumps({**whole, "models": [model]}))
        with pytest.raises(ConfigError, match=words):
            pipeline.adapt(str(folder), str(run.parent.parent / "labelled.npz"), how="norm")


def test_a_bundle_lists_its_features_and_statistics(run: Path) -> None:
    model = read_manifest(bundle(run) / "manifest.json").content["models"][0]
    assert (model["features"]["output"], model["features"]["head"]) == ("features", "best.head.npz")
    assert {"confidence", "input_detail", "feature_norm"} <= model["statistics"].keys()
    assert [one["name"] for one in model["files"][0]["outputs"]] == ["logits", "features"]
    assert AdaptableModel(bundle(run)).old_head().classes == tuple("01234")


def test_bad_input_is_refused(run: Path, tmp_path: Path) -> None:
    folder, labelled = run.parent.parent, {"data": str(run.parent.parent / "labelled.npz")}
    for options, words in (
        (
            {"data": str(folder / "coloured.npz"), "how": "head"},
            "the data has inputs of 3x8x8, the network takes 1x8x8",
        ),
        ({"data": str(folder / "one.npz"), "how": "norm"}, "there are 1 samples"),
        ({"data": str(folder / "unlabelled.npz"), "how": "full"}, "the samples have no labels"),
        ({"data": str(folder / "labelled.npz"), "how": "space"}, "is an archive of raw samples"),
        ({"data": str(folder / "unlabelled.npz"), "how": "norm", "epochs": 1}, "the samples have no labels"),
        ({"data": str(folder / "named.npz"), "how": "norm", "epochs": 1}, "knows none of the classes"),
        ({"data": str(folder / "single.npz"), "how": "head"}, "are of one class, `3`"),
        ({**labelled, "how": "head", "rehearse": 3}, "--rehearse says nothing of --how head"),
        ({**labelled, "watch": True, "keep_classes": True}, "--keep-classes says nothing of --watch"),
        ({**labelled}, "it is not said how to adapt"),
        ({**labelled, "how": "head", "watch": True}, "both given"),
        ({**labelled, "how": "head", "tier": "cloud"}, "`cloud` is no tier"),
        ({"data": "digits", "how": "space", "input_shape": "3,8,8"}, "`--input` is 3x8x8"),
        ({"data": "nowhere.yaml", "how": "head"}, "cannot be read"),
        ({**labelled, "how": "head", "weights": tmp_path / "x.pth"}, "--weights says nothing"),
    ):
        with pytest.raises(HwnasError, match=words):
            pipeline.adapt(str(run), options.pop("data"), **options)  # type: ignore[arg-type]
    for options in ({"watch": True}, {"how": "space"}):
        with pytest.raises(ConfigError, match="is a network of yours"):
            pipeline.adapt(f"{written(tmp_path)}:model", "digits", **options)  # type: ignore[arg-type]
    yours, alone = f"{written(tmp_path)}:model", str(shutil.copytree(bundle(run), tmp_path / "alone"))
    for target, options, words in (
        (str(run), {"how": "space", "tier": "edge"}, "--tier says nothing of --how space of a run"),
        (str(run), {"how": "space", "pick": "best"}, "--pick says nothing of --how space of a run"),
        (str(run), {"watch": True, "pick": "best"}, "--pick says nothing of --watch of a run"),
        (str(run), {"watch": True, "out": tmp_path}, "--out says nothing of --watch of a run"),
        (yours, {"how": "head", "pick": "best"}, "--pick says nothing of --how head of a network of yours"),
        (yours, {"how": "norm", "tier": "edge"}, "--tier says nothing of --how norm of a network of yours"),
        (alone, {"how": "head", "pick": "best"}, "--pick says nothing of --how head of a bundle"),
        (alone, {"how": "norm", "tier": "edge"}, "--tier says nothing of --how norm of a bundle"),
        (alone, {"how": "norm", "pick": "bst"}, "the bundle has no network `bst`"),
    ):
        with pytest.raises(ConfigError, match=words):
            pipeline.adapt(target, "digits", **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="is a model file"):
        pipeline.adapt(str(bundle(run) / "best.onnx"), "digits", how="head")


def test_a_bundle_without_features_is_told_how_to_get_them(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle(run), tmp_path / "copy")
    raw = json.loads((folder / "manifest.json").read_text())
    del raw["models"][0]["features"]
    (folder / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(HwnasError, match="gives no features") as caught:
        pipeline.adapt(str(folder), str(run.parent.parent / "labelled.npz"), how="head")
    assert "export.features=true" in caught.value.do


def test_a_run_that_is_not_trained_to_the_end_is_refused(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "short")
    checkpoints(folder / "train")[-1].unlink()
    with pytest.raises(RunError, match="not finished: 3 of 4 epochs"):
        pipeline.adapt(str(folder), str(run.parent.parent / "labelled.npz"), how="head")


def test_classes_without_a_common_name_are_told_and_not_refused(run: Path, tmp_path: Path) -> None:
    result = adapt(run, "named.npz", how="head", out=tmp_path / "head")
    assert result.report["classes"]["kept"] == []
    assert "all 10 begin anew" in result.lines[0]
    assert result.report["test"]["before"] is None
