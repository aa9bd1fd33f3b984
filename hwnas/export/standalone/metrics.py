"""Metrics of outputs against targets, in numpy; the same numbers as in a manifest. Python 3.9 syntax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from hwnas.export.standalone.resampling import resampling

Array = NDArray[Any]
Facts = Mapping[str, Any]
"""The task's entry in a manifest: `name`, `quality`, options."""


def metric_of(task: Facts, name: str) -> Callable[[Array, Array, Array], float] | None:
    """Return the function of outputs, targets and a network's inputs that computes a metric; None if it is unknown.

    Args:
        task: the task's entry in a manifest.
        name: of the metric.
    """
    known = METRIC_FUNCTIONS.get(str(task["name"]), {}).get(name)
    return None if known is None else lambda outputs, targets, inputs: float(known(outputs, targets, inputs, task))


def softmax(logits: Array) -> Array:
    """Return the probabilities of classes, which are the second axis."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Array = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _top1(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    return np.mean(outputs.argmax(1) == targets)


def _balanced_accuracy(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    hits = outputs.argmax(1) == targets
    return np.mean([hits[targets == label].mean() for label in np.unique(targets)])


def _macro_f1(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    answers = outputs.argmax(1)
    labels = np.union1d(answers, targets)
    both = [2 * ((answers == label) & (targets == label)).sum() for label in labels]
    either = [(answers == label).sum() + (targets == label).sum() for label in labels]
    return np.mean(np.array(both) / np.array(either))


def _class_auroc(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    return _auroc(softmax(outputs.astype(np.float64)), targets[:, None] == np.arange(outputs.shape[1]))


def _auroc(scores: Array, positive: Array) -> Any:
    scores, positive = (values.reshape(len(values), -1) for values in (scores, positive))
    areas = []
    for column in np.flatnonzero(positive.any(0) & ~positive.all(0)):
        high, low = scores[positive[:, column], column], np.sort(scores[~positive[:, column], column])
        below = np.searchsorted(low, high), np.searchsorted(low, high, "right")
        areas.append(np.mean((below[0] + below[1]) / 2 / len(low)))
    return np.mean(areas) if areas else np.nan


def _label_ratio(outputs: Array, targets: Array, *, each: bool) -> Any:
    answers, wanted = outputs > 0, targets.astype(bool)
    both, sizes = 2.0 * (answers & wanted).sum(0), answers.sum(0) + wanted.sum(0, dtype=float)
    if not each:
        return both.sum() / sizes.sum()
    kept = sizes > 0
    return np.mean(both[kept] / sizes[kept])


def _columns(outputs: Array, targets: Array) -> tuple[Array, Array]:
    wanted = targets.reshape(len(targets), -1).astype(np.float64)
    return outputs.reshape(len(outputs), -1).astype(np.float64) - wanted, wanted


def _mae(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    return np.abs(_columns(outputs, targets)[0]).mean()


def _rmse(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    return np.sqrt(np.square(_columns(outputs, targets)[0]).mean(0)).mean()


def _r2(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    errors, wanted = _columns(outputs, targets)
    spread = np.square(wanted - wanted.mean(0)).sum(0)
    return np.mean(1 - np.square(errors).sum(0)[spread > 0] / spread[spread > 0])


def _cells(outputs: Array, targets: Array, task: Facts) -> Array:
    """Return (classes, classes) counts of pixels by target and answer."""
    for axis, size in enumerate(targets.shape[1:], 2):
        if outputs.shape[axis] != size:
            weights = resampling(outputs.shape[axis], size, smooth=False)
            outputs = np.moveaxis(np.tensordot(weights, outputs, (1, axis)), 0, axis)
    kept, classes = targets != task.get("options", {}).get("ignore_index", 255), outputs.shape[1]
    cells = targets[kept].astype(np.int64) * classes + outputs.argmax(1)[kept]
    counts: Array = np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(float)
    return counts


def _miou(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    cells = _cells(outputs, targets, task)
    union = cells.sum(0) + cells.sum(1) - cells.diagonal()
    return np.mean(cells.diagonal()[union > 0] / union[union > 0])


def _pixel_accuracy(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    cells = _cells(outputs, targets, task)
    return cells.diagonal().sum() / cells.sum()


def anomaly_scores(outputs: Array, inputs: Array) -> Array:
    """Return (N,) mean squared errors of reconstructions of a network's inputs."""
    errors: Array = np.square(outputs.astype(np.float64) - inputs).reshape(len(outputs), -1).mean(1)
    return errors


def _normal(targets: Array, task: Facts) -> Array:
    return np.asarray(targets == task.get("options", {}).get("normal", 0))


def _reconstruction_error(outputs: Array, targets: Array, inputs: Array, task: Facts) -> Any:
    return np.mean(anomaly_scores(outputs, inputs)[_normal(targets, task)])


METRIC_FUNCTIONS: dict[str, dict[str, Callable[[Array, Array, Array, Facts], Any]]] = {
    "classification": {
        "top1": _top1,
        "balanced_accuracy": _balanced_accuracy,
        "macro_f1": _macro_f1,
        "auroc": _class_auroc,
    },
    "multilabel": {
        "macro_f1": lambda outputs, targets, inputs, task: _label_ratio(outputs, targets, each=True),
        "micro_f1": lambda outputs, targets, inputs, task: _label_ratio(outputs, targets, each=False),
        "exact_match": lambda outputs, targets, inputs, task: ((outputs > 0) == targets.astype(bool)).all(1).mean(),
        "auroc": lambda outputs, targets, inputs, task: _auroc(outputs, targets.astype(bool)),
    },
    "regression": {"mae": _mae, "rmse": _rmse, "r2": _r2},
    "segmentation": {"miou": _miou, "pixel_accuracy": _pixel_accuracy},
    "reconstruction": {
        "reconstruction_error": _reconstruction_error,
        "auroc": lambda outputs, targets, inputs, task: _auroc(
            anomaly_scores(outputs, inputs), ~_normal(targets, task)
        ),
    },
}
"""Metrics by task and name."""
