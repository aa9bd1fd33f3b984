"""Names of the checkpoints in a folder of training, known without PyTorch."""

from __future__ import annotations

from pathlib import Path

CHECKPOINTS = "checkpoint-*.pt"
"""Pattern of the checkpoints at the ends of epochs."""


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints at the ends of epochs, oldest first."""
    return sorted(folder.glob(CHECKPOINTS))


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """Return the path of the checkpoint at the end of an epoch, whether or not it exists."""
    return folder / f"checkpoint-{epoch:04d}.pt"


def epoch_of(path: Path) -> int:
    """Return the epoch at whose end a checkpoint was written.

    >>> epoch_of(checkpoint_path(Path("train"), 7))
    7
    """
    return int(path.stem.rpartition("-")[2])
