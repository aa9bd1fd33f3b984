"""The 1,797 handwritten digits that come with scikit-learn: 8x8, grey. No download."""

from __future__ import annotations

from pathlib import Path

import torch

from hwnas.data.facts import Raw
from hwnas.data.source import Pool, Source, Stored

SPREAD = 255 / 16


def read(base: Path) -> Source:
    """Read the digits as one pool; 17 grey levels are spread over a byte."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images * SPREAD).round().byte().unsqueeze(1)
    labels = torch.from_numpy(digits.target).long()
    raw = Raw(
        "grey",
        (0, 16),
        ({"step": "multiply", "by": SPREAD}, {"step": "round"}),
        "as `images` of sklearn.datasets.load_digits() has them",
    )
    return Source(tuple(map(str, range(10))), {"train": Pool(Stored(images), labels, "digits")}, raw)
