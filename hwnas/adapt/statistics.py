"""Distributions of validation samples, as a bundle holds them, and the files that go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from hwnas.adapt import board
from hwnas.adapt.board.adapt import save_head
from hwnas.adapt.board.drift import reference, sample_numbers
from hwnas.adapt.head import head_of
from hwnas.data import Split
from hwnas.export.bundle import outputs_of
from hwnas.export.companions.program import program
from hwnas.io.atomic import write_file
from hwnas.network import Network
from hwnas.tasks.ends import is_plain

BOARD_PROGRAM = "adapt.py"
BOARD_ORDER = ("logistic", "drift", "adapt")


def statistics_of(module: nn.Module, network: Network, split: Split) -> dict[str, Any]:
    """Return the distributions of numbers of a split's samples, JSON-ready; none of a network of several inputs.

    A module may give features beside its outputs.
    """
    if not is_plain(network.input_shape):
        return {}
    inputs = network.task.fitted(split.every(), network.input_shape).numpy()
    out = outputs_of(module, inputs)
    outputs, features = out if isinstance(out, tuple) else (out, None)
    return reference(sample_numbers(inputs, outputs, features, logits=network.task.has_labels))


def write_board_program(folder: Path) -> None:
    """Write `adapt.py`, which stands beside `predict.py`, into the folder of a bundle."""
    write_file(folder / BOARD_PROGRAM, program(Path(board.__file__).parent, BOARD_ORDER))


def write_old_head(module: nn.Module, layer: str, classes: tuple[str, ...], path: Path) -> dict[str, Any]:
    """Write the last layer of a module beside its files; return the manifest's entry on features."""
    head = head_of(module, layer, classes)
    save_head(head, path)
    return {"output": "features", "width": int(head.weight.shape[1]), "head": path.name}
