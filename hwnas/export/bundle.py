"""A bundle: model files that were run, compared with PyTorch and timed, and a manifest that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from hwnas.errors import ExportError
from hwnas.tasks import DEFAULT_TASK, Batch, Estimate, Task
from hwnas.tasks.ends import Shape, call

Array = NDArray[np.float32]


class LoadedFile(Protocol):
    """A model file in its runtime; any of `hwnas.runtimes` fits."""

    def run(self, inputs: Any) -> Any:
        """Compute outputs for any number of samples; of several inputs or outputs a tuple of arrays."""


@dataclass(frozen=True)
class FirstOutput:
    """A file that gives features beside its output, as one that gives the output alone."""

    loaded: LoadedFile

    def run(self, inputs: Any) -> Any:
        """Compute the first output."""
        return self.loaded.run(inputs)[0]


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One exported file, and the results of running it on the test samples."""

    name: str
    format: str
    runtime: str = ""
    """Runtime that ran it; empty if none here runs its format, and then what is seen by running it is None."""
    bytes: int
    sha256: str
    batch: int
    """Samples of one call that is timed."""
    dynamic_batch: bool = False
    """True if a call may have any other number of samples."""
    precision: str
    """fp32, fp16, int8, or mixed: below fp32 a file is judged by its agreement."""
    max_difference: float | None = None
    """Largest absolute difference of any output from PyTorch's."""
    agreement: float | None = None
    """Share of the test samples on which file and PyTorch give the same answer, of images the same class."""
    test_quality: float | None = None
    """Quality of the file itself on the test samples."""
    latency_ms: float | None = None
    """A low quantile over rounds of one call, which is that of a whole batch."""
    latency_median_ms: float | None = None
    inputs: tuple[dict[str, object], ...]
    """As `hwnas.export.tensors` reads them from the file."""
    outputs: tuple[dict[str, object], ...]

    def as_dict(self, quality: str) -> dict[str, object]:
        """Return the manifest's entry; two keys are named by the task's quality, such as `test_top1`."""
        own = {"agreement": f"{quality}_agreement", "test_quality": f"test_{quality}"}
        return {own.get(name, name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Parity:
    """Comparison of a file's outputs with PyTorch's."""

    max_difference: float
    agreement: float
    quality: float


def outputs_of(module: nn.Module, inputs: Any, *, batch_size: int = 256) -> Any:
    """Return PyTorch's outputs for the inputs, on the CPU in eval mode; of images (N, C, H, W) logits (N, classes).

    Several inputs or outputs are a tuple of arrays.
    """
    module, tensors = module.cpu().eval(), tree_map(torch.from_numpy, inputs)
    count = len(tree_leaves(tensors)[0])
    with torch.no_grad():
        parts = [
            call(module, tree_map(lambda tensor, i=i: tensor[i : i + batch_size], tensors))
            for i in range(0, count, batch_size)
        ]
    return tree_map(lambda *pieces: torch.cat(pieces).numpy(), *parts)


def quality_of(task: Task, outputs: Any, batch: Batch) -> float:
    """Return the quality of outputs for a batch of arrays."""
    return metrics_of(task, outputs, batch)[task.quality.name].value


def metrics_of(task: Task, outputs: Any, batch: Batch) -> Mapping[str, Estimate]:
    """Return all metrics of outputs, in the user's unit, for a batch of arrays."""
    arrays = tree_map(torch.from_numpy, (outputs, *batch))
    return task.values(task.statistics(arrays[0], Batch(*arrays[1:])))


@dataclass(frozen=True)
class Criterion:
    """Requirement on a file. One that computes as PyTorch does may differ by rounding, `tolerance`; one of a lower
    precision differs visibly in its outputs, and what counts is that it gives the same answers."""

    tolerance: float | None = None
    """Largest allowed difference of an output."""
    agreement: float = 0.0
    """Least allowed share of samples on which file and PyTorch give the same answer, of images the same class."""


def compare(
    expected: Any,
    loaded: LoadedFile,
    batch: Batch,
    *,
    path: Path,
    criterion: Criterion,
    task: Task = DEFAULT_TASK,
    fed: Any = None,
) -> Parity:
    """Run a file on a batch of arrays and compare it with PyTorch's outputs; `fed` are its own inputs, if they are
    others than the network's.

    Raises:
        ExportError: the criterion is not met, outputs are not finite, or they have another shape.
    """
    got, terms = loaded.run(batch.inputs if fed is None else fed), task.terms
    own, wanted = ([array.shape for array in tree_leaves(arrays)] for arrays in (got, expected))
    if own != wanted:
        raise ExportError(
            f"it gives outputs of shape {_spelled(own)}, PyTorch gives {_spelled(wanted)}",
            where=str(path),
            allowed=f"A file gives one row of {terms.outputs} for each {terms.sample}",
            do="Look at the last operators of the network",
        )
    agreement = task.agreement(expected, got)
    limit = np.finfo(np.float32).max if criterion.tolerance is None else criterion.tolerance
    if not agreement.max_difference <= limit * agreement.scale:
        of = "" if agreement.scale == 1 else f" of their scale, {agreement.scale:.3g}"
        raise ExportError(
            f"its {terms.outputs} differ from PyTorch's by up to {agreement.max_difference:.3g}",
            where=str(path),
            allowed=f"A shipped file agrees within {limit:g}{of}",
            do="Look at the operators that the converter replaced, or raise `export.tolerance` knowingly",
        )
    quality = quality_of(task, got, batch)
    if agreement.share < criterion.agreement:
        now, before = (task.quality_text(value) for value in (quality, quality_of(task, expected, batch)))
        raise ExportError(
            f"it {terms.same} on {agreement.share:.1%} of the {terms.compared or terms.samples} "
            f"({task.quality.label} {now}, PyTorch's {before})",
            where=str(path),
            allowed=f"A shipped file of a lower precision agrees on at least {criterion.agreement:.1%}",
            do="Raise `export.calibration_samples`, ship the tier in fp32, or lower `export.agreement` knowingly",
        )
    return Parity(agreement.max_difference, agreement.share, quality)


def _spelled(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))


def write_model(module: nn.Module, shape: Shape, path: Path, export: Callable[[nn.Module, Shape, Path], Path]) -> Path:
    """Export on the CPU, whatever device the module was scored on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return export(module.cpu().eval(), shape, path)
