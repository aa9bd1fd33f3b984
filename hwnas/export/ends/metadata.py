"""Facts inside model files: texts by name, in ONNX metadata properties and in a metadata buffer of TFLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwnas.registry import optional

ENTRY = "hwnas"
"""Name of the entry in a TFLite file; its buffer holds one JSON object of texts."""
TFLITE_IDENTIFIER = b"TFL3"
TENSOR_ALIGNMENT = 16
"""Bytes at which the runtime expects the numbers of a tensor to begin."""


def write_metadata(path: Path, file_format: str, facts: Mapping[str, str]) -> None:
    """Add facts to a file of a format that has a place for them; others stay as they are.

    Args:
        path: of the file.
        file_format: its name, such as `onnx`.
        facts: texts by name.
    """
    if (writer := _WRITERS.get(file_format)) is not None:
        writer(path, facts)


def _write_onnx(path: Path, facts: Mapping[str, str]) -> None:
    import onnx

    model = onnx.load(path)
    for name, text in facts.items():
        model.metadata_props.add(key=name, value=text)
    onnx.save(model, path)


def _write_tflite(path: Path, facts: Mapping[str, str]) -> None:
    import numpy as np

    schema, content = _schema(), path.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(dict(facts)).encode(), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = ENTRY, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = _aligned_builder(len(content) + len(buffer.data) + 1024)
    builder.Finish(model.Pack(builder), TFLITE_IDENTIFIER)
    path.write_bytes(bytes(builder.Output()))


def _aligned_builder(size: int) -> Any:
    flatbuffers = optional("flatbuffers", extra="convert", why="writing a TFLite file")

    class Aligned(flatbuffers.Builder):  # type: ignore[name-defined, misc]
        def StartVector(self, item_bytes: int, count: int, alignment: int) -> Any:
            return super().StartVector(item_bytes, count, TENSOR_ALIGNMENT if item_bytes == 1 else alignment)

    return Aligned(size)


def _schema() -> Any:
    return optional("ai_edge_litert.schema_py_generated", extra="convert", why="the metadata of a TFLite file")


_WRITERS: Mapping[str, Callable[[Path, Mapping[str, str]], None]] = {"onnx": _write_onnx, "tflite": _write_tflite}
