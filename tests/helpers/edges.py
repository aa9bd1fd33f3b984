"""Folders of an edge that are written by hand: linear networks, and the plan beside them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwnas.collaborate.codecs import InputCodec
from hwnas.deploy.document import DeployedFile, request_entry, sealed_plan
from hwnas.export.onnx import export_onnx

RAW = (1, 4, 4)
CLASSES = 3
STEPS = {"divide_by": 255, "mean": [0.5], "std": [0.25], "resize": None}


@cache
def weights(seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights and bias of a linear classifier of small images."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(CLASSES, 16)).astype(np.float32) / 4, rng.normal(size=CLASSES).astype(np.float32) / 4


def linear(seed: int) -> nn.Module:
    """The classifier as a module."""
    layer = nn.Linear(16, CLASSES)
    with torch.no_grad():
        for parameter, values in zip((layer.weight, layer.bias), weights(seed), strict=True):
            parameter.copy_(torch.from_numpy(values))
    return nn.Sequential(nn.Flatten(), layer).eval()


def write_edge(folder: Path, kind: str = "cascade", threshold: float = 2.0, **changes: Any) -> dict[str, Any]:
    """Write the edge of a plan; all is escalated with a threshold above 1. Returns the plan."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "fallback" if kind == "cloud_only" else "edge"
    path = export_onnx(linear(0), RAW, folder / f"{name}.onnx")
    entry = DeployedFile(path, "onnxruntime", "fp32", 1, 1, RAW, (CLASSES,), STEPS).entry()
    codec = InputCodec("raw")
    cascade = {"rule": "max_prob", "temperature": 1.0, "threshold": threshold, "guarantee": None}
    plan = sealed_plan(
        {
            "name": "by-hand",
            "kind": kind,
            "task": {"name": "Classification", "class_names": ["a", "b", "c"]},
            "edge": None,
            "fallback": None,
            name: entry,
            "cloud": None,
            "request": request_entry(codec.format(RAW, "uint8"), codec),
            "answer": {"shape": [CLASSES], "dtype": "float32"},
            "raw": {"shape": list(RAW), "dtype": "uint8"},
            "cascade": cascade if kind == "cascade" else None,
            "deadline_ms": 50.0,
            **changes,
        }
    )
    (folder / "plan.json").write_text(json.dumps(plan))
    return plan


def image(number: int) -> NDArray[Any]:
    """An image that no other number has."""
    content = np.random.default_rng(number).integers(0, 256, RAW).astype(np.uint8)
    content.reshape(-1)[:4] = np.frombuffer(np.uint32(number).tobytes(), np.uint8)
    return content


def expected(seed: int, sample: NDArray[Any]) -> NDArray[Any]:
    """The outputs of a linear classifier for a raw image."""
    weight, bias = weights(seed)
    outputs: NDArray[Any] = weight @ ((sample.reshape(-1).astype(np.float32) / 255 - 0.5) / 0.25) + bias
    return outputs
