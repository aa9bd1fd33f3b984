"""Exporters: a module becomes the file that a runtime runs. A new one is one file and one row here."""

from collections.abc import Mapping

EXPORTERS: Mapping[
    str, str
] = {  # name of the runtime -> see hwnas.export.onnx.export_onnx for the arguments; imported on use
    "onnxruntime": "hwnas.export.onnx:export_onnx",
    "pytorch": "hwnas.export.pytorch:export_pytorch",
    "tflite": "hwnas.export.tflite:export_tflite",
}
RUNTIME_OF: Mapping[str, str] = {  # format in YAML, which is how its files end -> name of the runtime that runs them
    "onnx": "onnxruntime",
    "tflite": "tflite",
    "pt2": "pytorch",
}

__all__ = ["EXPORTERS", "RUNTIME_OF"]
