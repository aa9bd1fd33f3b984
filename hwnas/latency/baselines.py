"""Baselines of the latency model: fits to the same whole networks that use no operator's own timing.

Both fits weigh errors relative to the timings, as the errors that are reported are relative.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwnas.latency.agreement import Floats

Predict = Callable[[Floats], Floats]
"""Features of new networks in, (networks,) or (networks, features); (networks,) ms out."""

STRENGTHS = tuple(10 ** (power / 4) for power in range(-20, 13))
"""Ridge penalties that are tried, in units of the squared mean time."""


def fit_line(macs: Floats, timed_ms: Floats) -> Predict:
    """Fit time to multiply-accumulates by least squares, with an intercept; `macs` and `timed_ms` are (networks,)."""
    scale = max(float(np.max(macs)), 1.0)

    def columns(macs: Floats) -> Floats:
        return np.stack([np.ones(len(macs)), macs / scale], axis=1)

    solved = np.linalg.lstsq(columns(macs) / timed_ms[:, None], np.ones(len(timed_ms)), rcond=None)[0]
    return lambda macs: columns(macs) @ solved


def fit_ridge(counts: Floats, timed_ms: Floats) -> Predict:
    """Fit time by ridge regression to how often each operator occurs, `counts` (networks, operators).

    The intercept is not penalised. The penalty is the one of STRENGTHS with the least squared leave-one-out error,
    which for a ridge has a closed form: each residual over one minus its leverage.
    """
    scale = float(timed_ms.mean())

    def columns(counts: Floats) -> Floats:
        return np.concatenate([np.ones((len(counts), 1)), counts], axis=1)

    features, target = columns(counts) * (scale / timed_ms)[:, None], np.ones(len(timed_ms))
    penalized = np.diag([0.0, *np.ones(counts.shape[1])])

    def solve(strength: float) -> tuple[float, Floats]:
        gain = np.linalg.solve(features.T @ features + strength * penalized, features.T)
        leverage = np.einsum("ij,ji->i", features, gain)
        left_out = (target - features @ (gain @ target)) / np.maximum(1 - leverage, 1e-9)
        return float(left_out @ left_out), np.asarray(gain @ target, dtype=np.float64)

    solved = min((solve(strength) for strength in STRENGTHS), key=lambda result: result[0])[1]
    return lambda counts: scale * (columns(counts) @ solved)
