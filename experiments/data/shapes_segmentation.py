"""Clothes of Fashion-MNIST drawn on grey canvases, with the class of each pixel: 48x48, background and four classes.

The items are real images (Debian's dataset-fashion-mnist); the scenes are drawn: one to four items of random size,
place and mirroring, later ones before earlier ones, on a background of smooth light and noise. Test scenes are made of
Fashion-MNIST's test images, the others of its training images, none of which is in two splits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from hwnas.data.cache import Arrays, cached_arrays
from hwnas.data.readers.idx import read

CLASSES = ("background", "garment", "trousers", "footwear", "bag")
CLASS_OF_LABEL = np.array([1, 2, 1, 1, 1, 3, 1, 3, 4, 3])
"""Class of each of Fashion-MNIST's ten labels."""
FOLDER, PACKAGE = "/usr/share/datasets/fashion-mnist", "apt-get install dataset-fashion-mnist"
SIDE = 48
SCENES = {"train": 6000, "validation": 1000, "test": 1000}
INK = 24
"""Grey level, of 255, from which a pixel of an item belongs to it."""
SEED = 0
VERSION = 1
"""Goes up when the scenes change, so that those of an earlier version are not taken from the cache."""


def load() -> dict[str, Any]:
    """Return scenes (N, 1, 48, 48) in bytes and classes (N, 48, 48) of each split."""
    arrays = cached_arrays("shapes_segmentation", {"version": VERSION, "scenes": SCENES}, lambda: make(SCENES))
    pairs = {split: (arrays[f"x_{split}"], arrays[f"y_{split}"].astype(np.int64)) for split in SCENES}
    return {**pairs, "class_names": CLASSES}


def make(scenes: dict[str, int]) -> Arrays:
    """Return `x_SPLIT` and `y_SPLIT` for so many scenes of each split."""
    pools = read(Path(), path=FOLDER, package=PACKAGE).pools
    train, test = pools["train"], pools["test"]
    cut = len(train.targets) * 5 // 6
    items = {
        "train": (train, np.arange(cut)),
        "validation": (train, np.arange(cut, len(train.targets))),
        "test": (test, np.arange(len(test.targets))),
    }
    arrays = Arrays()
    for number, (split, count) in enumerate(scenes.items()):
        pool, rows = items[split]
        images = pool.inputs.take(torch.arange(len(pool.inputs)))[:, 0].numpy()
        drawn = _scenes(images, pool.targets.numpy(), rows, count, np.random.default_rng([SEED, number]))
        arrays[f"x_{split}"], arrays[f"y_{split}"] = drawn
    return arrays


def _scenes(
    images: NDArray[Any], labels: NDArray[Any], rows: NDArray[Any], count: int, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    canvases = _backgrounds(count, rng)
    classes = np.zeros((count, SIDE, SIDE), np.uint8)
    for canvas, where in zip(canvases, classes, strict=True):
        for row in rng.choice(rows, int(rng.integers(1, 5))):
            size = int(rng.integers(16, 33))
            item = _resized(images[row], size)[:, :: int(rng.choice([-1, 1]))]
            _place(canvas, where, item, int(CLASS_OF_LABEL[labels[row]]), rng)
    return canvases.clip(0, 255).astype(np.uint8)[:, None], classes


def _backgrounds(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return canvases whose light falls off to one side, with noise of a level of their own."""
    light, slope = rng.uniform(20, 140, (count, 1, 1)), rng.uniform(-40, 40, (2, count, 1, 1))
    ramp = np.linspace(-1, 1, SIDE)
    smooth = light + slope[0] * ramp[:, None] + slope[1] * ramp
    noise = rng.standard_normal((count, SIDE, SIDE)) * rng.uniform(2, 20, (count, 1, 1))
    return (smooth + noise).astype(np.float32)


def _resized(image: NDArray[Any], size: int) -> NDArray[np.float32]:
    scaled = interpolate(torch.from_numpy(image)[None, None].float(), (size, size), mode="bilinear", antialias=True)
    return scaled[0, 0].numpy()


def _place(
    canvas: NDArray[np.float32], classes: NDArray[Any], item: NDArray[np.float32], label: int, rng: np.random.Generator
) -> None:
    """Draw an item at a random place, an eighth of it at most outside the canvas."""
    size = len(item)
    over = size // 8
    top, left = (int(start) for start in rng.integers(-over, SIDE - size + over + 1, 2))
    rows, columns = (slice(max(0, start), min(SIDE, start + size)) for start in (top, left))
    visible = item[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    ink = visible >= INK
    canvas[rows, columns][ink] = visible[ink]
    classes[rows, columns][ink] = label
