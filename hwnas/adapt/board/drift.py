"""Drift: distributions of a few numbers of each sample against those of validation samples. Python 3.9 syntax.

A number's two distributions are compared by the Kolmogorov-Smirnov test, and the least of the p-values counts, times
the number of tests (Bonferroni). No labels are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BINS = 64
"""Most bins in which a reference distribution is stored."""
ALARM = 0.01
"""p-value below which samples are said to be of another distribution."""
LEAST_SAMPLES = 20


def sample_numbers(
    inputs: Array, outputs: Array, features: Array | None = None, *, logits: bool = True
) -> dict[str, Array]:
    """Return numbers of each sample by name: of its input, of the output, and of the features where there are any.

    Args:
        inputs: (N, ...) as the network takes them, channels first.
        outputs: (N, ...); logits (N, classes) if `logits`.
        features: (N, width).
        logits: whether outputs are logits, whose probabilities are looked at.

    Example:
        >>> sorted(sample_numbers(np.ones((2, 1, 4)), np.ones((2, 3))))
        ['confidence', 'energy', 'entropy', 'input_detail', 'input_mean', 'input_std']
    """
    flat = np.asarray(inputs, np.float64).reshape(len(inputs), -1)
    deviation = flat.std(1)
    steps = np.abs(np.diff(np.asarray(inputs, np.float64), axis=-1)).reshape(len(inputs), -1)
    numbers = {"input_mean": flat.mean(1), "input_std": deviation}
    if steps.shape[1]:
        numbers["input_detail"] = steps.mean(1) / (deviation + 1e-6)
    out = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
    if logits and out.shape[1] > 1:
        top = out.max(1, keepdims=True)
        log_sum = np.log(np.exp(out - top).sum(1, keepdims=True)) + top
        log_shares = out - log_sum
        numbers["confidence"] = np.exp(log_shares.max(1))
        numbers["entropy"] = -(np.exp(log_shares) * log_shares).sum(1)
        numbers["energy"] = log_sum[:, 0]
    else:
        numbers["output_mean"], numbers["output_std"] = out.mean(1), out.std(1)
    if features is not None:
        wide = np.asarray(features, np.float64).reshape(len(features), -1)
        numbers["feature_mean"], numbers["feature_norm"] = wide.mean(1), np.sqrt((wide**2).sum(1))
    return numbers


def reference(numbers: Mapping[str, Array]) -> dict[str, Any]:
    """Return the distributions of numbers, JSON-ready: of each its mean, edges of bins and the counts in them."""
    out: dict[str, Any] = {}
    for name, values in numbers.items():
        inner = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
        edges = np.asarray([float(f"{edge:.7g}") for edge in inner])
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        out[name] = {"mean": float(values.mean()), "edges": edges.tolist(), "counts": counts.tolist()}
    return out


@dataclass(frozen=True)
class Drift:
    """Comparison of samples with a reference.

    Args:
        score: largest distance of two distribution functions, 0 to 1.
        number: name of the number that it is of.
        p_value: probability of such a distance without drift.
        samples: number of samples.
    """

    score: float
    number: str
    p_value: float
    samples: int

    @property
    def drifted(self) -> bool:
        """True if the samples are of another distribution."""
        return self.p_value < ALARM

    def line(self) -> str:
        """Return it as a line."""
        verdict = "DRIFT" if self.drifted else "no drift"
        return f"{verdict}: score {self.score:.3f} ({self.number}), p {self.p_value:.2g}, {self.samples} samples"


def drift(numbers: Mapping[str, Array], stored: Mapping[str, Any]) -> Drift:
    """Return how far samples are from a reference; numbers that it does not hold are left out."""
    distances: dict[str, tuple[float, float]] = {}
    for name in [name for name in stored if name in numbers]:
        edges, counts = np.asarray(stored[name]["edges"], float), np.asarray(stored[name]["counts"], float)
        values = numbers[name]
        own = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(counts))
        apart = float(np.abs(np.cumsum(own) / own.sum() - np.cumsum(counts) / counts.sum()).max())
        size = len(values) * counts.sum() / (len(values) + counts.sum())
        distances[name] = (kolmogorov(apart, size), apart)
    name = min(distances, key=lambda one: (distances[one][0], -distances[one][1]))
    p_value, apart = distances[name]
    samples = len(next(iter(numbers.values())))
    return Drift(apart, name, min(1.0, p_value * len(distances)), samples)


def kolmogorov(distance: float, size: float) -> float:
    """Return the probability of a larger distance by chance (Stephens, 1970).

    Example:
        >>> round(kolmogorov(0.136, 100), 2)
        0.05
    """
    root = np.sqrt(size)
    value = (root + 0.12 + 0.11 / root) * distance
    terms = np.arange(1, 101)
    total = 2 * ((-1.0) ** (terms - 1) * np.exp(-2 * (terms * value) ** 2)).sum()
    return float(min(1.0, max(0.0, total))) if value > 0.2 else 1.0
