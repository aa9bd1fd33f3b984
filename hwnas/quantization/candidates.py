"""Int8 files of a network: one for each scheme of integers, by the calibrator that changes fewest answers."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import HwnasError, MissingExtra
from hwnas.io.quiet import suppress_stdio
from hwnas.quantization.answers import FileOutputs, answers_of, flips, snr_db
from hwnas.quantization.network_file import NetworkFile, first_line, prepare_onnx, refusal
from hwnas.quantization.samples import FileSamples, calibration_batches
from hwnas.quantization.tflite_source import prepare_tflite
from hwnas.runtimes import Runtime

SCHEMES = {"onnxruntime": {"u8s8": False, "s8s8": True}, "tflite": {"s8s8": True}}
"""Runtime -> integers of activations and weights that its files may have -> signed activations."""


@dataclass(frozen=True)
class Int8File:
    """An int8 file."""

    scheme: str
    calibrator: str
    path: Path
    chosen_by: dict[str, Any] = field(default_factory=dict)
    """By calibrator, how many samples it answers otherwise and the noise; empty where none was chosen."""


def write_candidates(
    file: NetworkFile, samples: FileSamples, runtime: Runtime, folder: Path, notices: list[str]
) -> Iterator[Int8File]:
    """Write an int8 file for each scheme, and yield it.

    Args:
        file: the float network.
        samples: to calibrate and to choose with.
        runtime: runs files.
        folder: for the files.
        notices: gets what could not be written.

    Raises:
        ConfigError: no scheme can be written.
    """
    source = folder / f"prepared{file.path.suffix.lower()}"
    if file.runtime == "onnxruntime":
        prepare_onnx(file, source)
    else:
        prepare_tflite(file.path, source)
    reference = answers_of(file.float_path, file, samples.choice, runtime) if len(samples.choice) else None
    written, why = 0, ""
    for scheme in SCHEMES[file.runtime]:
        try:
            candidate = _candidate(file, source, scheme, samples, runtime, reference)
        except MissingExtra:
            raise
        except Exception as error:  # quantizers raise errors of every kind about what they do not know
            why = (first_line(error).splitlines() or [type(error).__name__])[0]
            notices.append(f"no file in {scheme}: {why}")
            continue
        written += 1
        yield candidate
    if not written:
        raise refusal(
            file.path,
            f"it cannot be quantized ({why})",
            "Leave it in fp32, or export it with operators of the standard set",
            allowed="The quantizers of ONNX Runtime and LiteRT know its operators",
        )


def _candidate(
    file: NetworkFile, source: Path, scheme: str, samples: FileSamples, runtime: Runtime, reference: FileOutputs | None
) -> Int8File:
    if reference is None or file.runtime != "onnxruntime":
        path = _write(file, source, scheme, "minmax", calibration_batches(samples, file.shape[0]))
        runtime.load(path)
        return Int8File(scheme, "minmax", path)
    from hwnas.export.quantize_onnx import CALIBRATORS

    paths: dict[str, Path] = {}
    scores: dict[str, dict[str, Any]] = {}
    for calibrator in CALIBRATORS:
        try:
            path = _write(file, source, scheme, calibrator, calibration_batches(samples, file.shape[0]))
            answers = answers_of(path, file, samples.choice, runtime)
        except Exception as error:  # histograms fail on tensors that are constant or empty
            if calibrator == "minmax":
                raise
            scores[calibrator] = {"failed": first_line(error)}
            continue
        paths[calibrator] = path
        scores[calibrator] = {"flips": flips(answers, reference), "snr_db": snr_db(answers, reference)}
    best = min(paths, key=lambda name: _rank(scores[name]))  # the first, min-max, of equal ones
    return Int8File(scheme, best, paths[best], scores)


def _rank(score: dict[str, Any]) -> tuple[int, float]:
    snr = score["snr_db"]
    return score["flips"] or 0, -np.inf if snr is None else -snr


def _write(file: NetworkFile, source: Path, scheme: str, calibrator: str, batches: Sequence[Any]) -> Path:
    target = source.with_name(f"{scheme}-{calibrator}{source.suffix}")
    shutil.copyfile(source, target)
    with suppress_stdio(), warnings.catch_warnings():  # both quantizers tell of their own ways
        warnings.simplefilter("ignore")
        if file.runtime == "onnxruntime":
            quantized = _write_onnx(target, batches, SCHEMES[file.runtime][scheme], calibrator)
        else:
            from hwnas.export.quantize_tflite import quantize_tflite

            quantize_tflite(target, [np.moveaxis(batch, -1, 1) for batch in batches], whole=True)
            quantized = target.read_bytes() != source.read_bytes()
    if not quantized:
        raise HwnasError(
            "it has no operator with an integer form", where=str(file.path), allowed="It has convolutions", do="Keep it"
        )
    return target


def _write_onnx(target: Path, batches: Sequence[Any], signed: bool, calibrator: str) -> bool:
    import onnx

    from hwnas.export.quantize_onnx import quantize_onnx

    quantize_onnx(target, batches, whole=True, signed=signed, calibrator=calibrator)
    return any(node.op_type == "QuantizeLinear" for node in onnx.load(target).graph.node)
