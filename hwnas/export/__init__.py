"""File formats: a module becomes a model file. A new one is one file and one row here."""

from __future__ import annotations

from collections.abc import Iterable

from hwnas.errors import ConfigError
from hwnas.export.format import PRECISIONS, Format
from hwnas.registry import Family, InstanceOf, member
from hwnas.runtimes import RUNTIMES, runtime_spec
from hwnas.tasks.ends import Shape, is_plain, shape_text

FORMATS = Family(
    "formats",
    {  # name in YAML -> what is known of it; its functions are imported on use
        "onnx": Format(
            "ONNX",
            ".onnx",
            "hwnas.export.onnx:export_onnx",
            PRECISIONS,
            "hwnas.export.tensors:onnx_tensors",
            packages=("onnx",),
        ),
        "tflite": Format(
            "TFLite",
            ".tflite",
            "hwnas.export.tflite:export_tflite",
            PRECISIONS,
            "hwnas.export.tensors:tflite_tensors",
            channels_last=True,
            module="litert_torch",
            extra="convert",
            packages=("litert-torch", "ai-edge-quantizer"),
        ),
        "pt2": Format(
            "PT2",
            ".pt2",
            "hwnas.export.pytorch:export_pytorch",
            ("fp32", "fp16"),
            "hwnas.export.tensors:pt2_tensors",
            packages=("torch",),
        ),
    },
    InstanceOf(Format),
)


def format_named(name: str) -> Format:
    """Return a format by its name.

    Raises:
        ConfigError: unknown format.
    """
    file_format: Format = member(FORMATS, name, what="file format", where="export")
    return file_format


def formats_of(names: Iterable[str]) -> dict[str, Format]:
    """Return formats by their names.

    Raises:
        ConfigError: unknown format, or two whose files would have the same name.
    """
    formats = {name: format_named(name) for name in names}
    by_suffix: dict[str, str] = {}
    for name, file_format in formats.items():
        if (other := by_suffix.setdefault(file_format.suffix, name)) != name:
            raise ConfigError(
                f"files of `{other}` and `{name}` both end in `{file_format.suffix}`",
                where="export.formats",
                allowed="In a bundle, each file has a name of its own",
                do="Leave one of them out",
            )
    return formats


def format_name_of(runtime: str) -> str:
    """Return the name of the format that a runtime is timed by.

    Raises:
        ConfigError: unknown runtime.
    """
    return runtime_spec(runtime).formats[0]


def format_of(runtime: str) -> Format:
    """Return the format that a runtime is timed by.

    Raises:
        ConfigError: unknown runtime, or a runtime of a format that there is not.
    """
    return format_named(format_name_of(runtime))


def check_precision(precision: str, file_format: Format) -> None:
    """Refuse a precision that files of a format cannot be written in.

    Raises:
        ConfigError: it is such a precision.
    """
    if precision not in file_format.precisions:
        raise ConfigError(
            f"precision `{precision}` cannot be written",
            where=f"export to {file_format.title}",
            allowed=f"Known: {', '.join(file_format.precisions)}",
            do="Use a known precision, or another runtime",
        )


def check_input(precision: str, input_shape: Shape, *, where: str = "export") -> None:
    """Refuse a precision that a network with such inputs cannot be written in.

    Raises:
        ConfigError: it is int8, whose scales are found for one float32 input.
    """
    if precision == "int8" and not is_plain(input_shape):
        raise ConfigError(
            f"int8 files of networks that take {shape_text(input_shape)} are asked for",
            where=where,
            allowed="Files in int8 are calibrated on one float32 input without a name of its own; "
            "other networks are written in fp32 and fp16",
            do="Set `precision: fp32` in the set-up",
        )


def runtime_for(format: str, preferred: str) -> str | None:
    """Return the name of a runtime that runs files of a format: the preferred one if it does, else the first on a
    processor; None if there is none. A distribution whose runtime cannot be imported is passed over.

    >>> runtime_for("tflite", "onnxruntime")
    'tflite'
    """
    names: Iterable[str] = dict.fromkeys((preferred, *RUNTIMES))
    for name in names:
        try:
            spec = runtime_spec(name)
        except ConfigError:
            continue
        if format in spec.formats and (name == preferred or "cpu" in spec.precisions):
            return name
    return None


__all__ = [
    "FORMATS",
    "PRECISIONS",
    "Format",
    "check_input",
    "check_precision",
    "format_name_of",
    "format_named",
    "format_of",
    "formats_of",
    "runtime_for",
]
