"""Bundles that are written by hand: a linear network as an ONNX file, and all that stands beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.export.companions.program import PROGRAM, program
from hwnas.export.companions.selftest import SelfTest
from hwnas.export.manifest import MANIFEST, files_entry, write_manifest
from hwnas.io.checksum import sha256_of
from hwnas.runtimes.setup import cpu_name
from tests.helpers.deployments import CLASSES, linear_weights, write_linear

SHAPE = (2, 3, 3)
FILE = "best.onnx"


def raw_inputs(count: int = 64) -> NDArray[Any]:
    """Raw inputs (count, 2, 3, 3) in bytes."""
    inputs: NDArray[Any] = np.random.default_rng(3).integers(0, 256, size=(count, *SHAPE), dtype=np.uint8)
    return inputs


def answers(inputs: NDArray[Any]) -> NDArray[Any]:
    """What the network gives for raw inputs."""
    outputs: NDArray[Any] = (inputs.astype(np.float32) / np.float32(255)).reshape(len(inputs), -1) @ linear_weights(
        SHAPE
    )
    return outputs


def targets(inputs: NDArray[Any], right: float = 0.75) -> NDArray[Any]:
    """Classes, of which the network tells a share rightly."""
    classes, wrong = answers(inputs).argmax(1), np.arange(len(inputs)) >= right * len(inputs)
    return np.where(wrong, (classes + 1) % CLASSES, classes)


def write_data(path: Path, inputs: NDArray[Any], labels: NDArray[Any]) -> Path:
    """Write an archive as `hwnas verify --data` takes it."""
    np.savez(path, inputs=inputs, targets=labels)
    return path


def write_bundle(folder: Path, *, latency_ms: float = 1.0, **changes: Any) -> Path:
    """Write a bundle and return its folder; changes replace fields of the network's entry in the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    write_linear(folder / FILE, SHAPE, batch=4)
    inputs = raw_inputs()
    selftest = SelfTest({"input": inputs[:8]}, 0)
    selftest.add(FILE, answers(inputs), "fp32")
    selftest.write(folder)
    (folder / PROGRAM).write_text(program(), encoding="utf-8")
    (folder / "README.md").write_text("# A network\n", encoding="utf-8")
    reseal(folder, _model(folder, latency_ms) | {"selftest": selftest.entry} | changes)
    return folder


def reseal(folder: Path, model: dict[str, Any]) -> None:
    """Write the manifest anew, with the sums of the files that are there."""
    model["files"][0] |= {"sha256": sha256_of(folder / FILE), "bytes": (folder / FILE).stat().st_size}
    setup = {"device": cpu_name(), "runtime": "onnxruntime", "threads": 1, "precision": "fp32", "batch": 4}
    content = {
        "tier": "edge",
        "setup": setup,
        "machine": {"processor": cpu_name()},
        "task": {"name": "classification", "quality": "top1", "options": {}},
        "models": [model],
    }
    (folder / MANIFEST).unlink(missing_ok=True)
    write_manifest(folder / MANIFEST, {**content, "bundle": files_entry(folder)})


def _model(folder: Path, latency_ms: float) -> dict[str, Any]:
    file = {
        "name": FILE,
        "format": "onnx",
        "runtime": "onnxruntime 1.32.0, 1 thread",
        "bytes": 0,
        "sha256": "",
        "batch": 4,
        "precision": "fp32",
        "max_difference": 0.0,
        "top1_agreement": 1.0,
        "test_top1": 0.75,
        "latency_ms": latency_ms,
        "inputs": [{"name": "input", "shape": [4, *SHAPE], "dtype": "float32", "layout": "NCHW"}],
        "outputs": [{"name": "outputs", "shape": [4, CLASSES], "dtype": "float32"}],
    }
    return {
        "picks": ["best"],
        "key": "0123456789ab",
        "input_shape": list(SHAPE),
        "preprocessing": {"mean": [0.0, 0.0], "std": [1.0, 1.0], "steps": [{"step": "divide", "by": 255}]},
        "classes": [str(number) for number in range(CLASSES)],
        "scores": {},
        "test_top1": {"value": 0.75, "origin": "measured"},
        "params": math.prod(SHAPE) * CLASSES,
        "files": [file],
    }


def write_key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a private and a public key, `NAME.pem` and `NAME.pub`."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    own, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem, nothing = serialization.Encoding.PEM, serialization.NoEncryption()
    own.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, nothing))
    public.write_bytes(private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return own, public
