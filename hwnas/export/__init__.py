"""Exporters: a module becomes the file that a runtime runs. A new one is one file and one row here."""

from collections.abc import Mapping

EXPORTERS: Mapping[
    str, str
] = {  # name of the runtime -> function(module, input_shape, path, *, batch); imported on use
    "onnxruntime": "hwnas.export.onnx:export_onnx",
    "tflite": "hwnas.export.tflite:export_tflite",
}

__all__ = ["EXPORTERS"]
