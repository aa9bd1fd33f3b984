"""Interface of a runtime, and the code that all runtimes share. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Protocol

from hwnas.errors import ExportError, reason
from hwnas.runtimes.port import Port
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.port import Array, Arrays


class Loaded(Protocol):
    """A model file in its runtime, ready to run."""

    def run(self, inputs: Arrays) -> Any:
        """Outputs for any number of samples, channels second as PyTorch has them, whatever the file's layout.

        A file of one input takes an array, one of several a sequence of them; it gives an array, or of several outputs
        a tuple. Whole numbers such as token ids are of their own type; all others are float32, whatever numbers the
        file itself uses.

        Raises:
            ExportError: the file takes or gives integers and does not say what they stand for.
        """

    def invoke(self) -> None:
        """One inference on inputs that are already set, random and finite: the runtime's own work and nothing else."""


class Runtime(Protocol):
    """Runs model files on one set-up."""

    @property
    def setup(self) -> Setup:
        """Set-up that a timing taken here is valid for."""

    def load(self, path: Path) -> Loaded:
        """Read a model file.

        Raises:
            ExportError: the file is missing, damaged, or no model of the set-up's batch.
        """


def unreadable(path: Path, runtime: str, cause: object) -> ExportError:
    """The error of a model file that a runtime cannot take."""
    why = reason(cause) if isinstance(cause, Exception) else str(cause)
    return ExportError(
        f"{runtime} cannot load the file ({why})",
        where=str(path),
        allowed="A whole file of the set-up's batch is needed, its ends floats, whole numbers or 8-bit integers",
        do="Delete the file and run the same command again, which makes it anew",
    )


def check_batch(path: Path, setup: Setup, batch: Any) -> None:
    """Refuse a file that was made for another batch than the set-up's."""
    if batch != setup.batch:
        raise unreadable(path, setup.runtime, f"it takes batches of {batch}, the set-up is batch {setup.batch}")


def check_known(path: Path, given: Port, taken: Port) -> None:
    """Refuse to compute with integers that stand for unknown numbers; such a file can be timed, not evaluated."""
    if not (given.known and taken.known):
        raise ExportError(
            f"it takes {given.dtype} and gives {taken.dtype}, and does not say what the integers stand for",
            where=str(path),
            allowed="A file with integers at its ends must hold their scales, as those that hwnas writes do",
            do="Export the model with float inputs and outputs",
        )


def in_batches(inputs: Arrays, batch: int, infer: Callable[..., Any]) -> Any:
    """`infer`, which takes exactly `batch` samples, applied to any number of them; the last batch is filled up.

    It is called with an array for each input, and returns an array, or a tuple of them where there are several outputs.
    """
    import numpy as np

    arrays = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    count, outputs = len(arrays[0]), []
    if not count:
        raise ValueError("no inputs")
    for start in range(0, count, batch):
        kept = min(batch, count - start)
        got = infer(*(_filled(array[start : start + batch], batch) for array in arrays))
        outputs.append(tuple(each[:kept] for each in got) if isinstance(got, tuple) else got[:kept])
    if isinstance(outputs[0], tuple):
        return tuple(np.concatenate(parts) for parts in zip(*outputs))
    return np.concatenate(outputs)


def _filled(part: Array, batch: int) -> Array:
    """A contiguous batch, its last sample repeated where it is too short; floats in float32."""
    import numpy as np

    if len(part) < batch:
        part = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
    return np.ascontiguousarray(part, dtype=np.float32 if part.dtype.kind == "f" else part.dtype)
