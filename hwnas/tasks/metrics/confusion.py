"""Metrics of labels: balanced accuracy and macro F1 of samples with one label each, with their sampling errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.quantities import Quantity
from hwnas.tasks.metrics.estimate import Estimate, estimated

BALANCED_ACCURACY = Quantity("balanced_accuracy", "Balanced accuracy", "max", "fraction")
MACRO_F1 = Quantity("macro_f1", "Macro F1", "max", "fraction")

Labels = NDArray[Any]
"""(samples,) whole numbers from 0 on."""


def balanced_accuracy(labels: Labels, predicted: Labels) -> Estimate:
    """Return the mean recall of the classes that have samples."""
    counts = np.bincount(labels)
    hits = labels == predicted
    recalls = np.bincount(labels[hits], minlength=len(counts)) / np.maximum(counts, 1)
    present = counts > 0
    classes = present.sum()
    influence = len(labels) * (hits - recalls[labels]) / counts[labels] / classes
    return estimated(recalls[present].mean(), influence)


def macro_f1(labels: Labels, predicted: Labels) -> Estimate:
    """Return the mean F1 of the classes that have samples or are predicted."""
    classes = 1 + int(max(labels.max(), predicted.max()))
    hits = labels == predicted
    sums = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    present = sums > 0
    scores = 2 * np.bincount(labels[hits], minlength=classes) / np.maximum(sums, 1)
    influence = (2 * hits - scores[labels]) / sums[labels] - scores[predicted] / sums[predicted]
    return estimated(scores[present].mean(), len(labels) * influence / present.sum())
