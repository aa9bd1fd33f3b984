"""Files that other servers load: a model repository of Triton, and an InferenceService of KServe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hwnas.collaborate.wire import MODEL_NAME
from hwnas.errors import ConfigError, did_you_mean
from hwnas.io.atomic import write_file
from hwnas.serve.bundle import ServedModel, read_bundle

TRITON_TYPES = {1: "TYPE_FP32", 10: "TYPE_FP16", 2: "TYPE_UINT8", 3: "TYPE_INT8", 6: "TYPE_INT32", 7: "TYPE_INT64"}
"""ONNX's numbers of element types -> Triton's names."""
SERVERS = ("triton", "kserve")
REPOSITORY_NAME = "triton"
LONGEST_NAME = 63
"""Characters of a name in Kubernetes."""


def write_for_servers(deployment: Path, servers: Sequence[str]) -> list[Path]:
    """Write what other servers load beside the two sides of a deployment.

    Args:
        deployment: folder that holds `cloud/`.
        servers: `triton`, `kserve` or both.

    Returns:
        The model repository and the file, as far as they are asked for.

    Raises:
        ConfigError: there is no such server, or the plan has no cloud, or one whose file Triton does not run.
        RunError: a file cannot be written.
    """
    for name in servers:
        if name not in SERVERS:
            raise ConfigError(
                f"unknown server `{name}`", where="--also", allowed=did_you_mean(name, SERVERS), do="Name a known one"
            )
    if not servers:
        return []
    model = read_bundle(deployment)
    written = [write_triton(model, deployment)]
    if "kserve" in servers:
        name = deployment.resolve().name
        written.append(write_kserve(model, deployment, name=name, storage_uri=f"pvc://models/{REPOSITORY_NAME}"))
    return written


def write_triton(model: ServedModel, folder: Path) -> Path:
    """Write a model repository with the file of a deployment: `config.pbtxt` and `1/model.onnx` in `triton/cloud/`.

    Args:
        model: as `read_bundle` returns it.
        folder: that the repository is made in.

    Returns:
        The repository.

    Raises:
        ConfigError: Triton does not run files of this format.
        RunError: a file cannot be written.
    """
    if model.runtime != "onnxruntime":
        raise ConfigError(
            f"a file of `{model.runtime}` is no model of Triton's",
            where=str(model.path),
            allowed="Files of ONNX are",
            do="Export a plan whose cloud has the runtime `onnxruntime`, or use `hwnas serve`",
        )
    repository = folder / REPOSITORY_NAME
    home = repository / MODEL_NAME
    write_file(home / "config.pbtxt", _triton_config(model), what="configuration of Triton")
    write_file(home / "1" / "model.onnx", model.path.read_bytes(), what="model of Triton")
    return repository


def write_kserve(model: ServedModel, folder: Path, *, name: str, storage_uri: str) -> Path:
    """Write `kserve.yaml`, an InferenceService whose Triton loads the repository of `write_triton`.

    Args:
        model: as `read_bundle` returns it.
        folder: that the file is made in.
        name: of the service; made lower case, with hyphens, as Kubernetes wants it.
        storage_uri: place that the repository was copied to, such as `pvc://models/triton`.

    Returns:
        The file.

    Raises:
        RunError: it cannot be written.
    """
    cores = str(model.threads)
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": service_name(name), "annotations": {"hwnas/plan": model.plan_digits}},
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "model": {
                    "modelFormat": {"name": "onnx"},
                    "runtime": "kserve-tritonserver",
                    "protocolVersion": "v2",
                    "storageUri": storage_uri,
                    "resources": {"requests": {"cpu": cores}, "limits": {"cpu": cores}},
                },
            }
        },
    }
    return write_file(folder / "kserve.yaml", yaml.safe_dump(document, sort_keys=False), what="file for KServe")


def service_name(name: str) -> str:
    """Return a name that Kubernetes takes.

    >>> service_name("split-1A2B_after-3-int8+zstd")
    'split-1a2b-after-3-int8-zstd'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:LONGEST_NAME].strip("-") or MODEL_NAME


def _triton_config(model: ServedModel) -> str:
    import onnx

    graph = onnx.load(str(model.path), load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [tensor for tensor in graph.input if tensor.name not in constants]
    lines = [
        f'name: "{MODEL_NAME}"',
        'backend: "onnxruntime"',
        "max_batch_size: 0",
        *_tensors("input", inputs),
        *_tensors("output", graph.output),
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        f'parameters {{ key: "intra_op_thread_count" value: {{ string_value: "{model.threads}" }} }}',
        f'parameters {{ key: "hwnas_plan" value: {{ string_value: "{model.plan_digits}" }} }}',
    ]
    return "\n".join(lines) + "\n"


def _tensors(side: str, tensors: Sequence[Any]) -> list[str]:
    lines = []
    for tensor in tensors:
        kind = tensor.type.tensor_type
        sizes = ", ".join(str(size.dim_value or -1) for size in kind.shape.dim)
        lines.append(
            f'{side} [ {{ name: "{tensor.name}" data_type: {TRITON_TYPES[kind.elem_type]} dims: [ {sizes} ] }} ]'
        )
    return lines
