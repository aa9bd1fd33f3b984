"""A small run with its bundle: digits, two networks, a file of each format."""

from __future__ import annotations

from pathlib import Path

import yaml

from hwnas import pipeline

SPACE = """\
name: few
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: 16, kernel: 3}
  - {name: s1, op: conv, stride: 2, width: [16, 32], kernel: 3}
  - {name: head, op: classifier}
"""
EXPERIMENT = {
    "name": "few",
    "space": "space.yaml",
    "data": "digits",
    "train": {"epochs": 4, "batch_size": 64, "learning_rate": 0.2, "calibration_batches": 2},
    "setups": {"cpu": {"runtime": "onnxruntime", "batch": 4}},
    "tiers": {"edge": {"setup": "cpu"}},
    "search": {"trials": 2, "sampler": "random"},
    "timing": {"rounds": 3, "warm_up_ms": 0, "min_sample_ms": 0.1, "validation_networks": 2},
    "export": {"formats": ["onnx", "tflite", "pt2"], "picks": ["best", "fastest"]},
}


def exported(folder: Path) -> Path:
    """The folder of the run, made in a folder."""
    (folder / "space.yaml").write_text(SPACE)
    (folder / "few.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    for verb in (pipeline.train, pipeline.bench, pipeline.search, pipeline.export):
        verb(folder / "few.yaml", runs=folder / "runs")  # type: ignore[operator]
    return folder / "runs" / "few"
