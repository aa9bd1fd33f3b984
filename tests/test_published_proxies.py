"""`benchmarks/nb201_proxies.py` on other data than CIFAR-10's: its files and its names are fixed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hwnas.errors import HwnasError

COMMAND = Path(__file__).parents[1] / "benchmarks" / "nb201_proxies.py"
CELL = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1")
ROWS = 40
KNOWN = 25
"""So many of the rows have an accuracy."""


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of shares under a column's name of its own, with gaps."""
    file = tmp_path_factory.mktemp("table") / "other.npz"
    arch = [CELL.format("skip_connect", "none", "none", *last) for last in product(OPERATIONS, repeat=3)]
    arch += [CELL.format(*first, "nor_conv_1x1", "none", "none") for first in product(OPERATIONS, repeat=3)]
    accuracy = np.linspace(0.1, 0.4, ROWS, dtype=np.float32)
    accuracy[KNOWN:] = np.nan
    np.savez(file, arch=np.array(arch[:ROWS]), **{"x-valid": accuracy})
    return file


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """120 classes from 1 on, four 16x16 images each: JPEG bytes end to end, JPEG entries, and plain arrays."""
    folder = tmp_path_factory.mktemp("images")
    labels = np.tile(np.arange(1, 121, dtype=np.int64), 4)
    pixels = np.random.default_rng(0).integers(0, 255, (len(labels), 16, 16, 3), dtype=np.uint8)
    entries = [_jpeg(image) for image in pixels]
    bytes_ = np.frombuffer(b"".join(entries), np.uint8)
    offset = np.cumsum([0, *map(len, entries)])
    layouts: dict[str, dict[str, Any]] = {
        "end to end": {"jpeg_train": bytes_, "offset_train": offset},
        "entries": {"jpeg_train": np.array(entries)},
        "arrays": {"x_train": pixels},
    }
    files = {layout: folder / f"{layout}.npz" for layout in layouts}
    for layout, arrays in layouts.items():
        np.savez(files[layout], y_train=labels, **arrays)
    return files


def _jpeg(image: np.ndarray[Any, Any]) -> bytes:
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG")
    return held.getvalue()


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script in `benchmarks` imports from beside it."""
    monkeypatch.syspath_prepend(COMMAND.parent)


@pytest.mark.parametrize("layout", ["end to end", "entries", "arrays"])
def test_networks_are_built_for_the_classes_and_the_resolution_of_the_images(
    accuracies: Path, images: dict[str, Path], layout: str
) -> None:
    dataset = import_module("nb201_images").read_images(images[layout], 0)
    published = import_module("nb201_networks").read_published(accuracies, "x-valid", dataset)
    network = published.lower(published.architecture(0))
    assert network.input_shape == (3, 16, 16)
    assert network.operators[-1].out_channels == 120


@pytest.mark.parametrize("wrong", ["a file of text", "a column", "no labels"])
def test_a_wrong_file_or_column_is_refused_by_its_name(accuracies: Path, tmp_path: Path, wrong: str) -> None:
    text, bare = tmp_path / "notes.npz", tmp_path / "bare.npz"
    text.write_text("no archive")
    np.savez(bare, x_train=np.zeros((4, 8, 8, 3)))
    networks, pictures = import_module("nb201_networks"), import_module("nb201_images")
    calls = {
        "a file of text": lambda: networks.read_published(text, "x-valid"),
        "a column": lambda: networks.read_published(accuracies, "x-vald"),
        "no labels": lambda: pictures.read_images(bare, 0),
    }
    with pytest.raises(HwnasError, match={"a column": "x-valid"}.get(wrong, "npz")):
        calls[wrong]()


def test_the_command_draws_no_rows_without_an_accuracy(accuracies: Path) -> None:
    words = ("--accuracy", str(accuracies), "--column", "x-valid", "--proxies", "params", "--json")
    environment = {**os.environ, "PYTHONPATH": str(COMMAND.parents[1])}
    ran = subprocess.run([sys.executable, str(COMMAND), *words], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert (report["sample"], report["no_accuracy"]) == (KNOWN, ROWS - KNOWN)
    assert report["results"]["params"]["rows"] == KNOWN
