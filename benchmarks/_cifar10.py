"""Some of the images of CIFAR-10, in arrays of bytes that need no decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data import load_data


def some_images(file: Path, *, train: int, test: int, side: int = 32) -> dict[str, Any]:
    """Return the data set of so many images of the usual splits, and a tenth as many to validate on; `file` keeps it.

    Images are normalised by the numbers of the whole training split.
    """
    if not file.exists():
        data = load_data({"name": "cifar10", "resolution": side}, seed=0)
        arrays: dict[str, Any] = {"class_names": np.array(data.class_names)}
        for name, split, count in (
            ("train", data.train, train),
            ("validation", data.validation, train // 10),
            ("test", data.test, test),
        ):
            some = split.first(count)
            arrays |= {f"x_{name}": some.inputs.take(some.indices).numpy(), f"y_{name}": some.targets.numpy()}
        for name in ("mean", "std"):
            np.savetxt(file.with_suffix(f".{name}"), getattr(data.train, name).flatten().numpy())
        np.savez(file, **arrays)
    moments = {name: np.loadtxt(file.with_suffix(f".{name}")).tolist() for name in ("mean", "std")}
    return {"name": "arrays", "path": str(file), **moments}
