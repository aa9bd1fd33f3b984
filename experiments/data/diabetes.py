"""442 patients with diabetes: ten numbers each, and how far the disease went in a year (Efron et al., 2004).

The data comes with scikit-learn. A third of the patients is held back for the test and a fifth of the rest for
validation, both by one seed; sex is a number of two values, as in the source.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SEED = 0


def load() -> dict[str, Any]:
    """Return the patients of each split: numbers (N, 10) as they were taken, and targets (N, 1)."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    inputs, targets = data.data.astype(np.float32), data.target.astype(np.float32)[:, None]
    order = np.random.default_rng(SEED).permutation(len(inputs))
    test, rest = np.split(order, [len(order) // 3])
    validation, train = np.split(rest, [len(rest) // 5])
    chosen = {"train": train, "validation": validation, "test": test}
    return {split: (inputs[rows], targets[rows]) for split, rows in chosen.items()}
