"""Checkpoints of training: written atomically, verified when read, never unpickled."""

from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from hwnas.errors import RunError, reason

FORMAT = 1
KEPT = 2
KEYS = ("format", "epoch", "identity", "weights", "optimizer", "history")


def save(folder: Path, epoch: int, content: dict[str, Any]) -> Path:
    """Write `checkpoint-<epoch>.pt`; the last two are kept, and none within the epoch."""
    path = _write(folder / f"checkpoint-{epoch:04d}.pt", epoch, content)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    forget_within(folder)
    return path


def save_within(folder: Path, epoch: int, content: dict[str, Any]) -> None:
    """Write the one checkpoint within an epoch, in the place of an earlier one."""
    _write(within(folder), epoch, content)


def within(folder: Path) -> Path:
    """Where the checkpoint within an epoch stands, if there is one."""
    return folder / "within.pt"


def forget_within(folder: Path) -> None:
    """Remove the checkpoint within an epoch: the epoch was ended, or led nowhere."""
    within(folder).unlink(missing_ok=True)


def _write(path: Path, epoch: int, content: dict[str, Any]) -> Path:
    """Write a checkpoint under a temporary name, then rename it."""
    folder = path.parent
    part = path.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save({"format": FORMAT, "epoch": epoch, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch covers what the disk said with an error of its own
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise RunError(
            f"the checkpoint of epoch {epoch} cannot be written ({reason(cause)})",
            where=str(path),
            allowed="Earlier checkpoints are untouched",
            do="Free space or restore write access, then run the command again",
        ) from error
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints at the ends of epochs, oldest first."""
    return sorted(folder.glob("checkpoint-*.pt"))


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises:
        RunError: the file is damaged (its checksums are verified), or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"checksum of {damaged}")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if lacking := [key for key in KEYS if key not in content]:
            raise ValueError(f"it lacks {', '.join(lacking)}")
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, this version of hwnas reads {FORMAT}")
    except Exception as error:  # torch.load raises many kinds on damaged files
        earlier = [other for other in checkpoints(path.parent) if other.name < path.name]
        raise RunError(
            f"the checkpoint is damaged or not one of hwnas ({reason(error)})",
            where=str(path),
            allowed="A checkpoint is read whole or not at all",
            do=f"Delete {path.name} to go on from {earlier[-1].name}"
            if earlier
            else f"Delete {path.name} to train from the beginning",
        ) from error
    return content


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip("'").splitlines()), "")
