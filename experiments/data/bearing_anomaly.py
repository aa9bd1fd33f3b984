"""Simulated vibration of a ball bearing: training on a healthy one, tests with defects of its outer and inner ring.

A window is 4,096 samples at 12 kHz of a shaft that turns at `f` = 28 to 32 revolutions a second:

    x(t) = sum over h = 1..4 of a_h sin(2 pi h f t + p_h)   the shaft, a_h = 0.5 / h, each times 0.7..1.3
         + n(t)                                             white noise of standard deviation 0.3, times 0.8..1.25
         + s sum over k of m(t_k) e(t - t_k)                a defect, if there is one
    e(t) = exp(-800 t) sin(2 pi f_r t) for t >= 0           a ring that is struck resounds at f_r = 2.8 to 3.2 kHz

It is struck at t_k = (k + j_k) / f_d, with a slip j_k of standard deviation 0.02, at the frequency of the defect:

    outer ring  f_d = BPFO = n f / 2 (1 - d / D cos b)      m = 1, the load does not move
    inner ring  f_d = BPFI = n f / 2 (1 + d / D cos b)      m = 1 + 0.8 sin(2 pi f t), it turns through the load

with n = 9 balls of d = 7.94 mm on a circle of D = 39.04 mm at contact angle b = 0, as in a bearing 6205: BPFO = 3.585
times f, BPFI = 5.415 times f. The severity s is 0.1 to 1. No bearing was measured.

A network sees the logarithm of the power in 128 equal bands up to 6 kHz, the mean of seven frames of 1,024 samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.data.cache import Arrays, cached_arrays

RATE, SAMPLES, FRAME, FRAMES, BANDS = 12_000, 4096, 1024, 7, 128
BALLS, BALL_MM, PITCH_MM = 9, 7.94, 39.04
SHAFT_HZ, RESONANCE_HZ, DECAY, SLIP = (28.0, 32.0), (2800.0, 3200.0), 800.0, 0.02
SEVERITY = (0.1, 1.0)
WINDOWS = {"train": 6000, "validation": 1000, "test": 1000}
SEED = 0
VERSION = 1
"""Goes up when the windows change, so that those of an earlier version are not taken from the cache."""

Numbers = NDArray[np.float64]


def load() -> dict[str, Any]:
    """Return healthy windows to learn from, and healthy and defective ones, labelled 0 and 1, to be told apart."""
    arrays = cached_arrays("bearing_anomaly", {"version": VERSION, "windows": WINDOWS}, lambda: make(WINDOWS))
    return {split: (arrays[f"x_{split}"], arrays[f"y_{split}"]) for split in WINDOWS}


def make(windows: dict[str, int]) -> Arrays:
    """Return `x_SPLIT` and `y_SPLIT` for so many windows of each split."""
    arrays = Arrays()
    for number, (split, count) in enumerate(windows.items()):
        rng = np.random.default_rng([SEED, number])
        labels = np.zeros(count, np.int64) if split == "train" else np.arange(count) % 2
        kinds = [str(rng.choice(["outer", "inner"])) if label else None for label in labels]
        arrays[f"x_{split}"] = features(np.stack([vibration(kind, rng) for kind in kinds]))
        arrays[f"y_{split}"] = labels
    return arrays


def defect_hz(kind: str, shaft_hz: float) -> float:
    """Return how often a defect of the `outer` or the `inner` ring is struck in a second (BPFO, BPFI)."""
    ratio = BALL_MM / PITCH_MM * (1 if kind == "inner" else -1)
    return BALLS * shaft_hz / 2 * (1 + ratio)


def vibration(kind: str | None, rng: np.random.Generator) -> Numbers:
    """Return one window (4096,) of a healthy bearing (None), or of one with a defect of that ring."""
    time, shaft = np.arange(SAMPLES) / RATE, rng.uniform(*SHAFT_HZ)
    signal = 0.3 * rng.uniform(0.8, 1.25) * rng.standard_normal(SAMPLES)
    for harmonic in range(1, 5):
        level, phase = 0.5 / harmonic * rng.uniform(0.7, 1.3), rng.uniform(0, 2 * np.pi)
        signal += level * np.sin(2 * np.pi * harmonic * shaft * time + phase)
    return signal if kind is None else signal + _defect(kind, shaft, time, rng)


def _defect(kind: str, shaft: float, time: Numbers, rng: np.random.Generator) -> Numbers:
    severity, resonance, phase = rng.uniform(*SEVERITY), rng.uniform(*RESONANCE_HZ), rng.uniform(0, 2 * np.pi)
    rate = defect_hz(kind, shaft)
    strokes = np.arange(-1, int(time[-1] * rate) + 2)
    struck = (strokes + rng.uniform() + SLIP * rng.standard_normal(len(strokes))) / rate
    load = 1 + 0.8 * np.sin(2 * np.pi * shaft * struck + phase) if kind == "inner" else np.ones(len(struck))
    since = time - struck[:, None]
    ringing = np.where(since >= 0, np.exp(-DECAY * np.maximum(since, 0)) * np.sin(2 * np.pi * resonance * since), 0)
    return np.asarray(severity * (load @ ringing))


def features(signals: Numbers) -> NDArray[np.float32]:
    """Return (N, 128): the logarithm of the mean power in equal bands, over frames that overlap by half."""
    starts = np.linspace(0, SAMPLES - FRAME, FRAMES).astype(int)
    frames = np.stack([signals[:, start : start + FRAME] for start in starts], axis=1) * np.hanning(FRAME)
    power = np.square(np.abs(np.fft.rfft(frames)))[..., 1:].mean(axis=1)
    return np.log(power.reshape(len(signals), BANDS, -1).mean(axis=-1) + 1e-6).astype(np.float32)
