"""Common part of all models: fitted to values that are about standard normal, they predict means and deviations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.intp]


class Model(Protocol):
    """Fitted to values `z` (rows,) at features `X` (rows, columns)."""

    @property
    def held_out(self) -> tuple[Floats, Floats]:
        """(rows,) means and deviations of the values it was fitted to, each as if it had not been among them."""

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """(rows,) means and deviations of a value there, noise included."""


Fit: TypeAlias = Callable[[Floats, Floats, Integers, int], Model]
"""(X, z, the number of each column's group, seed) -> the model."""

MODELS: Mapping[str, str] = {  # name -> the function that fits it; imported on use
    "gp": "hwnas.predictors.gaussian_process:fit",
    "ridge": "hwnas.predictors.ensembles:ridge",
    "forest": "hwnas.predictors.ensembles:forest",
    "extra_trees": "hwnas.predictors.ensembles:extra_trees",
    "boosting": "hwnas.predictors.ensembles:boosting",
}
