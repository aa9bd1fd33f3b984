"""Published supernets without their files: the layout of a project's state dictionary, filled by numbers of its names.

The layouts and the logits in tests/golden/published were made by the projects' own code, see
benchmarks/published_supernets.py, which fills its networks by the same function.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwnas.io.resources import shipped_folder
from hwnas.io.yaml import read_yaml
from hwnas.space import Space, parse_space

GOLDEN = Path(__file__).parent.parent / "golden" / "published"
CLASSES, IMAGES = 10, 8
RESOLUTIONS = {"autoformer_tiny": 32}
"""Pixels of the images of a case, where they are not 64."""


def state_of(layout: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A state with these names and shapes; every tensor is fixed by its name, so that none equals another."""
    return {name: _filled(name, tuple(shape)) for name, shape in layout.items()}


def _filled(name: str, shape: tuple[int, ...]) -> Tensor:
    end = name.rpartition(".")[2]
    if end in ("num_batches_tracked", "running_mean"):
        return torch.zeros(shape, dtype=torch.int64 if end == "num_batches_tracked" else torch.float32)
    if end == "running_var":
        return torch.ones(shape)
    drawn = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(shape, np.float32)
    values: Tensor = torch.from_numpy(2 * drawn - 1)
    if end.endswith("_matrix"):
        return torch.eye(shape[0]) + 0.2 * values / shape[0] ** 0.5
    if len(shape) == 1:
        return 1 + 0.5 * values if end == "weight" else 0.2 * values
    return values * math.sqrt(6 / math.prod(shape[1:])) if shape[0] > 1 else 0.5 * values


def images(resolution: int, seed: int) -> Tensor:
    """Images that are the same everywhere."""
    drawn = np.random.Generator(np.random.PCG64(seed)).random((IMAGES, 3, resolution, resolution), np.float32)
    return torch.from_numpy(3.4 * drawn - 1.7)


def small_space(name: str) -> Space:
    """A shipped space for small images and few classes; nothing else is changed."""
    return parse_space(small_space_text(name), where=name)


def small_space_text(name: str) -> dict[str, Any]:
    """The same, as it stands in a file."""
    raw: dict[str, Any] = read_yaml(shipped_folder("search_spaces") / f"{name}.yaml")
    resolution = RESOLUTIONS.get(name, 64)
    raw["input"]["resolution"], raw["classes"] = resolution, CLASSES
    for stage in raw["stages"]:
        if "grid" in stage:
            stage["grid"] = resolution // 16
    return raw


def golden(name: str) -> dict[str, Any]:
    """The layout of a project's state for a small space, and cases: architectures with their logits."""
    content: dict[str, Any] = json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))
    return content
