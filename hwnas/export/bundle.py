"""A bundle: model files that were run, compared with PyTorch and timed, and a manifest that says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwnas.errors import ExportError

Images = NDArray[np.float32]


class Loaded(Protocol):
    """A model file in its runtime; any of `hwnas.runtimes` fits."""

    def run(self, images: Images) -> Images:
        """Compute (N, classes) of (N, C, H, W)."""


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One exported file, and the results of running it on the test images."""

    name: str
    format: str
    runtime: str = ""
    """Runtime that ran it; empty if none here runs its format, and then what is seen by running it is None."""
    bytes: int
    sha256: str
    batch: int
    precision: str
    """fp32, fp16 or int8; below fp32 a file is judged by its agreement."""
    max_difference: float | None = None
    """Largest absolute difference of any logit from PyTorch's."""
    top1_agreement: float | None = None
    """Share of the test images on which file and PyTorch name the same class."""
    test_top1: float | None = None
    """Accuracy of the file itself on the test images."""
    latency_ms: float | None = None
    """A low quantile over rounds of one call, which is that of a whole batch."""
    latency_median_ms: float | None = None
    inputs: tuple[dict[str, object], ...]
    """As `hwnas.export.tensors` reads them from the file."""
    outputs: tuple[dict[str, object], ...]


@dataclass(frozen=True)
class Parity:
    """Comparison of a file's outputs with PyTorch's."""

    max_difference: float
    top1_agreement: float
    top1: float


def logits_of(module: nn.Module, images: Images, *, batch_size: int = 256) -> Images:
    """Return PyTorch's logits for the images, on the CPU in eval mode. Shapes: (N, C, H, W) to (N, classes)."""
    module = module.cpu().eval()
    with torch.no_grad():
        parts = [module(torch.from_numpy(images[i : i + batch_size])) for i in range(0, len(images), batch_size)]
    out: Images = torch.cat(parts).numpy()
    return out


@dataclass(frozen=True)
class Criterion:
    """Requirement on a file. One that computes as PyTorch does may differ by rounding, `tolerance`; one of a lower
    precision differs visibly in its logits, and what counts is that it names the same classes."""

    tolerance: float | None = None
    """Largest allowed difference of a logit."""
    agreement: float = 0.0
    """Least allowed share of images on which file and PyTorch name the same class."""


def compare(
    expected: Images, loaded: Loaded, images: Images, labels: NDArray[np.int64], *, path: Path, criterion: Criterion
) -> Parity:
    """Run a file on the images and compare it with PyTorch's logits.

    Raises:
        ExportError: the criterion is not met, logits are not finite, or the outputs have another shape.
    """
    got = loaded.run(images)
    if got.shape != expected.shape:
        raise ExportError(
            f"it gives outputs of shape {got.shape}, PyTorch gives {expected.shape}",
            where=str(path),
            allowed="A file gives one row of logits for each image",
            do="Look at the last operators of the network",
        )
    difference = float(np.abs(got - expected).max())
    limit = np.finfo(np.float32).max if criterion.tolerance is None else criterion.tolerance
    if not difference <= limit:
        raise ExportError(
            f"its logits differ from PyTorch's by up to {difference:.3g}",
            where=str(path),
            allowed=f"A shipped file agrees within {limit:g}",
            do="Look at the operators that the converter replaced, or raise `export.tolerance` knowingly",
        )
    agreement = float((got.argmax(1) == expected.argmax(1)).mean())
    top1 = float((got.argmax(1) == labels).mean())
    if agreement < criterion.agreement:
        before = float((expected.argmax(1) == labels).mean())
        raise ExportError(
            f"it names PyTorch's class on {agreement:.1%} of the images (accuracy {top1:.1%}, PyTorch's {before:.1%})",
            where=str(path),
            allowed=f"A shipped file of a lower precision agrees on at least {criterion.agreement:.1%}",
            do="Raise `export.calibration_images`, ship the tier in fp32, or lower `export.agreement` knowingly",
        )
    return Parity(difference, agreement, top1)


def write_model(
    module: nn.Module, shape: tuple[int, ...], path: Path, export: Callable[[nn.Module, tuple[int, ...], Path], Path]
) -> Path:
    """Export on the CPU, whatever device the module was scored on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return export(module.cpu().eval(), shape, path)
