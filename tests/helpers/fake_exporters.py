"""Exporters that other processes can import: they write a module's weights, and show where they ran."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

from hwnas.errors import ExportError, MissingExtra
from hwnas.latency.building.model_files import ModelFile
from hwnas.ops import Shape
from hwnas.ops.conv import Conv
from hwnas.runtimes import Setup


def weights(module: nn.Module, input_shape: Shape, path: Path, *, log: Path) -> Path:
    """Leaves an empty file PID.WIDTH in `log`. A width of 13 is refused, 17 kills the process, 19 lacks a
    package, 23 meets a full disk."""
    assert not module.training
    width = input_shape[0]
    if width == 13:
        raise ExportError("no such operation", where="here", allowed="Others are", do="Change it")
    if width == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    if width == 19:
        raise MissingExtra("not there", where="here", allowed="It comes with an extra", do="Install it")
    if width == 23:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_bytes(b"".join(tensor.numpy().tobytes() for tensor in module.state_dict().values()))
    draft.replace(path)
    (log / f"{os.getpid()}.{width}").touch()
    return path


def endless(module: nn.Module, input_shape: Shape, path: Path, *, log: Path) -> Path:
    """Quick for the first widths, then as long as the test allows."""
    (log / f"{os.getpid()}.{input_shape[0]}").touch()
    if input_shape[0] > 2:
        time.sleep(60)
    return weights(module, input_shape, path, log=log)


def threads(module: nn.Module, input_shape: Shape, path: Path) -> Path:
    """Writes how many threads PyTorch uses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(torch.get_num_threads()))
    return path


SETUP = Setup("my board", "fake", "1")


def targets(*widths: int) -> list[ModelFile]:
    return [ModelFile(f"conv of {width}", Conv(width, 4).module, (width, 4, 4)) for width in widths]
