"""Checkpoints of training: written atomically, verified when read, never unpickled."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from hwnas.errors import RunError

FORMAT = 1
KEPT = 2


def save(folder: Path, epoch: int, content: dict[str, Any]) -> Path:
    """Write `checkpoint-<epoch>.pt` under a temporary name, then rename it; the last two are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"checkpoint-{epoch:04d}.pt"
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save({"format": FORMAT, "epoch": epoch, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunError(
            f"the checkpoint of epoch {epoch} cannot be written ({error.strerror or error})",
            where=str(path),
            allowed="Earlier checkpoints are untouched",
            do="Free space or restore write access, then run the command again",
        ) from error
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
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
        if content["format"] != FORMAT:
            raise KeyError("format")
    except Exception as error:  # torch.load raises many kinds on damaged files
        earlier = [other for other in checkpoints(path.parent) if other.name < path.name]
        raise RunError(
            f"the checkpoint is damaged or not one of hwnas ({error})",
            where=str(path),
            allowed="A checkpoint is read whole or not at all",
            do=f"Delete {path.name} to go on from {earlier[-1].name}"
            if earlier
            else f"Delete {path.name} to train from the beginning",
        ) from error
    return content
