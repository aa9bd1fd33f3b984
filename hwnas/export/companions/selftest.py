"""The self-test of a bundle: raw inputs, and the outputs that each of its files gave when it was exported."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils._pytree import tree_leaves

from hwnas.io.atomic import write_file

Array = NDArray[Any]

SELF_TEST = "selftest.npz"
TOLERANCES: Mapping[str, float] = {"fp32": 1e-4, "fp16": 0.02, "int8": 0.05}
"""By precision, the largest difference of an output on another machine or of another version of a runtime, as a share
of the largest output: kernels of lower precisions round otherwise, layer by layer."""


class SelfTest:
    """Raw inputs of some samples with the outputs of files.

    Args:
        inputs: (N, ...) by name, as they are before the steps that are left.
        steps_done: number of steps of the preprocessing that were done before, such as decoding.
    """

    def __init__(self, inputs: Mapping[str, Array], steps_done: int) -> None:
        names = ["inputs"] if len(inputs) == 1 else [f"input:{name}" for name in inputs]
        self.arrays: dict[str, Array] = dict(zip(names, inputs.values(), strict=True))
        self.samples, self.steps_done = len(next(iter(inputs.values()))), steps_done

    @property
    def entry(self) -> dict[str, Any]:
        """Entry of a manifest."""
        return {"file": SELF_TEST, "samples": self.samples, "steps_done": self.steps_done}

    def add(self, file: str, outputs: Any, precision: str) -> None:
        """Add what a file gives for the first samples; of several outputs, each by its number."""
        parts = [np.asarray(output)[: self.samples] for output in tree_leaves(outputs)]
        keys = [f"outputs:{file}"] if len(parts) == 1 else [f"outputs:{file}:{number}" for number in range(len(parts))]
        self.arrays.update(zip(keys, parts, strict=True))
        largest = max(float(np.abs(part).max(initial=0.0)) for part in parts)
        self.arrays[f"tolerance:{file}"] = np.array(TOLERANCES[precision] * max(largest, 1e-3))

    def write(self, folder: Path) -> None:
        """Write it into a folder.

        Raises:
            RunError: it cannot be written.
        """
        content = io.BytesIO()
        np.savez_compressed(content, **self.arrays)  # type: ignore[arg-type]  # `allow_pickle` is no array of these
        write_file(folder / SELF_TEST, content.getvalue(), what="self-test")
