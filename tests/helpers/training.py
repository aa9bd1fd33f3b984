"""A small space, data and a recipe to train with, and what a training leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hwnas.data import Dataset, load_data
from hwnas.space import parse_space
from hwnas.supernet import Recipe
from hwnas.supernet.training import checkpoint

RAW: dict[str, Any] = {
    "name": "tiny",
    "input": {"channels": 1, "resolution": 8},
    "classes": 10,
    "stages": [
        {"name": "stem", "op": "conv", "stride": 2, "width": [8, 16]},
        {"name": "s1", "op": "mbconv", "width": 16, "depth": [1, 2], "kernel": [3, 5], "expand": 1},
        {"name": "head", "op": "classifier", "dropout": 0.2},
    ],
}
SPACE = parse_space(RAW, where="tiny.yaml")
RECIPE = Recipe(epochs=3, batch_size=32, learning_rate=0.1, augment="shift", calibration_batches=2)


def small_data() -> Dataset:
    return load_data({"name": "digits", "limit": 200}, seed=0).without_test()


def weights(folder: Path) -> dict[str, Any]:
    """All that the last checkpoint holds, but how long the epochs took."""
    content = checkpoint.load(checkpoint.checkpoints(folder)[-1])
    return {**content, "history": [{**epoch, "seconds": 0} for epoch in content["history"]]}


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other
