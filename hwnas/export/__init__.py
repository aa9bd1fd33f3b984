"""Exporters: a module becomes the file that a runtime runs. A new one is one file and one row here."""

from collections.abc import Mapping

EXPORTERS: Mapping[
    str, str
] = {  # name of the runtime -> see hwnas.export.onnx.export_onnx for the arguments; imported on use
    "onnxruntime": "hwnas.export.onnx:export_onnx",
    "pytorch": "hwnas.export.pytorch:export_pytorch",
    "tflite": "hwnas.export.tflite:export_tflite",
}

__all__ = ["EXPORTERS"]
