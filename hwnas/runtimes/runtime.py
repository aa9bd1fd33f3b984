"""Interface of a runtime, and the code that all runtimes share. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Protocol

from hwnas.errors import ExportError, reason
from hwnas.runtimes.port import Port
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.port import Array


class Loaded(Protocol):
    """A model file in its runtime, ready to run."""

    def run(self, images: Array) -> Array:
        """Outputs for any number of inputs, channels second as PyTorch has them, whatever the file's layout.

        Both are float32, whatever numbers the file itself uses.

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
            ExportError: the file is missing, damaged, or no model of the set-up's batch with one input and one output.
        """


def unreadable(path: Path, runtime: str, cause: object) -> ExportError:
    """The error of a model file that a runtime cannot take."""
    why = reason(cause) if isinstance(cause, Exception) else str(cause)
    return ExportError(
        f"{runtime} cannot load the file ({why})",
        where=str(path),
        allowed="A whole file of the set-up's batch is needed, with one input and one output, floats or 8-bit integers",
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


def in_batches(images: Array, batch: int, infer: Callable[[Array], Array]) -> Array:
    """`infer`, which takes exactly `batch` images, applied to any number of them; the last batch is filled up."""
    import numpy as np

    if not len(images):
        raise ValueError("no images")
    outputs = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        filled = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)]) if len(part) < batch else part
        outputs.append(infer(np.ascontiguousarray(filled, dtype=np.float32))[: len(part)])
    return np.concatenate(outputs)


def random_images(shape: tuple[int, ...]) -> Array:
    """Standard normal numbers, the same for the same shape: finite, and free of the zeros that kernels may skip."""
    images: Array = Port("float32").random(shape)
    return images
