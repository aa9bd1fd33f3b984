"""Metrics of tasks: equal to those of torchmetrics and scikit-learn, with errors that resampling confirms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics
from torch import Tensor

from hwnas.errors import DataError
from hwnas.tasks import Batch, Classification, Estimate, Task, paired_difference
from hwnas.tasks.multilabel import Multilabel
from hwnas.tasks.reconstruction import Reconstruction
from hwnas.tasks.regression import Regression
from hwnas.tasks.segmentation import Segmentation

COUNT, CLASSES = 400, 5


@pytest.fixture(scope="module")
def torchmetrics() -> ModuleType:
    """Its functions, imported once: that takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchmetrics").functional


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def values_of(task: Task, outputs: Tensor, batch: Batch) -> Mapping[str, Estimate]:
    """Metrics of outputs, computed in three parts."""
    whole = task.statistics(outputs, batch)
    cut = [0, 50, 51, len(outputs)]
    parts = [
        task.statistics(outputs[a:b], Batch(None if batch.inputs is None else batch.inputs[a:b], batch.targets[a:b]))
        for a, b in pairwise(cut)
    ]
    values, together = task.values(whole), task.values(parts[0] + parts[1] + parts[2])
    for name, value in values.items():
        assert together[name].value == pytest.approx(value.value, rel=1e-12)
        assert together[name].error == pytest.approx(value.error, rel=1e-9)
    return values


def classified(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Logits that know something, and labels of classes of unlike sizes."""
    labels = torch.from_numpy(rng.choice(CLASSES, COUNT, p=[0.5, 0.2, 0.15, 0.1, 0.05]))
    logits = torch.from_numpy(rng.normal(size=(COUNT, CLASSES)).astype(np.float32))
    logits[torch.arange(COUNT), labels] += 1
    return logits, labels


def close(value: Estimate, *others: Any) -> None:
    """Hold a value against others' to 1e-6."""
    for other in others:
        assert value.value == pytest.approx(float(other), abs=1e-6)


def test_metrics_of_classification(rng: np.random.Generator, torchmetrics: ModuleType) -> None:
    logits, labels = classified(rng)
    values, answers, shares = (
        values_of(Classification(), logits, Batch(None, labels)),
        logits.argmax(1),
        logits.softmax(1),
    )
    ours, of = torchmetrics.classification, {"num_classes": CLASSES}
    close(
        values["top1"],
        sklearn_metrics.accuracy_score(labels, answers),
        ours.multiclass_accuracy(answers, labels, average="micro", **of),
    )
    close(
        values["balanced_accuracy"],
        sklearn_metrics.balanced_accuracy_score(labels, answers),
        ours.multiclass_recall(answers, labels, **of),
    )
    close(
        values["macro_f1"],
        sklearn_metrics.f1_score(labels, answers, average="macro"),
        ours.multiclass_f1_score(answers, labels, **of),
    )
    double = shares.double() / shares.double().sum(1, keepdim=True)
    close(
        values["auroc"],
        sklearn_metrics.roc_auc_score(labels, double, multi_class="ovr"),
        ours.multiclass_auroc(shares, labels, **of),
    )


def test_metrics_of_several_labels(rng: np.random.Generator, torchmetrics: ModuleType) -> None:
    targets = torch.from_numpy(rng.random((COUNT, CLASSES)) < 0.3)
    logits = torch.from_numpy(rng.normal(size=(COUNT, CLASSES)).astype(np.float32)) + targets
    values, answers = values_of(Multilabel(), logits, Batch(None, targets)), logits > 0
    ours, of = torchmetrics.classification, {"num_labels": CLASSES}
    for average in ("macro", "micro"):
        close(
            values[f"{average}_f1"],
            sklearn_metrics.f1_score(targets, answers, average=average),
            ours.multilabel_f1_score(answers.int(), targets.int(), average=average, **of),
        )
    close(
        values["exact_match"],
        sklearn_metrics.accuracy_score(targets, answers),
        ours.multilabel_exact_match(answers.int(), targets.int(), **of),
    )
    close(
        values["auroc"],
        sklearn_metrics.roc_auc_score(targets, logits),
        ours.multilabel_auroc(logits.sigmoid().double(), targets.int(), **of),
    )


@pytest.mark.parametrize("width", [1, 3])
def test_metrics_of_regression(width: int, rng: np.random.Generator, torchmetrics: ModuleType) -> None:
    targets = torch.from_numpy((40 + 5 * rng.normal(size=(COUNT, width))).astype(np.float32))
    outputs = targets + torch.from_numpy(rng.normal(size=(COUNT, width)).astype(np.float32))
    values = values_of(Regression(), outputs, Batch(None, targets))
    pair = targets.double(), outputs.double()
    close(
        values["mae"],
        sklearn_metrics.mean_absolute_error(*pair),
        torchmetrics.mean_absolute_error(pair[1].flatten(), pair[0].flatten()),
    )
    roots = torchmetrics.mean_squared_error(pair[1], pair[0], squared=False, num_outputs=width)
    close(values["rmse"], sklearn_metrics.root_mean_squared_error(*pair), roots.mean())
    close(values["r2"], sklearn_metrics.r2_score(*pair), torchmetrics.r2_score(pair[1], pair[0]))


def test_metrics_of_pixels(rng: np.random.Generator, torchmetrics: ModuleType) -> None:
    targets = torch.from_numpy(rng.integers(0, CLASSES, (60, 8, 6)))
    logits = torch.from_numpy(rng.normal(size=(60, CLASSES, 8, 6)).astype(np.float32))
    logits.scatter_add_(1, targets.unsqueeze(1), torch.ones(60, 1, 8, 6))
    targets[torch.from_numpy(rng.random((60, 8, 6)) < 0.1)] = 255
    values, answers = values_of(Segmentation(), logits, Batch(None, targets)), logits.argmax(1)
    seen = targets != 255
    ours, of = torchmetrics.classification, {"num_classes": CLASSES, "ignore_index": 255}
    close(
        values["miou"],
        sklearn_metrics.jaccard_score(targets[seen], answers[seen], average="macro"),
        ours.multiclass_jaccard_index(answers, targets, **of),
    )
    close(
        values["pixel_accuracy"],
        sklearn_metrics.accuracy_score(targets[seen], answers[seen]),
        ours.multiclass_accuracy(answers, targets, average="micro", **of),
    )


def test_metrics_of_reconstruction(rng: np.random.Generator, torchmetrics: ModuleType) -> None:
    inputs = torch.from_numpy(rng.normal(size=(COUNT, 2, 9)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 3, COUNT))
    outputs = inputs + (1 + 0.2 * labels[:, None, None]) * torch.from_numpy(rng.normal(size=(COUNT, 2, 9))).float()
    values = values_of(Reconstruction(), outputs, Batch(inputs, labels))
    errors = (outputs - inputs).double().square().flatten(1).mean(1)
    close(
        values["auroc"],
        sklearn_metrics.roc_auc_score(labels > 0, errors),
        torchmetrics.classification.binary_auroc(errors / errors.max(), (labels > 0).int()),
    )
    normal = labels == 0
    close(
        values["reconstruction_error"],
        sklearn_metrics.mean_squared_error(inputs[normal].flatten(), outputs[normal].flatten()),
    )


def _resampled(task: Task, outputs: Tensor, targets: Tensor, rng: np.random.Generator) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {metric.name: [] for metric in task.metrics}
    for _ in range(300):
        rows = torch.from_numpy(rng.integers(0, len(outputs), len(outputs)))
        for name, value in task.values(task.statistics(outputs[rows], Batch(outputs[rows], targets[rows]))).items():
            seen[name].append(value.value)
    return seen


@pytest.mark.parametrize("name", ["classification", "multilabel", "regression", "segmentation"])
def test_standard_errors_are_those_of_resampling(name: str, rng: np.random.Generator) -> None:
    tasks = {
        "classification": Classification(),
        "multilabel": Multilabel(),
        "regression": Regression(),
        "segmentation": Segmentation(),
    }
    task = tasks[name]
    if name == "classification":
        outputs, targets = classified(rng)
    elif name == "multilabel":
        targets = torch.from_numpy(rng.random((COUNT, 3)) < 0.4)
        outputs = torch.from_numpy(rng.normal(size=(COUNT, 3))).float() + targets
    elif name == "regression":
        targets = torch.from_numpy(rng.normal(size=(COUNT, 2))).float()
        outputs = targets + 0.5 * torch.from_numpy(rng.normal(size=(COUNT, 2))).float()
    else:  # pixels of an image are alike
        targets = torch.from_numpy(rng.integers(0, 3, (100, 1, 1))).repeat(1, 4, 4)
        outputs = torch.from_numpy(rng.normal(size=(100, 3, 1, 1))).float().repeat(1, 1, 4, 4)
        outputs.scatter_add_(1, targets.unsqueeze(1), torch.ones(100, 1, 4, 4))
    values = task.values(task.statistics(outputs, Batch(outputs, targets)))
    for metric, resampled in _resampled(task, outputs, targets, rng).items():
        assert values[metric].error == pytest.approx(np.std(resampled), rel=0.2), metric


def test_two_networks_on_the_same_samples_differ_by_less_than_their_errors(rng: np.random.Generator) -> None:
    """Most of the error is the samples', which both share; the paired error is that of the differences."""
    logits, labels = classified(rng)
    other = logits + 0.2 * torch.from_numpy(rng.normal(size=logits.shape)).float()
    task = Classification()
    one, two = (task.values(task.statistics(outputs, Batch(None, labels))) for outputs in (logits, other))
    for name in one:
        apart = paired_difference(one[name], two[name])
        assert apart.value == pytest.approx(one[name].value - two[name].value)
        assert apart.error is not None
        assert one[name].error is not None
        assert apart.error < 0.7 * one[name].error
    hits = (logits.argmax(1) == labels).double() - (other.argmax(1) == labels).double()
    assert paired_difference(one["top1"], two["top1"]).error == pytest.approx(
        float(hits.std(correction=0)) / COUNT**0.5
    )


def test_a_metric_that_samples_leave_undefined_is_no_number() -> None:
    task = Classification(quality_metric="auroc")
    values = task.values(task.statistics(torch.randn(4, 3), Batch(None, torch.ones(4, dtype=torch.int64))))
    assert "auroc" not in values
    assert list(values) == ["top1", "balanced_accuracy", "macro_f1"]
    with pytest.raises(DataError, match="`auroc` is undefined on these samples"):
        values["auroc"]
    task = Regression()
    assert "r2" not in task.values(task.statistics(torch.randn(4, 1), Batch(None, torch.ones(4, 1))))


def test_scores_that_are_not_finite_have_no_area() -> None:
    logits: NDArray[Any] = np.zeros((4, 2), np.float32)
    logits[0, 0] = np.nan
    task = Classification()
    values = task.values(task.statistics(torch.from_numpy(logits), Batch(None, torch.tensor([0, 1, 0, 1]))))
    assert np.isnan(values["auroc"].value)
