"""Deployments that are written by hand: a linear network as an ONNX file, and the plan beside it."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hwnas.deploy.document import sealed_plan

CLASSES = 5


def linear_weights(shape: tuple[int, ...], classes: int = CLASSES) -> NDArray[Any]:
    """The weights of the network for inputs of a shape."""
    return np.random.default_rng(1).normal(size=(math.prod(shape), classes)).astype(np.float32)


def write_linear(path: Path, shape: tuple[int, ...], *, batch: int = 1, classes: int = CLASSES) -> None:
    """Write a network that multiplies its flat input with `linear_weights`."""
    _save(path, (), [numpy_helper.from_array(linear_weights(shape, classes), "weights")], shape, batch, classes)


def write_layers(path: Path, shape: tuple[int, ...], *, batch: int = 1, classes: int = CLASSES) -> None:
    """Write a network that takes some ms: three convolutions before the linear layer."""
    rng, width = np.random.default_rng(2), 32
    sizes = [(width, shape[0], 3, 3), (width, width, 3, 3), (shape[0], width, 3, 3)]
    kernels = [
        numpy_helper.from_array(rng.normal(size=size).astype(np.float32) / 9, f"kernel{number}")
        for number, size in enumerate(sizes)
    ]
    _save(
        path,
        kernels,
        [*kernels, numpy_helper.from_array(linear_weights(shape, classes), "weights")],
        shape,
        batch,
        classes,
    )


def _save(path: Path, kernels: Any, constants: list[Any], shape: tuple[int, ...], batch: int, classes: int) -> None:
    names = ["input", *(f"hidden{number}" for number in range(len(kernels)))]
    nodes = [
        helper.make_node("Conv", [names[number], kernel.name], [names[number + 1]], pads=[1, 1, 1, 1])
        for number, kernel in enumerate(kernels)
    ]
    nodes += [
        helper.make_node("Flatten", [names[-1]], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["outputs"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *size])
        for name, size in (("input", shape), ("outputs", (classes,)))
    ]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def write_deployment(
    folder: Path,
    shape: tuple[int, ...] = (3, 4, 4),
    *,
    kind: str = "cloud_only",
    batch: int = 1,
    request: dict[str, Any] | None = None,
    preprocessing: dict[str, Any] | None = None,
    writer: Any = write_linear,
) -> Path:
    """Write `cloud/` with a network and its plan, and return the deployment's folder; requests are raw bytes."""
    cloud = folder / "cloud"
    writer(cloud / "cloud.onnx", shape, batch=batch)
    form = {"name": "input", "shape": list(shape), "dtype": "uint8", "compression": "", **(request or {})}
    size = math.prod(form["shape"]) * np.dtype(form["dtype"]).itemsize
    if preprocessing is None:
        preprocessing = {"mean": [0.5] * shape[0], "std": [0.25] * shape[0], "divide_by": 255}
    document: dict[str, Any] = {
        "name": "by-hand",
        "kind": kind,
        "task": {"name": "classification", "class_names": None},
        "link": "wifi",
        "codec": "raw",
        "cut": None,
        "edge": None,
        "cloud": {
            "file": "cloud.onnx",
            "sha256": hashlib.sha256((cloud / "cloud.onnx").read_bytes()).hexdigest(),
            "runtime": "onnxruntime",
            "precision": "fp32",
            "threads": 1,
            "input": {"shape": list(shape), "dtype": "float32"},
            "output": {"shape": [CLASSES]},
            "batch": batch,
        },
        "request": {"body_bytes": None, "max_body_bytes": size + 1000, "scale": None, "zero_point": None, **form},
        "answer": {"shape": [CLASSES], "dtype": "float32"},
        "preprocessing": preprocessing if kind != "split" else {},
        "cascade": None,
        "predicted": {"latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}, "accuracy": 0.9},
        "deadline_ms": 3.0,
    }
    (cloud / "plan.json").write_text(json.dumps(sealed_plan(document), indent=1))
    return folder


def expected_outputs(sample: NDArray[Any]) -> NDArray[Any]:
    """What the network answers to a raw image in bytes, with the preprocessing of `write_deployment`."""
    normalised = (sample.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
    return normalised.reshape(1, -1) @ linear_weights(sample.shape)
