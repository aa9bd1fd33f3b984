"""Targets and options that a task refuses, each with its reason; units of outputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from hwnas.data import Dataset, Pool, Source, Stored, load_data
from hwnas.data.conversion import check_classes
from hwnas.data.load import Options, split_source
from hwnas.errors import ConfigError, DataError, HwnasError
from hwnas.supernet.training.teacher import FromUnit
from hwnas.tasks import Batch, Classification, Task, TensorSpec, task_of
from hwnas.tasks.multilabel import Multilabel
from hwnas.tasks.output_scale import Scaled, scaled
from hwnas.tasks.reconstruction import Reconstruction
from hwnas.tasks.regression import Regression
from hwnas.tasks.segmentation import Segmentation

COUNT = 40
NAN = float("nan")


def loaded(task: Task, targets: Tensor, shape: tuple[int, ...] = (3,)) -> Dataset:
    """Random inputs with these targets, as a reader hands them over."""
    pool = Pool(Stored(torch.randn(len(targets), *shape)), targets, "made: train")
    classes = task.class_count(task.as_targets(targets, shape, where="made: y_train"))
    source = Source(tuple(map(str, range(classes))), {"train": pool})
    return split_source(source, Options(), seed=0, name="made", task=task)


LABELS = torch.arange(COUNT) % 3
PIXELS = torch.zeros(COUNT, 4, 4, dtype=torch.int64)
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "labels as numbers": (lambda: loaded(Classification(), LABELS / 2), r"labels are torch\.float32 \(40,\)"),
    "labels in two columns": (lambda: loaded(Classification(), LABELS.repeat(2, 1).T), r"labels are .* \(40, 2\)"),
    "one class": (lambda: loaded(Classification(), 0 * LABELS), r"of one class, `0`"),
    "a label below 0": (lambda: loaded(Classification(), LABELS - 1), r"label -1 is out of range"),
    "labels that are not 0 or 1": (lambda: loaded(Multilabel(), torch.full((COUNT, 2), 2)), r"\(40, 2\), 2 among them"),
    "labels that are NaN": (lambda: loaded(Multilabel(), torch.full((COUNT, 2), NAN)), "nan among them"),
    "one label a sample": (lambda: loaded(Multilabel(), LABELS), r"targets are \(40,\).*`task: classification`"),
    "a NaN among numbers": (lambda: loaded(Regression(), torch.tensor([NAN] + 39 * [1.0])), "1 of 40 targets hold NaN"),
    "images of numbers": (lambda: loaded(Regression(), torch.rand(COUNT, 2, 2)), r"targets are .* \(40, 2, 2\)"),
    "the same number": (
        lambda: loaded(Regression(), torch.full((COUNT,), 3.5)).train.fit(Regression()),
        r"target 1 of 1 is 3\.5 for all samples for training",
    ),
    "a label for an image": (
        lambda: loaded(Segmentation(), LABELS, (1, 4, 4)),
        r"targets are .*inputs of shape \(1, 4, 4\)",
    ),
    "pixels of another size": (lambda: loaded(Segmentation(), PIXELS, (1, 4, 5)), r"inputs of shape \(1, 4, 5\)"),
    "a pixel below 0": (
        lambda: loaded(Segmentation(), PIXELS - 1, (1, 4, 4)),
        r"label -1 is out of range.*`ignore_index`",
    ),
    "numbers for labels": (lambda: loaded(Reconstruction(), torch.rand(COUNT)), r"0 stands for normal"),
    "weights for two classes": (
        lambda: Classification(class_weights=(1.0, 2.0)).at((3,), 3).fit(LABELS),
        "`class_weights` has 2 numbers for 3 classes",
    ),
    "negative weights": (lambda: Classification(class_weights=(1.0, -2.0)), r"`class_weights` is \[1\.0, -2\.0\]"),
    "a class to balance that has no samples": (
        lambda: Classification(class_weights="balanced").at((3,), 4).fit(LABELS),
        "label 3 of 4 is not among the training targets",
    ),
    "pixels of a class that networks do not have": (
        lambda: Segmentation().at((1, 4, 4), 2).check_data((1, 4, 4), 3, where="made"),
        r"3 targets, the space expects 1x4x4 and 2",
    ),
    "abnormal samples to learn from": (
        lambda: Reconstruction().check_targets(LABELS, LABELS, where="made"),
        "26 of 40 samples for training are abnormal",
    ),
    "validation samples of one kind": (
        lambda: Reconstruction(quality_metric="auroc").check_targets(0 * LABELS, 0 * LABELS, where="made"),
        "`auroc` is undefined on the validation samples",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_targets_and_options_are_told(name: str) -> None:
    attempt, told = BAD[name]
    with pytest.raises((DataError, ConfigError), match=told) as error:
        attempt()
    assert error.value.do


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"name": "classification", "quality": "macro_f"}, "no metric `macro_f`.*Did you mean `macro_f1`"),
        ({"name": "regression", "quality": "top1"}, "no metric `top1`.*mae, r2, rmse"),
        ({"name": "segmentation", "ignore": 3}, "no option `ignore`.*`ignore_index`"),
        ({"name": "classification", "class_weights": "balance"}, "`class_weights` is 'balance'"),
        ({"name": "regression", "unit": 3}, "`unit` is 3"),
        ("segmentaton", "unknown task `segmentaton`.*`segmentation`"),
    ],
)
def test_what_a_task_lacks_is_told_with_what_is_near(spec: Any, told: str) -> None:
    with pytest.raises(HwnasError) as error:
        task_of(spec, base=Path(), where="experiment")
    assert re.search(told, str(error.value)), str(error.value)


def test_options_from_yaml() -> None:
    task = task_of({"name": "classification", "class_weights": [1, 2.5], "quality": "auroc"}, base=Path(), where="x")
    assert task == Classification(class_weights=(1.0, 2.5), quality_metric="auroc")
    assert task.quality.name == "auroc"
    assert task.standard_error(0.9, 100) is None, "an area is no share of samples"
    lowest = task_of({"name": "regression", "quality": "rmse", "unit": "K"}, base=Path(), where="x")
    assert (lowest.quality.goal, lowest.quality.unit, lowest.quality_text(1.25)) == ("min", "K", "1.25 K")


def test_weights_of_classes_have_a_mean_of_one_over_the_training_targets() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    for weights in ("balanced", (1.0, 2.0, 6.0), (10.0, 20.0, 60.0)):
        fitted = Classification(class_weights=weights).fit(labels)  # type: ignore[arg-type]
        assert torch.tensor(fitted.weights)[labels].mean() == pytest.approx(1)
        assert fitted.weights == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    logits = torch.randn(10, 3)
    expected = nn.functional.cross_entropy(logits, labels, torch.tensor(fitted.weights), reduction="none").mean()
    assert_close(fitted.loss(logits, Batch(None, labels)), expected)


# --- units ---

HEADS: dict[str, tuple[nn.Module, bool]] = {
    "a linear layer": (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), True),
    "without a bias": (nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False)), True),
    "a convolution": (nn.Sequential(nn.Conv1d(3, 2, 4), nn.Flatten()), True),
    "an activation behind it": (nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.ReLU()), False),
    "normalisation behind it": (nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.BatchNorm1d(2)), False),
    "pooling behind it": (nn.Sequential(nn.Conv1d(3, 2, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten()), False),
    "none": (nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.BatchNorm1d(3)), False),
}


@pytest.mark.parametrize("name", HEADS)
def test_outputs_are_scaled_by_the_last_layer_where_it_is_the_last(name: str) -> None:
    module, is_folded = HEADS[name]
    inputs = torch.randn(5, 3, 4)
    expected = module.eval()(inputs)
    columns = expected.shape[1]
    shift, factor = [300.0, -2.0, 7.0][:columns], [40.0, 0.001, 3.0][:columns]
    own = {key: value.clone() for key, value in module.state_dict().items()}
    finished = scaled(module, shift, factor, [inputs[:2]])
    assert isinstance(finished, Scaled) is not is_folded
    assert_close(finished(inputs), expected * torch.tensor(factor) + torch.tensor(shift), rtol=1e-5, atol=1e-4)
    assert all(torch.equal(value, own[key]) for key, value in module.state_dict().items()), "the module is as it was"


def test_numbers_are_learned_in_deviations_and_judged_in_the_users_unit() -> None:
    targets = torch.tensor([[100.0, 0.1], [300.0, 0.3], [200.0, 0.2]])
    task = Regression(unit="mm").at((4,), 2).fit(targets)
    assert task.target_facts["mean"] == pytest.approx([200, 0.2])
    assert task.target_facts["std"] == pytest.approx([81.6496581, 0.0816496581])
    assert task.loss(task.from_unit(targets), Batch(None, targets)) == pytest.approx(0, abs=1e-10)
    assert task.loss(torch.zeros(3, 2), Batch(None, targets)) == pytest.approx(1)
    off = task.to_unit(task.from_unit(targets) + 1)
    assert task.values(task.statistics(off, Batch(None, targets)))["mae"].value == pytest.approx(
        (81.65 + 0.08165) / 2, rel=1e-4
    )
    agreement = task.agreement(targets.numpy(), (targets + torch.tensor([0.0, 0.01])).numpy())
    assert agreement.share == 0, "a hundredth is an eighth of the second number's deviation"
    assert agreement.max_difference / agreement.scale == pytest.approx(0.01 / 0.08165, rel=1e-3)


SEVERAL = (TensorSpec("left", (2, 8)), TensorSpec("right", (3,)))


@pytest.mark.parametrize("task", [Reconstruction(), Segmentation()])
def test_tasks_whose_targets_are_like_the_input_take_one(task: Task) -> None:
    with pytest.raises(ConfigError, match=r"the networks take left 2x8 \+ right 3"):
        task.at(SEVERAL, 3).check_data(SEVERAL, 3, where="made")


@pytest.mark.parametrize("task", [Multilabel(), Regression(), Segmentation()])
def test_images_that_would_be_stretched_are_refused(task: Task) -> None:
    bound = task.at((3, 32, 32), 4)
    bound.check_data((3, 64, 64), 4, where="made")
    with pytest.raises(ConfigError, match="3x64x32"):
        bound.check_data((3, 64, 32), 4, where="made")


@pytest.mark.parametrize("task", [Multilabel(), Regression()])
def test_a_network_gives_as_many_numbers_as_a_sample_has(task: Task) -> None:
    bound = task.at((3,), 4)
    bound.check_targets(torch.zeros(9, 4), torch.zeros(9, 4), where="made")
    with pytest.raises(DataError, match="a sample has 1 targets, a network gives 4"):
        bound.check_targets(torch.zeros(9, 1), torch.zeros(9, 1), where="made")


def test_more_classes_than_names_are_refused() -> None:
    pool = Pool(Stored(torch.randn(COUNT, 1, 4, 4)), PIXELS + torch.arange(4), "made: train")
    with pytest.raises(DataError, match="there are 4 classes and 3 names"):
        check_classes(pool, tuple("abc"), Segmentation(), where="made")


def test_a_data_set_of_ones_own_is_judged_on_the_scale_of_its_training_targets(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    dataset = load_data("own.py:data", seed=0, base=tmp_path, task=Regression())
    scales = [split.fit(Regression()).scale for split in (dataset.train, dataset.validation, dataset.test)]
    assert scales[0] == scales[1] == scales[2]
    assert dataset.test.targets.shape == (10, 1)


OWN = """
import torch
from hwnas.data import Dataset, Stored
from hwnas.data.dataset import Split
def data():
    inputs, targets, zero = Stored(torch.randn(40, 3)), torch.arange(40.0), torch.zeros(3)
    parts = [torch.arange(40)[first:end] for first, end in ((0, 20), (20, 30), (30, 40))]
    return Dataset("own", (), *(Split(inputs, part, targets[part], zero, zero + 1) for part in parts))
"""


def test_a_teacher_takes_several_inputs() -> None:
    class Sum(nn.Module):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return left + right

    ones = torch.ones(2, 1)
    assert_close(FromUnit(Sum(), Regression())(ones, ones), 2 * ones)
