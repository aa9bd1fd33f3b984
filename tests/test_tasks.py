"""Tasks: the laws that all obey, and one from outside in spaces, training, judging and export."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hwnas.accuracy.zero_cost_proxies.scorer import check_holds, training_free_scorer
from hwnas.data import Dataset, load_data
from hwnas.errors import ConfigError, NoScore, RunError, SpaceError
from hwnas.export import format_named
from hwnas.export.bundle import Criterion, FileRecord, compare, outputs_of
from hwnas.export.onnx import export_onnx
from hwnas.export.tensors import ends_of
from hwnas.network import lower, placements
from hwnas.ops import OPERATORS
from hwnas.ops.plugins import operators_with
from hwnas.population import codebook_of
from hwnas.report.units import Units
from hwnas.runtimes import open_runtime
from hwnas.space import Space, parse_space
from hwnas.space_checks import check_space
from hwnas.supernet import (
    Recipe,
    Supernet,
    calibration_inputs,
    estimate,
    evaluate,
    extract_recalibrated,
    quality,
    train,
)
from hwnas.tasks import TASKS, Batch, Classification, Task, TensorSpec, open_task, task_of
from hwnas.tasks.multilabel import Multilabel
from hwnas.tasks.reconstruction import Reconstruction
from hwnas.tasks.regression import Regression
from hwnas.tasks.segmentation import Segmentation
from hwnas.testing import TaskContract
from tests.helpers.spaces import HEAD, mb, space_of
from tests.vector_task import VectorRegression

DENSE = {"name": "s1", "op": "dense", "width": [8, 16], "depth": [1, 2]}
VECTORS = {
    "name": "vectors", "task": "vector_regression", "input": {"shape": [5]}, "outputs": 2,
    "stages": [DENSE, {"name": "head", "op": "regressor"}],
}  # fmt: skip


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with a task and two operators in a folder of `sys.path`."""
    info = tmp_path / "site" / "vectors-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vectors\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[hwnas.tasks]\nvector_regression = tests.vector_task:VectorRegression\n"
        "[hwnas.operators]\ndense = tests.vector_task:Dense\n"
    )
    monkeypatch.syspath_prepend(str(info.parent))
    for family in (TASKS, OPERATORS):
        monkeypatch.delitem(vars(family), "installed", raising=False)
    operators_with.cache_clear()
    yield
    for family in (TASKS, OPERATORS):
        vars(family).pop("installed", None)
    operators_with.cache_clear()


class TestClassification(TaskContract):
    task = Classification()
    shape, width = (3, 8, 8), 7


class TestSignalClassification(TaskContract):
    task = Classification(class_weights="balanced")
    shape, width = (6, 20), 3


class TestMultilabel(TaskContract):
    task = Multilabel()
    shape, width = (6, 20), 4


class TestSegmentation(TaskContract):
    task = Segmentation(ignore_index=1)
    shape, width = (3, 8, 6), 4


class TestReconstruction(TaskContract):
    task = Reconstruction()
    shape, width = (2, 20), 2


class TestVectorRegression(TaskContract):
    task = VectorRegression()
    shape, width = (5,), 2


class TestSignalRegression(TaskContract):
    task = VectorRegression()
    shape, width = (6, 20), 1


class TestClassificationOfSignals(TaskContract):
    task = Classification()
    shape, width = (6, 20), 4


class TestRegression(TaskContract):
    task = Regression()
    shape, width = (7,), 2


# --- image classification ---


def test_top1_is_the_share_of_hits_with_its_binomial_error() -> None:
    task = Classification().at((1, 4, 4), 3)
    logits = torch.tensor([[0.0, 1.0, 0.5], [3.0, 2.0, 0.0], [0.5, 0.6, 9.0], [9.0, 0.0, 0.0]])
    top1 = task.values(task.statistics(logits, Batch(None, torch.tensor([1, 0, 0, 0]))))["top1"]
    assert top1.value == 0.75
    assert top1.error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_images_are_resized_to_a_networks_resolution() -> None:
    images = torch.randn(2, 3, 8, 8)
    assert Classification().fitted(images, (3, 12, 12)).shape == (2, 3, 12, 12)


def test_signals_are_resized_to_a_networks_length() -> None:
    signals = torch.linspace(0, 1, 20).repeat(2, 3, 1)
    shorter = Classification().fitted(signals, (3, 10))
    assert shorter.shape == (2, 3, 10)
    torch.testing.assert_close(shorter[..., 1:-1], signals.reshape(2, 3, 10, 2).mean(-1)[..., 1:-1])


# --- spaces ---


def test_the_key_of_the_width_chooses_the_task() -> None:
    raw = {"name": "s", "input": {"shape": [5]}, "stages": [{"name": "head", "op": "classifier"}]}
    assert parse_space({**raw, "classes": 3}, where="s").task == Classification()
    assert parse_space({**raw, "outputs": 3}, where="s").task == Regression()
    assert parse_space({**raw, "outputs": 3, "task": "classification"}, where="s").task == Classification()


OWN = """
from dataclasses import dataclass
from tests.vector_task import VectorRegression
from hwnas.tasks import Task
from hwnas.tasks.regression import Regression

@dataclass(frozen=True)
class Mine(Regression):
    scale: float = 1.0

class Undecorated(Regression):
    pass

@dataclass(frozen=True)
class Abstract(Task):
    pass
"""


def test_an_experiment_names_a_task_with_options(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    mine = task_of({"name": "mine.py:Mine", "scale": 2, "quality": "mae"}, base=tmp_path, where="x: task")
    assert (type(mine).__name__, vars(mine)["scale"], mine.quality.name) == ("Mine", 2.0, "mae")
    assert pickle.loads(pickle.dumps(mine)) == mine  # noqa: S301 - made here
    assert task_of("mine.py:Mine", base=tmp_path, where="x: task") != mine


@pytest.mark.parametrize(
    ("spec", "problem", "allowed"),
    [
        ("clasification", "unknown task `clasification`", "Did you mean `classification`"),
        ({"option": 3}, "names no task", "name: NAME"),
        ({"name": "regression", "qualty": "mae"}, "has no option `qualty`", "Did you mean `quality`"),
        ({"name": "regression", "quality": "mea"}, "has no metric `mea`", "Did you mean `mae`"),
        ({"name": "regression", "quality": 3}, "`quality` is 3", "is of type text"),
        ({"name": "classification", "label_smoothing": 0.1}, "has no option `label_smoothing`", ""),
        ({"name": "mine.py:Mine", "scale": "large"}, "`scale` is 'large'", "is of type number"),
        ({"name": "mine.py:Mine", "scale": True}, "`scale` is True", "is of type number"),
        ("mine.py:Mien", "defines no `Mien`", "Did you mean `Mine`"),
        ("mine.py:Undecorated", "is no dataclass of its own", "frozen dataclass"),
        ("mine.py:Abstract", "has no method `agreement`", "frozen dataclass"),
        ("other.py:Mine", "there is no file `other.py`", "Looked for"),
    ],
)
def test_a_wrong_task_is_refused(spec: Any, problem: str, allowed: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    with pytest.raises(ConfigError) as error:
        task_of(spec, base=tmp_path, where="x: task")
    assert problem in error.value.met
    assert allowed in error.value.allowed


# --- spaces ---


def test_a_space_without_a_task_is_of_images() -> None:
    space = space_of(mb())
    assert space.task == Classification()
    network = lower(space, space.largest())
    assert network.task.inputs == (TensorSpec("images", (3, 8, 8)),)
    assert network.task.outputs == (TensorSpec("logits", (4,)),)


def test_naming_the_usual_task_changes_no_architecture() -> None:
    plain, named = space_of(mb(depth=[1, 2])), space_of(mb(depth=[1, 2]), task="classification")
    assert plain == named
    assert plain.largest().key == named.largest().key


def test_images_may_have_two_unlike_sides_of_their_own() -> None:
    space = space_of(mb(), input={"shape": [3, [8, 12], 16]})
    assert [choice.name for choice in space.choices] == ["axis_2"]
    assert lower(space, space.smallest()).input_shape == (3, 8, 16)
    assert lower(space, space.largest()).input_shape == (3, 12, 16)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"task": "image_clasification"}, r"unknown task `image_clasification`.*classification"),
        ({"task": 3}, "`task` is 3, which names no task"),
        ({"input": {"shape": []}}, r"`shape` is \[\]"),
        ({"input": {"shape": [[3, 4], 8]}}, r"`shape` is \[\[3, 4\], 8\]"),
        ({"input": {"shape": [3, [12, 8]]}}, "`axis_2` does not list its options from small to large"),
        ({"input": {"shape": [3, 8], "channels": 3}}, "unknown key `channels`"),
        ({"choices": {"axis_2": [1, 2]}}, "a shared choice is named `axis_2`"),
    ],
)
def test_a_wrong_task_or_input_is_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises((ConfigError, SpaceError), match=problem):
        space_of(mb(), **changes)  # type: ignore[arg-type]


def test_several_elastic_axes_are_followed_by_the_codebook() -> None:
    space = space_of(mb(depth=[1, 2]), input={"shape": [3, [8, 12], [8, 16]]}, head=HEAD)
    architectures = [space.random(random.Random(seed)) for seed in range(30)]
    book = codebook_of(space)
    chains = [[book.links[place] for place in row if place >= 0] for row in book.places(book.encode(architectures))]
    assert chains == [list(lower(space, architecture).links) for architecture in architectures]
    assert space.count == 2 * 2 * 2


# --- a task from outside ---


@pytest.fixture
def space(installed: None) -> Space:
    return parse_space(VECTORS, where="vectors.yaml")


@pytest.fixture
def data() -> Dataset:
    return load_data("tests.vector_task:load", seed=0, task=VectorRegression())


def test_a_space_says_how_wide_its_last_stage_is_once(installed: None) -> None:
    assert open_task("vector_regression", where="test") == VectorRegression()
    with pytest.raises(SpaceError, match="`classes` or `outputs` is missing"):
        parse_space({name: value for name, value in VECTORS.items() if name != "outputs"}, where="vectors.yaml")
    with pytest.raises(SpaceError, match="`classes` and `outputs` are both there"):
        parse_space({**VECTORS, "classes": 2}, where="vectors.yaml")


def test_its_data_are_split_and_normalised_without_classes(data: Dataset) -> None:
    assert (data.shape, data.width, data.class_names) == ((5,), 2, ())
    assert [len(split) for split in (data.train, data.validation, data.test)] == [280, 40, 80]
    assert data.train.every().mean(0).abs().max() < 1e-5
    assert not torch.isin(data.train.indices, data.test.indices).any()


def test_data_that_do_not_fit_are_refused(space: Space) -> None:
    task = lower(space, space.smallest()).task
    with pytest.raises(ConfigError, match="inputs of shape 6 and 2 targets") as error:
        task.check_data((6,), 2, where="experiment `x`")
    assert "`outputs`" in error.value.allowed


def test_a_space_of_vectors_is_checked_and_placed(space: Space) -> None:
    check_space(space)
    assert {placed.shape for placed in placements(space)} == {(5,), (8,), (16,)}
    assert space.count == 4


def test_a_supernet_learns_it_and_files_agree(space: Space, data: Dataset, tmp_path: Path) -> None:
    supernet, network = Supernet(space, seed=0), lower(space, space.largest())
    before = quality(extract_recalibrated(supernet, network, [data.train.every()]), network, data.validation)
    history = train(supernet, space, data, Recipe(epochs=1, batch_size=20), tmp_path / "train")
    calibration = calibration_inputs(data, count=4, batch_size=20, seed=0)
    module = extract_recalibrated(supernet, network, calibration)
    mae = estimate(module, network, data.validation)
    assert mae.value < 0.8 * before
    assert mae.error is not None
    assert 0 < mae.error < mae.value
    assert history[0].loss > 0
    sums = evaluate(module, network, data.validation, batch_size=7)
    assert network.task.values(sums)["abs_error"].value == pytest.approx(mae.value)

    path = export_onnx(module, network.input_shape, tmp_path / "best.onnx")
    assert ends_of(path, format_named("onnx"), 1, network.input_shape).inputs[0]["layout"] == "NC"
    inputs: NDArray[np.float32] = data.test.every().numpy()
    batch = Batch(inputs, data.test.targets.numpy())
    parity = compare(
        outputs_of(module, inputs), open_runtime("onnxruntime").load(path), batch,
        path=path, criterion=Criterion(1e-4, agreement=1.0), task=network.task,
    )  # fmt: skip
    assert parity.agreement == 1
    assert parity.quality == pytest.approx(quality(module, network, data.test), rel=1e-4)


def test_a_training_is_not_continued_with_another_task(space: Space, data: Dataset, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=20)
    train(Supernet(space), space, data, recipe, tmp_path)
    with pytest.raises(RunError, match=r"task: .*VectorRegression.* then, None now"):
        train(Supernet(space), replace(space, task=Classification()), data, replace(recipe, epochs=2), tmp_path)


def test_a_quality_with_a_unit_is_told_with_it() -> None:
    assert VectorRegression().quality_text(0.4172) == "0.4172 K"
    assert Classification().quality_text(0.4172) == "41.7%"


def test_metrics_of_tasks_are_shown_by_label_and_unit() -> None:
    known = Units(Regression(unit="mm").metrics)
    assert (known.label("mae@inherited"), known.scored("mae@inherited", 0.5)) == ("Mean absolute error", "0.500 mm")
    assert (known.label("r2@inherited"), known.scored("r2@inherited", 0.5)) == ("R²", "0.500")
    assert (known.label("top1@inherited"), known.scored("top1@inherited", 0.5)) == ("Top-1 accuracy", "50.00 %")


def test_a_file_and_a_manifest_name_the_tasks_quality() -> None:
    record = FileRecord(
        name="a.onnx", format="onnx", bytes=1, sha256="0", batch=1, precision="fp32", agreement=1.0, test_quality=0.7,
        inputs=(), outputs=(),
    )  # fmt: skip
    assert {"top1_agreement": 1.0, "test_top1": 0.7}.items() <= record.as_dict("top1").items()
    assert {"mae_agreement": 1.0, "test_mae": 0.7}.items() <= record.as_dict("mae").items()


def test_proxies_of_labels_take_the_tasks_loss() -> None:
    scores = []
    for weights in ("none", (1.0, 8.0, 1.0, 1.0)):
        task = Classification(class_weights=weights)
        network = replace(lower(space := space_of(mb()), space.largest()), kind=task.fit(torch.tensor([0, 1, 2, 3])))
        scores.append(
            training_free_scorer("grad_norm", lambda one, to=network: to, None, seed=0, batch=16)(space.largest())
        )
    assert all(score > 0 for score in scores)
    assert scores[0] != scores[1]


@pytest.mark.parametrize("name", ["grad_norm", "snip", "grasp", "fisher", "zico"])
def test_proxies_of_labels_refuse_a_task_without_labels(name: str, space: Space) -> None:
    scorer = training_free_scorer(name, partial(lower, space), None, seed=0)
    with pytest.raises(NoScore, match="cross-entropy of labels, and the task has no labels"):
        scorer(space.largest())
    with pytest.raises(ConfigError, match="does not hold for the networks of this space"):
        check_holds(scorer, (space.smallest(), space.largest()))


def test_every_task_in_the_table_has_a_contract_here() -> None:
    tried = {type(value.task) for value in globals().values() if isinstance(value, type) and hasattr(value, "task")}
    assert {type(open_task(name, where="test")) for name in TASKS.own} <= tried
    assert issubclass(Classification, Task)


# --- files of several inputs and outputs ---


class _TwoEnds(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(9, 3)

    def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.words(ids).mean(1) * scale
        return rows, rows.argmax(1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter
def test_a_file_may_have_several_inputs_and_outputs_of_any_type(tmp_path: Path) -> None:
    module, path = _TwoEnds().eval(), tmp_path / "two.onnx"
    example = torch.zeros(2, 4, dtype=torch.int64), torch.ones(2, 1)
    torch.onnx.export(module, example, str(path), dynamo=False, input_names=["ids", "scale"])
    ids, scale = torch.arange(20).reshape(5, 4) % 9, torch.randn(5, 1)
    rows, best = open_runtime("onnxruntime", batch=2).load(path).run((ids.numpy(), scale.numpy()))
    expected, answers = module(ids, scale)
    np.testing.assert_allclose(rows, expected.detach().numpy(), atol=1e-6)
    assert (best.dtype, best.tolist()) == (np.int64, answers.tolist())
