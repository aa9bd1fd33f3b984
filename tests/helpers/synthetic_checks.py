"""Synthetic facts of a checked table: made-up numbers that look like those of `hwnas check`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwnas.latency.agreement import PredictionQuality
from hwnas.report.validation.table_check import Checked, CheckedNetwork

SETUP = {"device": "Xeon, 2 cores", "runtime": "onnxruntime", "runtime_version": "1.32.0", "threads": 1,
         "precision": "fp32", "batch": 1}  # fmt: skip


def synthetic(count: int = 60, *, model: float = 0.012, noise: float = 0.008, checks: bool = True) -> Checked:
    """A check of an OFA-like table: `model` and `noise` are relative standard deviations."""
    rng = np.random.default_rng(0)
    measured = rng.uniform(8, 40, count)
    predicted = measured * rng.normal(1, model, count)
    again = measured * rng.normal(1, noise, count)
    half = 1.645 * model * predicted
    guesses = {"sum": measured * rng.normal(1.07, 0.02, count)}
    if checks:
        guesses |= {"macs": measured * rng.normal(1, 0.12, count), "ridge": measured * rng.normal(1, 0.05, count)}
    networks = tuple(
        CheckedNetwork(
            f"{rng.integers(2**40):010x}", "ofa", 20, int(1e7 * measured[i]), predicted[i], predicted[i] - half[i],
            predicted[i] + half[i], measured[i], again[i], 1.02 * measured[i],
            {name: float(guess[i]) for name, guess in guesses.items()},
        )
        for i in range(count)
    )  # fmt: skip
    baselines = {name: PredictionQuality.of(guess, measured) for name, guess in guesses.items()}
    why = "it is fitted to at least 3 whole networks, and the table holds 0"
    gaps = {} if checks else dict.fromkeys(("macs", "ridge"), why)
    return Checked(
        table=Path("tables/my_board.jsonl"), setup=SETUP, spaces=("ofa",), seed=0,
        origin="20 checks and 90 rows" if checks else "sum of rows, of 90",
        model=PredictionQuality.of(predicted, measured, low=predicted - half, high=predicted + half),
        uncorrected=PredictionQuality.of(predicted, 1.02 * measured), noise=PredictionQuality.of(again, measured),
        baselines={**baselines, **dict.fromkeys(gaps)}, absent=gaps, drift=0.02, drift_again=-0.01, networks=networks,
    )  # fmt: skip
