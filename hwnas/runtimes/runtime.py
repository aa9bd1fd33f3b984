"""What a runtime is, and what all runtimes share. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Protocol

from hwnas.errors import ConfigError, ExportError
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

PRECISIONS = ("fp32",)


class Loaded(Protocol):
    """A model file in its runtime, ready to run."""

    def run(self, images: Array) -> Array:
        """Outputs for any number of inputs, (N, C, H, W) in and, of 4-D outputs, out, whatever the file's layout."""

    def invoke(self) -> None:
        """One inference on inputs that are already set, random and finite: the runtime's own work and nothing else."""


class Runtime(Protocol):
    """Runs the model files that end in `suffix`, on one set-up."""

    @property
    def setup(self) -> Setup:
        """What a timing taken here is valid for."""

    @property
    def suffix(self) -> str:
        """How its model files end, `.onnx` or `.tflite`."""

    def load(self, path: Path) -> Loaded:
        """Read a model file.

        Raises:
            ExportError: the file is missing, damaged, or no float32 model of the set-up's batch.
        """


def checked_setup(setup: Setup) -> Setup:
    """The set-up itself, if the runtimes offer it.

    Raises:
        ConfigError: a precision that is not offered, or less than one thread or image.
    """
    if setup.precision not in PRECISIONS:
        raise ConfigError(
            f"precision `{setup.precision}` is not offered by `{setup.runtime}`",
            where="set-up",
            allowed=f"Known: {', '.join(PRECISIONS)}",
            do="Set `precision: fp32`",
        )
    for name, value in (("threads", setup.threads), ("batch", setup.batch)):
        if value < 1:
            raise ConfigError(
                f"`{name}: {value}`",
                where="set-up",
                allowed=f"`{name}` is a whole number from 1 on",
                do=f"Correct `{name}`",
            )
    return setup


def unreadable(path: Path, runtime: str, cause: object) -> ExportError:
    """The error of a model file that a runtime cannot take."""
    lines = str(cause).strip().splitlines()
    return ExportError(
        f"{runtime} cannot load the file ({lines[0] if lines else type(cause).__name__})",
        where=str(path),
        allowed="A whole model file with one float32 input, one output and the set-up's batch is needed",
        do="Delete the file and run the same command again, which makes it anew",
    )


def check_batch(path: Path, setup: Setup, batch: Any) -> None:
    """Refuse a file that was made for another batch than the set-up's."""
    if batch != setup.batch:
        raise unreadable(path, setup.runtime, f"it takes batches of {batch}, the set-up is batch {setup.batch}")


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
    import numpy as np

    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
