"""Outputs of an int8 file beside those of the float file, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.quantization.network_file import NetworkFile
from hwnas.quantization.samples import FileSamples
from hwnas.runtimes import Runtime
from hwnas.tasks.metrics.paired import PairedCounts

Array = NDArray[Any]

NO_SIGNAL_DB = -300.0
"""Ratio of outputs that have none: below that of any that have one."""


@dataclass(frozen=True, eq=False)
class FileOutputs:
    """Outputs of a file for samples."""

    outputs: tuple[Array, ...]

    @property
    def classes(self) -> Array | None:
        """The largest of each sample's outputs; None of networks that do not give one row of scores a sample."""
        if len(self.outputs) != 1:
            return None
        rows = self.outputs[0].reshape(len(self.outputs[0]), -1)
        longest = max(self.outputs[0].shape[1:], default=1)
        return rows.argmax(1) if rows.shape[1] == longest > 1 else None


def answers_of(path: Path, file: NetworkFile, samples: Array, runtime: Runtime) -> FileOutputs:
    """Run a file on samples."""
    inputs = np.moveaxis(samples, -1, 1) if file.channels_last else samples
    outputs = runtime.load(path).run(inputs)
    listed: Sequence[Array] = outputs if isinstance(outputs, tuple) else (outputs,)
    return FileOutputs(tuple(np.asarray(one) for one in listed))


def flips(answers: FileOutputs, reference: FileOutputs) -> int | None:
    """Return how many samples are answered otherwise; None where there are no classes."""
    mine, others = answers.classes, reference.classes
    return None if mine is None or others is None else int((mine != others).sum())


def snr_db(answers: FileOutputs, reference: FileOutputs) -> float | None:
    """Return the least signal-to-noise ratio of the outputs in dB; None if they are equal.

    It is `NO_SIGNAL_DB` of outputs that are not finite, or where those of the reference are 0 everywhere.
    """
    ratios = []
    for mine, others in zip(answers.outputs, reference.outputs, strict=True):
        signal = float(np.square(others, dtype=np.float64).sum())
        noise = float(np.square(mine.astype(np.float64) - others).sum())
        if noise != 0:
            known = signal > 0 and math.isfinite(noise + signal)
            ratios.append(10 * math.log10(signal / noise) if known else NO_SIGNAL_DB)
    return min(ratios, default=None)


def compared(answers: FileOutputs, reference: FileOutputs, samples: FileSamples) -> dict[str, Any]:
    """Return what int8 costs: noise, share of same answers, and with targets the paired counts with McNemar's test."""
    different, count = flips(answers, reference), len(samples.judged)
    result: dict[str, Any] = {
        "samples": count,
        "random_inputs": samples.random,
        "snr_db": snr_db(answers, reference),
        "agreement": None if different is None else 1 - different / count,
    }
    if samples.targets is not None and answers.classes is not None and reference.classes is not None:
        right, before = answers.classes == samples.targets, reference.classes == samples.targets
        result |= {
            "fp32_top1": float(before.mean()),
            "int8_top1": float(right.mean()),
            **PairedCounts.of(before, right).entry,
        }
    return result
