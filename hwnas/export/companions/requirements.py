"""Packages that run the files of a bundle, as lists for pip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

REQUIREMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {  # format -> name of a list -> its lines
    "onnx": {"onnxruntime": ("numpy>=1.21", "onnxruntime>=1.16")},
    "tflite": {
        "litert": ("numpy>=1.21", "ai-edge-litert>=1.0"),
        "tflite-runtime": ("numpy>=1.21,<2", "tflite-runtime>=2.14"),
    },
}


def requirements(runtimes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the lists by file name.

    Args:
        runtimes: formats, each with the runtime that its files were run with, in words.
    """
    return {
        f"requirements-{name}.txt": "\n".join((f"# exported and compared with {checked}", *lines)) + "\n"
        for file_format, checked in runtimes
        for name, lines in REQUIREMENTS.get(file_format, {}).items()
    }
