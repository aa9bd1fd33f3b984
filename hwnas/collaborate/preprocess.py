"""Raw inputs as networks take them, in numpy: divided, normalised, resized. Also on the edge: Python 3.9 syntax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.export.standalone.resampling import resampling

Array = NDArray[Any]


def preprocessed(values: Array, steps: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
    """Return the input of a network, in float32: divided, normalised by channel, resized where it has another size.

    Args:
        values: one raw input, channels first.
        steps: `divide_by`, `mean` and `std`; empty if the input is as the network takes it.
        shape: of the network's input.

    Example:
        >>> steps = {"divide_by": 255, "mean": [0.5], "std": [0.5]}
        >>> preprocessed(np.array([[0, 255]], np.uint8), steps, (1, 2)).tolist()
        [[-1.0, 1.0]]
    """
    numbers = values.astype(np.float32)
    if not steps:
        return numbers
    numbers = numbers / np.float32(steps.get("divide_by", 1))
    axes = (-1, *(1,) * (numbers.ndim - 1))
    mean, std = (np.asarray(steps[name], np.float32).reshape(axes) for name in ("mean", "std"))
    numbers = (numbers - mean) / std
    for axis, (have, want) in enumerate(zip(numbers.shape[1:], shape[1:]), 1):
        if have != want:
            numbers = np.moveaxis(np.tensordot(resampling(have, want, smooth=True), numbers, (1, axis)), 0, axis)
    return np.ascontiguousarray(numbers, np.float32)
