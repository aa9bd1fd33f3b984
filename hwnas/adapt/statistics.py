"""Distributions of validation samples, as a bundle holds them, and the files that go with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import nn

from hwnas.adapt import board
from hwnas.adapt.board.adapt import save_head
from hwnas.adapt.board.drift import reference, sample_numbers
from hwnas.adapt.head import head_of
from hwnas.collaborate import preprocess
from hwnas.data import Split
from hwnas.export.bundle import outputs_of
from hwnas.io.atomic import write_file
from hwnas.network import Network
from hwnas.tasks.ends import is_plain

SHIPPED_IMPORT = re.compile(r"^from hwnas\.(?:adapt\.board|collaborate)\.(\w+) import ", re.MULTILINE)


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


def write_board_files(folder: Path) -> None:
    """Write `adapt.py` and what it imports into the folder of a bundle."""
    paths = [path for path in Path(board.__file__).parent.glob("*.py") if path.name != "__init__.py"]
    for path in [*paths, Path(preprocess.__file__)]:
        text = SHIPPED_IMPORT.sub(r"from \1 import ", path.read_text(encoding="utf-8"))
        write_file(folder / path.name, text)


def write_old_head(module: nn.Module, layer: str, classes: tuple[str, ...], path: Path) -> dict[str, Any]:
    """Write the last layer of a module beside its files; return the manifest's entry on features."""
    head = head_of(module, layer, classes)
    save_head(head, path)
    return {"output": "features", "width": int(head.weight.shape[1]), "head": path.name}
