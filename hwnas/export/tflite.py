"""PyTorch -> TFLite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from hwnas.export.draft import drafted
from hwnas.lookup import optional
from hwnas.ops import Shape


def export_tflite(module: nn.Module, input_shape: Shape, path: Path, *, batch: int = 1) -> Path:
    """Write the module as a TFLite file of a fixed batch and return its path; 4-D inputs and outputs are channel-last.

    Activations stay channel-last all through, so an operator that is timed alone carries no transposes.

    Raises:
        ExportError: the module cannot be converted, or the file cannot be written.
        MissingExtra: litert-torch is not installed.
    """
    with drafted(module, path, to="TFLite") as draft, _silent_litert() as litert:
        images = torch.zeros(batch, *input_shape)
        outputs = module(images)
        channel_last = litert.to_channel_last_io(
            module, args=[0] if images.ndim == 4 else [], outputs=[0] if outputs.ndim == 4 else []
        )
        given = images.permute(0, 2, 3, 1).contiguous() if images.ndim == 4 else images
        litert.convert(channel_last.eval(), (given,)).export(str(draft))
    return path


@contextlib.contextmanager
def _silent_litert() -> Iterator[ModuleType]:
    """litert-torch without its progress lines."""
    litert = optional("litert_torch", extra="convert", why="exporting to TFLite")
    shown = litert.config.show_progress
    litert.config.show_progress = False
    try:
        yield litert
    finally:
        litert.config.show_progress = shown
