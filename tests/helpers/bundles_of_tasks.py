"""A tiny run of each task with its bundle, and its test samples as they were before any preprocessing."""

from __future__ import annotations

import json
import runpy
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from hwnas import pipeline
from tests.helpers.opened_nets import trained_on_digits, written

Array = NDArray[Any]
Samples = Callable[[Path], tuple[Any, Array]]

EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "train": {"epochs": 2, "batch_size": 32, "learning_rate": 0.1, "calibration_batches": 2, "label_smoothing": 0},
    "setups": {"cpu": {"runtime": "onnxruntime", "batch": 4}},
    "tiers": {"edge": {"setup": "cpu", "measure": "live"}},
    "search": {"trials": 2, "sampler": "random"},
    "timing": {"rounds": 3, "warm_up_ms": 0, "min_sample_ms": 0.1, "processes": 0},
    "export": {"formats": ["onnx"], "picks": ["best"], "tolerance": 1e-3},
}
DATA = """\
import numpy as np
from tests.helpers import two_ends

def images():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    pixels = rng.integers(0, 120, (120, 12, 12), dtype=np.uint8) + (60 * labels[:, None, None]).astype(np.uint8)
    return {"train": (pixels, labels)}

def signals():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    return {"train": (rng.normal(300, 20, (120, 2, 24)).astype(np.float32) + 30 * labels[:, None, None], labels)}

def flags():
    rng = np.random.default_rng(0)
    flags = rng.random((120, 2)) < 0.5
    return {"train": (rng.normal(0, 0.3, (120, 2, 24)).astype(np.float32) + flags[:, :, None], flags)}

def columns():
    rng = np.random.default_rng(0)
    columns = rng.normal(50, 10, (120, 6)).astype(np.float32)
    return {"train": (columns, columns[:, :2] * [3, 0.01] + 7)}

def scenes():
    rng = np.random.default_rng(0)
    pixels, masks = rng.integers(0, 99, (120, 3, 8, 8), dtype=np.uint8), np.zeros((120, 8, 8), np.int64)
    for number, (top, left) in enumerate(rng.integers(0, 5, (120, 2))):
        pixels[number, :, top : top + 4, left : left + 4] += 120
        masks[number, top : top + 4, left : left + 4] = 1
    masks[:, -1] = 255
    return {"train": (pixels, masks)}

def normal():
    rng = np.random.default_rng(0)
    vectors = rng.normal(5, 2, (120, 2)) @ rng.normal(size=(2, 12))
    return {"train": (vectors.astype(np.float32), np.zeros(120, np.int64))}

def two():
    inputs, targets = two_ends.load_two()["train"]
    return {"train": (inputs, targets[:, 0].astype(np.int64))}

def tokens():
    return two_ends.load_tokens()
"""
SIGNALS: dict[str, Any] = {
    "input": {"shape": [2, 24]},
    "stages": [{"name": "s1", "op": "conv1d", "width": [4, 8], "kernel": 3, "stride": 2}],
}
IMAGES: dict[str, Any] = {
    "input": {"channels": 1, "resolution": 8},
    "stages": [{"name": "s1", "op": "conv", "width": [4, 8], "kernel": 3, "stride": 2}],
}
PLUGIN = str(Path(__file__).with_name("two_ends.py"))
CLASSES = {"name": "head", "op": "classifier"}


@dataclass(frozen=True)
class TaskRun:
    """A space, its data, and what is raw."""

    space: Mapping[str, Any]
    data: Any
    samples: Samples
    """Raw inputs, of several ones by name, and targets, in the order of the data."""
    changes: Mapping[str, Any]
    """Keys of the experiment."""


def _space(raw: Mapping[str, Any], *stages: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "tiny", **raw, "stages": [*raw.get("stages", ()), *stages], **keys}


def _of(function: str) -> Samples:
    def samples(folder: Path) -> tuple[Any, Array]:
        return runpy.run_path(str(folder / "data.py"))[function]()["train"]

    return samples


def _tones(folder: Path) -> tuple[Array, Array]:
    """Whole numbers of 16 bits, as they are in files of tones."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(2), 40)
    phases = np.arange(400) * (0.2 + 0.4 * labels[:, None]) + rng.uniform(0, 6, (80, 1))
    sounds = (9000 * np.sin(phases) + rng.normal(0, 500, (80, 400))).astype("<i2")
    for number, (sound, label) in enumerate(zip(sounds, labels, strict=True)):
        path = folder / "tones" / "ab"[label] / f"{number:03}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 400, "NONE", ""))
            file.writeframes(sound.tobytes())
    return sounds[:, None], labels


def _digits(folder: Path) -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    return load_digits().images[:, None], load_digits().target


TASK_RUNS: dict[str, TaskRun] = {
    "images": TaskRun(_space(IMAGES, CLASSES, classes=3), "data.py:images", _of("images"), {}),
    "signals": TaskRun(
        _space(SIGNALS, CLASSES, classes=3),
        "data.py:signals",
        _of("signals"),
        {"task": {"name": "classification", "quality": "macro_f1"}, "export": {"input": "raw"}},
    ),
    "spectrograms": TaskRun(
        _space(
            {"input": {"shape": [1, 9, 6]}},
            {"name": "s1", "op": "conv2d", "width": [4, 8], "kernel_height": 3, "kernel_width": 3},
            CLASSES,
            classes=2,
        ),
        {"name": "wav", "path": "tones", "log_mel": {"mels": 6, "window_ms": 10, "hop_ms": 5}},
        _tones,
        {},
    ),
    "labels": TaskRun(_space(SIGNALS, CLASSES, classes=2), "data.py:flags", _of("flags"), {"task": "multilabel"}),
    "columns": TaskRun(
        _space(
            {"input": {"shape": [6]}, "outputs": 2},
            {"name": "s1", "op": "mlp", "width": [8, 16]},
            {"name": "head", "op": "regressor"},
        ),
        "data.py:columns",
        _of("columns"),
        {"task": {"name": "regression", "unit": "mm"}},
    ),
    "pixels": TaskRun(
        _space(
            {**IMAGES, "input": {"channels": 3, "resolution": 8}},
            {"name": "head", "op": "densehead", "scale": 2},
            classes=2,
        ),
        "data.py:scenes",
        _of("scenes"),
        {"task": "segmentation"},
    ),
    "anomalies": TaskRun(
        _space(
            {"input": {"shape": [12]}, "outputs": 12},
            {"name": "code", "op": "mlp", "width": [2, 3]},
            {"name": "head", "op": "regressor"},
        ),
        "data.py:normal",
        _of("normal"),
        {"task": "reconstruction"},
    ),
    "several": TaskRun(
        _space(
            {"input": {"signal": {"shape": [2, 24]}, "facts": {"shape": [3]}}},
            {"name": "join", "op": "join", "width": [4, 8], "kernel": 3},
            CLASSES,
            classes=4,
            plugins=[PLUGIN],
        ),
        "data.py:two",
        _of("two"),
        {},
    ),
    "tokens": TaskRun(
        _space(
            {"input": {"shape": [12], "dtype": "int64", "below": 20}},
            {"name": "stem", "op": "embed", "width": [4, 8]},
            CLASSES,
            classes=3,
            plugins=[PLUGIN],
        ),
        "data.py:tokens",
        _of("tokens"),
        {},
    ),
    "opened": TaskRun({}, "digits", _digits, {}),
}


@dataclass(frozen=True)
class Bundle:
    """The folder of a bundle, and an archive of its test samples for `predict.py --accuracy`."""

    folder: Path
    data: Path


def write_run(folder: Path, name: str, **export: Any) -> Bundle:
    """Train, search and export the run of a task.

    Args:
        folder: empty.
        name: of the run in `TASK_RUNS`.
        export: further keys of the experiment's `export`.
    """
    case = TASK_RUNS[name]
    (folder / "data.py").write_text(DATA)
    raw = {**EXPERIMENT, "data": case.data, "space": "space.yaml", **case.changes}
    raw["export"] = {**EXPERIMENT["export"], **case.changes.get("export", {}), **export}
    if name == "opened":
        net = written(folder)
        few = {"stages.1.blocks.1.conv1.width": [16, 32]}
        raw["space"] = {"network": f"{net}:model", "weights": str(trained_on_digits(net)), "choices": few}
        raw["train"] = {"epochs": 1, "batch_size": 64, "learning_rate": 0.01, "warm_up_epochs": 0}
    else:
        (folder / "space.yaml").write_text(yaml.safe_dump(dict(case.space), sort_keys=False))
    samples = case.samples(folder)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(raw))
    for verb in (pipeline.train, pipeline.search, pipeline.export):
        verb(folder / "tiny.yaml", runs=folder / "runs")  # type: ignore[operator]
    bundle = folder / "runs" / "tiny" / "bundle" / "edge"
    np.savez(folder / "data.npz", **_raw_test_samples(*samples, bundle))  # type: ignore[arg-type]
    return Bundle(bundle, folder / "data.npz")


def _raw_test_samples(inputs: Any, targets: Array, bundle: Path) -> dict[str, Array]:
    """Return the arrays of the test samples that the manifest of a bundle names."""
    content = json.loads((bundle / "manifest.json").read_text())
    tested = next(value for key, value in content.items() if key.startswith("test_") and "indices" in value)
    spans = [span.partition("-") for span in tested["indices"].split(",")]
    chosen = [n for first, _, last in spans for n in range(int(first), int(last or first) + 1)]
    if isinstance(inputs, dict):
        return {**{f"input:{key}": values[chosen] for key, values in inputs.items()}, "targets": targets[chosen]}
    return {"inputs": inputs[chosen], "targets": targets[chosen]}
