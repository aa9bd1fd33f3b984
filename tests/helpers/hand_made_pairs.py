"""Six plans over one synthetic input, written by hand: what is sent is from nothing to 48 KB. Networks are random."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hwnas.collaborate.cascades import CascadePoint
from hwnas.collaborate.cuts import PartTime
from hwnas.collaborate.plan import Candidate, Kind, PlanAccuracy
from hwnas.collaborate.wire import TensorFormat, answer_bytes
from hwnas.deploy.client.network import open_network
from hwnas.deploy.client.policy import confidence_of
from hwnas.deploy.document import sealed_plan

RAW, BOUNDARY, CLASSES = (3, 128, 128), (3, 32, 32), 10
SAMPLES = 200
ESCALATED = 0.3
GOLDEN = 0.6180339887498949
STEPS = {"divide_by": 255, "mean": [0.5] * 3, "std": [0.25] * 3, "resize": None}
BOUNDARIES = {"fp32": "float32", "fp16": "float16", "int8": "uint8"}


def synthetic_samples() -> NDArray[Any]:
    """Noise as images."""
    return np.random.default_rng(0).integers(0, 256, (SAMPLES, *RAW), dtype=np.uint8)


def evenly_escalating(folder: Path) -> NDArray[Any]:
    """The same samples in an order in which those that the written cascade escalates are spread evenly."""
    samples = synthetic_samples()
    confidences = _confidences(folder / "cascade", samples)
    turns = np.arange(SAMPLES) * GOLDEN % 1
    order = np.empty(SAMPLES, dtype=int)
    order[np.argsort(turns)] = np.argsort(confidences)
    ordered: NDArray[Any] = samples[order]
    return ordered


def write_pairs(folder: Path) -> dict[Path, Candidate]:
    """Write six deployments and return their folders with what is planned for them."""
    plans: list[tuple[str, Kind, str | None]] = [
        ("edge", "edge_only", None),
        ("cloud", "cloud_only", "raw"),
        ("split-fp32", "split", "fp32"),
        ("split-fp16", "split", "fp16"),
        ("split-int8", "split", "int8"),
        ("cascade", "cascade", "raw"),
    ]
    return {folder / name: _written(folder / name, name, kind, codec) for name, kind, codec in plans}


def _written(folder: Path, name: str, kind: Kind, codec: str | None) -> Candidate:
    sides = {side: folder / side for side in ("edge", "cloud") if side == "edge" or kind != "edge_only"}
    for path in sides.values():
        path.mkdir(parents=True)
    edge = None if kind == "cloud_only" else _file(folder, "edge", RAW, BOUNDARY if kind == "split" else (CLASSES,))
    sent = BOUNDARY if kind == "split" else RAW
    cloud = None if kind == "edge_only" else _file(folder, "cloud", sent, (CLASSES,))
    dtype = BOUNDARIES.get(codec or "", "uint8")
    form = TensorFormat("boundary" if kind == "split" else "input", sent, dtype)
    quantized = codec == "int8"
    size = form.body_bytes(form.plain_bytes)
    request = {"name": form.name, "shape": list(sent), "dtype": dtype, "compression": "", "quality": None}
    request |= {"scale": 0.03 if quantized else None, "zero_point": 128 if quantized else None}
    request |= {"body_bytes": size, "max_body_bytes": size}
    cascade = None if kind != "cascade" else {**_rule(folder, edge), "guarantee": None}
    document = {
        "name": name,
        "kind": kind,
        "task": {"name": "Classification", "class_names": None},
        "link": "imposed",
        "codec": codec,
        "cut": 1 if kind == "split" else None,
        "edge": edge,
        "cloud": cloud,
        "fallback": None,
        "request": None if kind == "edge_only" else request,
        "answer": {"shape": [CLASSES], "dtype": "float32"},
        "raw": {"shape": list(RAW), "dtype": "uint8"},
        "preprocessing": STEPS if kind in ("cloud_only", "cascade") else {},
        "cascade": cascade,
        "predicted": {},
        "deadline_ms": 1e4,
    }
    for path in sides.values():
        (path / "plan.json").write_text(json.dumps(sealed_plan(document)))
    return Candidate(
        kind,
        PlanAccuracy(0.0, None, "synthetic"),
        edge=None if edge is None else name,
        cloud=None if cloud is None else name,
        codec=codec,
        head=PartTime(0.0, 0.0, 0.0),
        sent_bytes=np.array([0.0 if cloud is None else float(size)]),
        answer_bytes=answer_bytes((CLASSES,)),
        escalated={"edge_only": 0.0, "cascade": ESCALATED}.get(kind, 1.0),
        cascade=cascade and CascadePoint("max_prob", cascade["threshold"], 0.0, 0.0, ESCALATED, None),
    )


def _file(folder: Path, side: str, shape: tuple[int, ...], answer: tuple[int, ...]) -> dict[str, Any]:
    """Write a network of one side and return its entry: a mean of blocks, or a linear layer."""
    path = folder / side / f"{side}.onnx"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *size])
        for name, size in (("input", shape), ("outputs", answer))
    ]
    if answer == BOUNDARY:
        step = RAW[1] // BOUNDARY[1]
        nodes, constants = (
            [helper.make_node("AveragePool", ["input"], ["outputs"], kernel_shape=[step] * 2, strides=[step] * 2)],
            [],
        )
    else:
        weights = np.random.default_rng(1).normal(0, 0.01, (math.prod(shape), CLASSES)).astype(np.float32)
        constants = [numpy_helper.from_array(weights, "weights")]
        nodes = [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["outputs"]),
        ]
    graph = helper.make_graph(nodes, "synthetic", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "runtime": "onnxruntime",
        "precision": "fp32",
        "threads": 1,
        "batch": 1,
        "input": {"shape": list(shape), "dtype": "float32"},
        "output": {"shape": list(answer)},
        "preprocessing": STEPS if shape == RAW else {},
    }


def _rule(folder: Path, edge: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the threshold below which a share of the samples escalates."""
    assert edge is not None
    confidences = _confidences(folder, synthetic_samples(), edge)
    return {"rule": "max_prob", "temperature": 1.0, "threshold": float(np.quantile(confidences, ESCALATED))}


def _confidences(folder: Path, samples: NDArray[Any], edge: Mapping[str, Any] | None = None) -> NDArray[np.float64]:
    entry = edge or json.loads((folder / "edge" / "plan.json").read_text())["edge"]
    network = open_network(folder / "edge", dict(entry))
    return np.array([confidence_of(network.run(sample), "max_prob", 1.0) for sample in samples])
