"""Seven shoulder exercises, recorded by a smartwatch on both arms of ten people: six axes at 50 Hz.

The recordings are those of the package `seglearn` (BSD; Burns et al., arXiv:1802.01489). Its file is a pickle, which
may run code when it is read: it is read once, by a process of its own, if its SHA-256 is the known one, and kept as
plain arrays. Windows of 100 samples, two seconds, overlap by half; a window lies in one recording, and a person in one
split.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.data.cache import Arrays, cached_arrays
from hwnas.errors import DataError

CLASSES = ("pendulum", "abduction", "forward elevation", "internal rotation", "external rotation", "trapezius", "row")
SPLITS = {"train": (1, 2, 3, 4, 5, 6), "validation": (7, 8), "test": (9, 10)}
"""People by split, in the order of their numbers; nobody is in two."""
WINDOW, STRIDE = 100, 50
SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
_CONVERT = """
import sys, numpy as np
source, target = sys.argv[1:]
data = np.load(source, allow_pickle=True).item()
series = [np.asarray(one, np.float32) for one in data["X"]]
np.savez(
    target, values=np.concatenate(series), lengths=np.array([len(one) for one in series]),
    labels=np.asarray(data["y"], np.int64), people=np.asarray(data["subject"], np.int64),
)
"""


def recordings() -> Arrays:
    """Return `values` (T, 6) of all recordings end to end, and their `lengths`, `labels` and `people`."""
    return cached_arrays("seglearn", {"sha256": SHA256}, _converted)


def windows(arrays: Arrays) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return windows (N, 6, 100), their labels and their people."""
    inputs, numbers = [], []
    series = np.split(arrays["values"], np.cumsum(arrays["lengths"])[:-1])
    for number, values in enumerate(series):
        starts = range(0, len(values) - WINDOW + 1, STRIDE)
        inputs += [values[start : start + WINDOW].T for start in starts]
        numbers += [number] * len(starts)
    return np.stack(inputs).astype(np.float32), arrays["labels"][numbers], arrays["people"][numbers]


def load() -> dict[str, Any]:
    """Return the windows of the people of each split."""
    inputs, labels, people = windows(recordings())
    chosen = {split: np.isin(people, members) for split, members in SPLITS.items()}
    pairs = {split: (inputs[mask], labels[mask]) for split, mask in chosen.items()}
    return {**pairs, "class_names": CLASSES}


def _converted() -> Arrays:
    file = _file()
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise DataError(
            "the recordings are not those of seglearn 1.2.5",
            where=str(file),
            allowed="Their file is a pickle, which is read only if its SHA-256 is known",
            do="Run: pip install --no-deps --force-reinstall seglearn==1.2.5",
        )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "recordings.npz"
        subprocess.run([sys.executable, "-c", _CONVERT, str(file), str(target)], check=True)
        with np.load(target, allow_pickle=False) as opened:
            return {key: opened[key] for key in opened.files}


def _file() -> Path:
    package = importlib.util.find_spec("seglearn")  # it is not imported: its code needs an older scikit-learn
    folders = package.submodule_search_locations if package else None
    file = Path(folders[0]) / "data" / "watch_dataset.npy" if folders else None
    if file is None or not file.is_file():
        raise DataError(
            "the package `seglearn` is not installed",
            where=f"data: {Path(__file__).name}",
            allowed="Its recordings are what this experiment learns from",
            do="Run: pip install --no-deps seglearn==1.2.5",
        )
    return file
