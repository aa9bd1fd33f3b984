"""Small experiments with their spaces, written to a folder: one that trains, one on published numbers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml

from hwnas.space import Architecture, Space, read_space

FEW = """\
name: few
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 16], kernel: [1, 3]}
  - {name: head, op: classifier}
"""
MANY = """\
name: many
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 8, 16], kernel: [1, 3]}
  - {name: s1, op: conv, depth: [1, 2], width: [8, 16], kernel: [1, 3]}
  - {name: head, op: classifier}
"""
EXPERIMENT: dict[str, Any] = {
    "name": "mini",
    "space": "space.yaml",
    "data": {"name": "digits", "limit": 256},
    "train": {"epochs": 2, "batch_size": 64, "learning_rate": 0.1},
    "accuracy": {"samples": 100, "calibration_batches": 2},
    "setups": {"cpu": {"runtime": "onnxruntime"}},
    "tiers": {"cloud": {"setup": "cpu"}},
    "search": {"trials": 12, "sampler": "nsga2", "population": 4},
    "timing": {"rounds": 3, "warm_up_ms": 0, "min_sample_ms": 0.1, "validation_networks": 4},
}


def written(folder: Path, content: str = MANY, **changes: Any) -> Path:
    """An experiment and its space in a folder; the experiment's file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.yaml").write_text(content)
    path = folder / "mini.yaml"
    path.write_text(yaml.safe_dump({**EXPERIMENT, **changes}))
    return path


def edited(run: Path, **changes: Any) -> Path:
    """The run with keys of its experiment changed."""
    path = run / "experiment.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    return run


PUBLISHED: dict[str, Any] = {
    "name": "published", "space": "space.yaml",
    "accuracy": {"source": "table", "file": "table.csv", "key": "key", "column": "top1", "scale": "percent"},
    "setups": {
        "board": {
            "runtime": "published", "latencies": {"file": "table.csv", "key": "key", "column": "us", "unit": "us"},
        }
    },
    "tiers": {"edge": {"setup": "board", "limits": {"latency_ms": 0.9}}},
    "search": {"trials": 400, "sampler": "random"},
}  # fmt: skip


def published(folder: Path, content: str = MANY, drop: int = 0, **changes: Any) -> Path:
    """An experiment and its files: latency and accuracy grow with widths and kernels; `drop` networks have no row."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.yaml").write_text(content)
    space = read_space(folder / "space.yaml")
    lines = []
    for number, architecture in enumerate(every(space)):
        size = sum(float(value) for _, value in architecture.picks)
        lines.append(f"{architecture.key},{40 + size + number % 3},{20 * size + 7 * (number % 5)}")
    (folder / "table.csv").write_text("\n".join(["key,top1,us", *lines[drop:]]) + "\n")
    path = folder / "published.yaml"
    path.write_text(yaml.safe_dump({**PUBLISHED, **changes}))
    return path


def every(space: Space) -> list[Architecture]:
    """All architectures of a small space."""
    rng, found = random.Random(0), dict[str, Architecture]()
    while len(found) < space.count:
        drawn = space.random(rng)
        found[drawn.key] = drawn
    return [found[key] for key in sorted(found)]
