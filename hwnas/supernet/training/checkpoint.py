"""Checkpoints of training: written atomically, verified when read, never unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from hwnas.errors import RunError, reason
from hwnas.io.atomic import abandoned_parts
from hwnas.io.checkpoint_files import checkpoint_path, checkpoints
from hwnas.supernet.batchnorm import bad_statistics
from hwnas.supernet.torch_file import DamagedFile, read_torch, write_torch

CHECKPOINT_FORMAT = 1
KEPT_CHECKPOINTS = 2
CHECKPOINT_KEYS = {"format": int, "epoch": int, "identity": dict, "weights": dict, "optimizer": dict, "history": list}
"""Keys that a checkpoint must hold, and the types of their values."""


def save(folder: Path, epoch: int, content: dict[str, Any]) -> Path:
    """Write `checkpoint-<epoch>.pt`; keep the last two, none within the epoch, and no leftovers of a killed process."""
    path = _write(checkpoint_path(folder, epoch), epoch, content)
    for old in (*checkpoints(folder)[:-KEPT_CHECKPOINTS], *abandoned_parts(folder, unheld=True)):
        old.unlink(missing_ok=True)
    forget_within(folder)
    return path


def save_within(folder: Path, epoch: int, content: dict[str, Any]) -> None:
    """Write the one checkpoint within an epoch, replacing an earlier one."""
    _write(within(folder), epoch, content)


def within(folder: Path) -> Path:
    """Return the path of the checkpoint within an epoch, whether or not it exists."""
    return folder / "within.pt"


def forget_within(folder: Path) -> None:
    """Remove the checkpoint within an epoch: the epoch was ended, or led nowhere."""
    within(folder).unlink(missing_ok=True)


def _write(path: Path, epoch: int, content: dict[str, Any]) -> Path:
    try:
        write_torch(path, {"format": CHECKPOINT_FORMAT, "epoch": epoch, **content})
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"the checkpoint of epoch {epoch} cannot be written ({reason(error)})",
            where=str(path),
            allowed="Earlier checkpoints are untouched",
            do="Free space or restore write access, then run the command again",
        ) from error
    return path


def load(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, on the CPU.

    Raises:
        RunError: the file is damaged (its checksum is verified), or of another format.
    """
    try:
        return _checked(read_torch(path))
    except (OSError, DamagedFile) as error:
        raise unusable(path, f"the checkpoint is damaged or not one of hwnas ({reason(error)})") from error


def unusable(path: Path, met: str) -> RunError:
    """Return the error of a checkpoint that cannot be resumed from; it names the one that can be, without it."""
    others = [other for other in checkpoints(path.parent) if other != path]
    return RunError(
        met,
        where=str(path),
        allowed="A checkpoint is read whole or not at all",
        do=f"Delete {path.name} to go on from {others[-1].name}"
        if others
        else f"Delete {path.name} to train from the beginning",
    )


def _checked(content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise DamagedFile("it holds no fields by name")
    if lacking := [key for key in CHECKPOINT_KEYS if key not in content]:
        raise DamagedFile(f"it lacks {', '.join(lacking)}")
    if content["format"] != CHECKPOINT_FORMAT:
        raise DamagedFile(f"format {content['format']}, this version of hwnas reads {CHECKPOINT_FORMAT}")
    for key, kind in CHECKPOINT_KEYS.items():
        if not isinstance(content[key], kind):
            raise DamagedFile(f"its `{key}` is of another kind than one of hwnas")
    for key in ("weights", "average"):
        state = content.get(key, {})
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise DamagedFile(f"its `{key}` are no tensors by name")
        if (bad := bad_statistics(state)) is not None:
            raise DamagedFile(f"its `{key}` hold {bad}")
    return content
