"""Steps from a raw input to a network's, as `preprocessing.steps` of a manifest lists them. Python 3.9 syntax."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from hwnas.export.standalone.images import fitted
from hwnas.export.standalone.resampling import resampling

Array = NDArray[Any]
Step = Mapping[str, Any]

POWER_FLOOR = 1e-6


def prepared(inputs: Array, steps: Sequence[Step]) -> Array:
    """Return inputs (N, C, ...) as a network takes them, in float32; whole numbers that no step changes as they are.

    Raises:
        ValueError: a step is unknown, or does not fit the inputs.

    Example:
        >>> steps = [{"step": "divide", "by": 255}, {"step": "normalise", "mean": [0.5], "std": [0.5]}]
        >>> prepared(np.array([[[0, 255]]], np.uint8), steps).tolist()
        [[[-1.0, 1.0]]]
    """
    for step in steps:
        if step["step"] not in STEP_FUNCTIONS:
            raise ValueError(f"the step `{step['step']}` is unknown to this program")
        with np.errstate(all="ignore"):  # a constant channel, a pixel beyond its range
            inputs = STEP_FUNCTIONS[step["step"]](inputs, step)
    return inputs.astype(np.float32) if inputs.dtype.kind == "f" else inputs


def raw_steps(facts: Mapping[str, Any]) -> int:
    """Return the number of steps that make samples of a data set of raw ones; the rest scales and normalises them."""
    names = [step["step"] for step in facts["steps"]]
    end = len(names) - names[::-1].index("normalise") - 1 if "normalise" in names else len(names)
    return end - 1 if facts["divide_by"] != 1 and end and names[end - 1] == "divide" else end


def _as_is(inputs: Array, step: Step) -> Array:
    return inputs  # files were decoded when they were read


def _fit(inputs: Array, step: Step) -> Array:
    if inputs.ndim != 4 or inputs.dtype != np.uint8:
        raise ValueError(f"images are bytes (channels, height, width), these are {inputs.dtype} {inputs.shape[1:]}")
    return fitted(inputs, tuple(step["size"]))


def _crop(inputs: Array, step: Step) -> Array:
    height, width = inputs.shape[2:]
    high, wide = step.get("size", [min(height, width)] * 2)
    top, left = (height - high) // 2, (width - wide) // 2
    return inputs[:, :, top : top + high, left : left + wide]


def _resize(inputs: Array, step: Step) -> Array:
    numbers = inputs.astype(np.float32)
    for axis, size in enumerate(step["size"], 2):
        if numbers.shape[axis] != size:
            weights = resampling(numbers.shape[axis], size, smooth=True)
            numbers = np.moveaxis(np.tensordot(weights, numbers, (1, axis)), 0, axis)
    return numbers


def _window(inputs: Array, step: Step) -> Array:
    """Return all windows of recordings (N, C, rows) that are longer than one."""
    length, every = int(step["length"]), int(step.get("every", step["length"]))
    if inputs.ndim != 3 or inputs.shape[2] < length:
        raise ValueError(f"a recording has {length} rows or more, this one is of shape {inputs.shape[1:]}")
    starts = range(0, inputs.shape[2] - length + 1, every)
    return np.concatenate([inputs[:, :, start : start + length] for start in starts])


def _length(inputs: Array, step: Step) -> Array:
    cut = inputs[:, :, : step["length"]]
    lacking = step["length"] - cut.shape[2]
    if not lacking:
        return cut
    if not cut.shape[2]:
        raise ValueError("the signal is empty")
    value = np.full_like(cut[:, :, -1:], step["with"]) if "with" in step else cut[:, :, -1:]
    return np.concatenate([cut, np.repeat(value, lacking, axis=2)], axis=2)


def _log_mel(inputs: Array, step: Step) -> Array:
    rate, mels = step["rate"], step["mels"]
    window, hop = (round(rate * step[name] / 1000) for name in ("window_ms", "hop_ms"))
    if inputs.ndim != 3 or inputs.shape[2] < window:
        raise ValueError(f"sounds have {window} samples or more, these are of shape {inputs.shape[1:]}")
    frames = np.lib.stride_tricks.sliding_window_view(inputs.astype(np.float64), window, axis=2)[:, :, ::hop]
    hann = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(window) / window)
    power = np.square(np.abs(np.fft.rfft(frames * hann, axis=3)))
    return np.log(power @ _bands(rate, window, mels, step["low_hz"], step["high_hz"] or rate / 2) + POWER_FLOOR)


def _bands(rate: int, window: int, mels: int, low_hz: float, high_hz: float) -> Array:
    """Return (lines, mels): triangles whose corners are equally far apart on the mel scale of HTK."""
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (low_hz, high_hz))
    corners = 700 * (10 ** (np.linspace(low, high, mels + 2) / 2595) - 1)
    lines = np.arange(window // 2 + 1)[:, None] * (rate / window)
    rising = (lines - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - lines) / (corners[2:] - corners[1:-1])
    return np.maximum(np.minimum(rising, falling), 0)


def _normalise(inputs: Array, step: Step) -> Array:
    axes = (-1, *(1,) * (inputs.ndim - 2))
    mean, std = (np.asarray(step[name], np.float32).reshape(axes) for name in ("mean", "std"))
    return (inputs.astype(np.float32) - mean) / std


STEP_FUNCTIONS: dict[str, Callable[[Array, Step], Array]] = {
    "decode": _as_is,
    "fit": _fit,
    "crop": _crop,
    "resize": _resize,
    "round": lambda inputs, step: np.rint(inputs),
    "window": _window,
    "length": _length,
    "log_mel": _log_mel,
    "multiply": lambda inputs, step: inputs.astype(np.float32) * np.float32(step["by"]),
    "divide": lambda inputs, step: inputs.astype(np.float32) / np.float32(step["by"]),
    "subtract": lambda inputs, step: inputs.astype(np.float32) - np.float32(step["by"]),
    "normalise": _normalise,
}
"""Steps by name; docs/reference/manifest.md of hwnas describes them."""
