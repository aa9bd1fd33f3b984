"""A model file of somebody else's in int8: faster here or not, and at which cost."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.io.atomic import why_unwritable, write_file
from hwnas.measure.events import Progress, no_progress
from hwnas.quantization.network_file import check_suffix, open_network_file
from hwnas.quantization.samples import random_samples, read_samples
from hwnas.quantization.sitting import quantize_network
from hwnas.verify.gate import SIGNIFICANT
from hwnas.verify.latency import SITTING

if TYPE_CHECKING:
    from hwnas.measure.timing import Timing
    from hwnas.quantization.on_board import Board
    from hwnas.quantization.result import Quantization


def quantize(
    file: str | Path,
    *,
    data: Path | None = None,
    out: Path | None = None,
    shape: Sequence[int] | None = None,
    threads: int = 1,
    timing: Timing = SITTING,
    progress: Progress = no_progress,
    board: Board | None = None,
) -> Quantization:
    """Quantize a float model file to int8, and tell whether that is faster, on this machine or a board.

    The file is written to `out`; without it, beside the file as NAME.int8.onnx (or .tflite), and only if it is faster,
    was calibrated on data, loses no significant accuracy, and nothing is there yet.

    Args:
        file: an .onnx or .tflite file with one float32 input.
        data: an .npz archive of raw `inputs`, as the file takes them, and `targets` (class indices), if there are any;
            random inputs if left out.
        out: where to write the best int8 file, whatever the verdict.
        shape: of the input, where an ONNX file leaves axes open.
        threads: of the runtime.
        timing: the measuring protocol.
        progress: is told how far it is.
        board: where the files are timed; this machine if left out.

    Returns:
        The result: `verdict`, the files with their times and accuracies, the costliest operators, what was written.

    Raises:
        ConfigError: the file cannot be quantized, or `out` cannot be written.
        DataError: the data cannot be used.
        HostAway: somebody else measures on this machine, or the board cannot be reached.
        RunError: the board lacks the runtime.

    Example:
        >>> from hwnas import pipeline
        >>> result = pipeline.quantize("runs/mini/bundle/cloud/best.onnx")
        >>> [one.name for one in result.files], result.written
        (['fp32', 'u8s8', 's8s8'], None)
    """
    path = Path(file)
    check_suffix(path)
    _check_out(path, out)
    with tempfile.TemporaryDirectory(prefix="hwnas-quantize-") as temporary:
        folder = Path(temporary)
        network = open_network_file(path, folder, shape)
        samples = random_samples(network.shape) if data is None else read_samples(data, network.shape)
        result, best = quantize_network(
            network, samples, folder, threads=threads, timing=timing, progress=progress, board=board
        )
        target, reason = decided(result, path, out, calibrated=data is not None)
        if target is not None:
            write_file(target, best.read_bytes(), what="int8 file")
        return replace(result, written=None if target is None else str(target), reason=reason)


def _check_out(path: Path, out: Path | None) -> None:
    if out is None:
        return
    if out.suffix.lower() != path.suffix.lower():
        problem, do = f"-o {out} does not end in {path.suffix}", "Name a file of the same format"
    elif out.exists() and out.samefile(path):
        problem, do = f"-o {out} is the float file itself", "Name another file"
    elif why := why_unwritable(out):
        problem, do = f"-o {out} cannot be written ({why})", "Name a file in a folder that exists and is yours"
    else:
        return
    raise ConfigError(problem, where="hwnas quantize", allowed="The int8 file is written beside the float one", do=do)


def decided(result: Quantization, path: Path, out: Path | None, *, calibrated: bool) -> tuple[Path | None, str]:
    """Return where the int8 file goes, and why, or why it is not written."""
    if out is not None:
        return out, "asked for"
    target = path.with_suffix(f".int8{path.suffix}")
    accuracy = result.chosen.accuracy
    if result.verdict != "faster":
        return None, "it is not faster; -o FILE writes it all the same"
    if not calibrated:
        return None, "it was calibrated on random inputs; give --data, or -o FILE to write it all the same"
    if accuracy.get("p_value", 1.0) < SIGNIFICANT and accuracy["difference"] < 0:
        return None, "it is less accurate by more than chance; -o FILE writes it all the same"
    if target.exists():
        return None, f"{target} exists and is kept; -o FILE writes over a file"
    if why := why_unwritable(target):
        return None, f"{target} cannot be written ({why}); -o FILE writes elsewhere"
    return target, "it is faster"
