"""Quantization of a file: candidates written, timed beside fp32 in shared rounds, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import ExportError
from hwnas.measure.events import Progress, no_progress
from hwnas.measure.session import SessionResult, time_files
from hwnas.measure.timing import Measurement, Timing
from hwnas.quantization.answers import answers_of, compared
from hwnas.quantization.candidates import Int8File, write_candidates
from hwnas.quantization.network_file import NetworkFile
from hwnas.quantization.on_board import Board
from hwnas.quantization.operators import costliest_operators
from hwnas.quantization.result import Quantization, TimedFile
from hwnas.quantization.samples import FileSamples
from hwnas.runtimes import open_runtime
from hwnas.runtimes.setup import saturates_int8
from hwnas.verify.latency import ratio_of

FLOAT = "fp32"


def quantize_network(
    file: NetworkFile,
    samples: FileSamples,
    folder: Path,
    *,
    threads: int,
    timing: Timing,
    progress: Progress = no_progress,
    board: Board | None = None,
) -> tuple[Quantization, Path]:
    """Return the result, and the path of the best int8 file in a folder.

    Args:
        file: the float network.
        samples: to calibrate and to judge with.
        folder: for all files.
        threads: of the runtime.
        timing: the protocol.
        progress: is told how far it is.
        board: where files are timed; this machine if left out. Files are written and judged on this one.

    Raises:
        ConfigError: it cannot be quantized.
        ExportError: a file cannot be timed.
        HostAway: the board cannot be reached.
        RunError: it cannot time the files.
    """
    runtime = open_runtime(file.runtime, threads=threads, precision=FLOAT, batch=file.shape[0])
    notices: list[str] = []
    candidates = list(write_candidates(file, samples, runtime, folder, notices))
    reference = answers_of(file.float_path, file, samples.judged, runtime)
    accuracies = {
        one.scheme: compared(answers_of(one.path, file, samples.judged, runtime), reference, samples)
        for one in candidates
    }
    paths, setup = [file.float_path, *(one.path for one in candidates)], runtime.setup.as_dict()
    if board is None:
        sitting = time_files(paths, runtime, timing, progress=progress)
    else:
        sitting, setup = board.time_files(paths, setup, timing)
    measured = _measured(paths, sitting, setup["runtime"])
    best = _best(candidates, measured[1:], accuracies, timing.processes)
    rows = [_row(FLOAT, None, file.float_path, measured[0], measured[0], timing)]
    for one, measurement in zip(candidates, measured[1:], strict=True):
        rows.append(_row(one.scheme, one, one.path, measurement, measured[0], timing, accuracies[one.scheme]))
    operators = {}
    if file.runtime == "onnxruntime" and board is None:
        for name, path in ((FLOAT, file.float_path), ("int8", best.path)):
            operators[name] = costliest_operators(path, file.shape, threads, folder)
    notices += _notices(file, samples, best, board)
    result = Quantization(str(file.path), setup, tuple(rows), best.scheme, operators, tuple(notices))
    return result, best.path


def _measured(paths: Sequence[Path], sitting: SessionResult, runtime: str) -> list[Measurement]:
    for index, path in enumerate(paths):
        if index not in sitting.measured:
            raise ExportError(
                f"the {'float file' if index == 0 else path.stem + ' file'} cannot be timed "
                f"({sitting.failed.get(index, 'it gave no samples')})",
                where=runtime,
                allowed="All files are timed in the same rounds",
                do="Run the command again; if it persists, leave the file in fp32",
            )
    return [sitting.measured[index] for index in range(len(paths))]


def _best(
    candidates: Sequence[Int8File],
    measured: Sequence[Measurement],
    accuracies: dict[str, dict[str, Any]],
    processes: int,
) -> Int8File:
    """Return the fastest; of two whose times do not differ, the one with less noise."""
    order = sorted(range(len(candidates)), key=lambda index: measured[index].median_ms)
    first = order[0]
    for other in order[1:]:
        if ratio_of(measured[other], measured[first], processes).low <= 1:
            noises = [accuracies[candidates[index].scheme]["snr_db"] for index in (first, other)]
            if None not in noises and noises[1] > noises[0]:
                first = other
    return candidates[first]


def _row(
    name: str,
    candidate: Int8File | None,
    path: Path,
    measured: Measurement,
    reference: Measurement,
    timing: Timing,
    accuracy: dict[str, Any] | None = None,
) -> TimedFile:
    ratio = ratio_of(measured, reference, timing.processes)
    return TimedFile(
        name,
        None if candidate is None else candidate.calibrator,
        path.stat().st_size,
        measured.low_ms,
        measured.median_ms,
        ratio.ratio,
        ratio.low,
        ratio.high,
        accuracy or {},
        {} if candidate is None else candidate.chosen_by,
    )


def _notices(file: NetworkFile, samples: FileSamples, best: Int8File, board: Board | None) -> list[str]:
    notices = []
    if samples.random:
        notices.append("calibrated on random inputs: times are valid, accuracies are not; give --data")
    if board is not None:
        notices.append(
            f"timed on {board.host.name}; files were judged on this machine, where operators are not profiled"
        )
    elif file.runtime == "tflite":
        notices.append("LiteRT's interpreter has no profile in Python: no operators are listed")
    if board is None and best.scheme == "u8s8" and saturates_int8():
        notices.append("this processor has no VNNI: sums of unsigned by signed bytes may saturate; compare s8s8")
    return notices
