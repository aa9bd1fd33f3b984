"""The 1,797 handwritten digits that come with scikit-learn: 8x8, grey. No download."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.data.facts import Raw
from hwnas.data.source import Pool, Source, Stored

SPREAD = 255 / 16


def read(base: Path) -> Source:
    """Read the digits as one pool; 17 grey levels are spread over a byte."""
    rows = _rows()
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 8, 8) * SPREAD).round().byte().unsqueeze(1)
    labels = torch.from_numpy(rows[:, -1]).long()
    raw = Raw(
        "grey",
        (0, 16),
        ({"step": "multiply", "by": SPREAD}, {"step": "round"}),
        "as `images` of sklearn.datasets.load_digits() has them",
    )
    return Source(tuple(map(str, range(10))), {"train": Pool(Stored(images), labels, "digits")}, raw)


def _rows() -> NDArray[np.float64]:
    """Return 64 grey levels and the digit of each image, without importing scikit-learn where its file is known: that
    takes longer than all else that reading does."""
    package = find_spec("sklearn")
    path = Path(package.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if package else None
    if path is not None and path.is_file():
        with gzip.open(path, "rt") as file:
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])
