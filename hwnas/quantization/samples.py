"""Samples to calibrate, to choose calibrators by, and to judge with; the three share none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError, reason
from hwnas.export.standalone.inputs import read_arrays

Array = NDArray[Any]

FEWEST_INPUTS, RANDOM_SAMPLES = 8, 32
MOST_CALIBRATION, MOST_CALIBRATION_VALUES = 64, 32_000_000
"""Samples that ranges are taken on, and their values in all: histograms keep the tensors of every operator."""


@dataclass(frozen=True, eq=False)
class FileSamples:
    """Inputs as a file takes them, without its batch."""

    calibration: Array
    choice: Array
    """By which a calibrator is chosen; empty if the samples are random."""
    judged: Array
    targets: Array | None
    """Of `judged`."""
    random: bool = False


def random_samples(shape: Sequence[int]) -> FileSamples:
    """Return seeded standard-normal samples: good for times, not for accuracies."""
    drawn = np.random.default_rng(0).standard_normal((RANDOM_SAMPLES, *shape[1:]), dtype=np.float32)
    return FileSamples(drawn[::2], drawn[:0], drawn[1::2], None, random=True)


def read_samples(path: Path, shape: Sequence[int]) -> FileSamples:
    """Read `inputs`, and `targets` if there are any, of an .npz archive.

    Half of the samples, drawn with a fixed seed, are judged; of the others, half calibrate, and the rest choose the
    calibrator.

    Raises:
        DataError: it cannot be read, or does not fit the file.
    """
    try:
        arrays = read_arrays(path)
    except (OSError, ValueError) as error:
        raise _fault(path, f"the data cannot be read ({reason(error)})") from error
    if "inputs" not in arrays:
        raise _fault(path, f"it holds {', '.join(arrays) or 'nothing'}, and no `inputs`")
    inputs, targets = arrays["inputs"], arrays.get("targets")
    wanted = tuple(shape[1:])
    if inputs.shape[1:] != wanted:
        raise _fault(path, f"`inputs` has samples of shape {inputs.shape[1:]}, the file takes {wanted}")
    if inputs.dtype.kind not in "fiub":
        raise _fault(path, f"`inputs` holds {inputs.dtype}")
    inputs = inputs.astype(np.float32)
    if not np.isfinite(inputs).all():
        raise _fault(path, "`inputs` holds values that are not finite")
    if len(inputs) < FEWEST_INPUTS:
        raise _fault(path, f"it has {len(inputs)} samples")
    if targets is not None and (targets.shape != (len(inputs),) or targets.dtype.kind not in "iu"):
        raise _fault(path, f"`targets` is {targets.dtype} of shape {targets.shape}, there are {len(inputs)} inputs")
    order = np.random.default_rng(0).permutation(len(inputs))  # in files, classes are sorted or take turns
    calibration, choice, judged = order[0::4], order[2::4], order[1::2]
    return FileSamples(
        inputs[calibration], inputs[choice], inputs[judged], None if targets is None else targets[judged]
    )


def calibration_batches(samples: FileSamples, batch: int) -> list[Array]:
    """Return the samples of the calibration in whole batches, the last one filled up from the first of them."""
    most = max(1, min(MOST_CALIBRATION, MOST_CALIBRATION_VALUES // max(1, samples.calibration[0].size * 64)))
    chosen = samples.calibration[:most]
    count = -(-len(chosen) // batch) * batch
    filled = chosen[np.arange(count) % len(chosen)]
    return [filled[start : start + batch] for start in range(0, count, batch)]


def _fault(path: Path, problem: str) -> DataError:
    return DataError(
        problem,
        where=str(path),
        allowed=f"It is an .npz archive of raw `inputs` (N, ...) as the file takes them, {FEWEST_INPUTS} or more, and "
        "`targets` (N), class indices, if there are any",
        do="Write it with numpy.savez(path, inputs=..., targets=...)",
    )
