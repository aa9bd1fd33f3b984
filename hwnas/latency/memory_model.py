"""Peak memory of a network, predicted from networks that were measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

import numpy as np

from hwnas.errors import ConfigError, SpaceError, TableError
from hwnas.latency.anchors import network_of
from hwnas.latency.posterior import Floats
from hwnas.latency.rows import Missing
from hwnas.measure.table import LatencyTable
from hwnas.network import Network, costs
from hwnas.ops import OPERATORS
from hwnas.words import counted

MIN_NETWORKS = 6
"""With fewer networks, three unknowns leave nothing to tell the error by."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class PeakEstimate:
    """MB of 1,000,000 bytes beside the runtime, with an interval, and what they rest on."""

    mb: float
    low_mb: float
    high_mb: float
    origin: str


@final
@dataclass(frozen=True, eq=False)
class PeakModel:
    """Peaks of networks on the set-up of one table.

    `peak = constant + a * parameters + b * activation bytes + noise`, by least squares over the networks that were
    measured whole. The interval holds the next measurement with 90 % probability.
    """

    coefficients: Floats
    """Of 1, parameters in millions, activations in MB."""
    _spread: Floats
    """(3, 3) inverse of the features' products."""
    _noise_mb: float
    _freedom: int
    origin: str

    @classmethod
    def of(
        cls, table: LatencyTable, *, bench: str = "hwnas bench SPACE --memory", operators: Mapping[str, str] = OPERATORS
    ) -> PeakModel:
        """Fit to the networks whose peak the table holds.

        Raises:
            TableError: there are fewer than `MIN_NETWORKS` of hwnas's own operators.
        """
        known: list[tuple[Network, float]] = []
        for key in table.checks:
            with suppress(ConfigError, SpaceError):
                known += [(network_of(key, operators), table.memory[key].peak_mb)] if key in table.memory else []
        if len(known) < MIN_NETWORKS:
            raise TableError(
                f"the table tells the memory of {counted(len(known), 'whole network')}",
                where=str(table.path),
                allowed=f"{MIN_NETWORKS} are needed, of operators that hwnas knows by name",
                do=f"Run `{bench}`, in an experiment with `memory: true` in the set-up, with {MIN_NETWORKS} checks, or "
                "leave out what asks for it",
            )
        features, peaks = _features([network for network, _ in known]), np.array([mb for _, mb in known])
        coefficients: Floats = np.linalg.lstsq(features, peaks, rcond=None)[0]
        freedom = len(known) - features.shape[1]
        noise = float(np.sqrt(((peaks - features @ coefficients) ** 2).sum() / freedom))
        spread = np.asarray(np.linalg.pinv(features.T @ features), dtype=np.float64)
        return cls(coefficients, spread, noise, freedom, f"{counted(len(known), 'network')} measured")

    def predict(self, network: Network) -> PeakEstimate:
        """Return the peak of a network."""
        features = _features([network])[0]
        mb = float(features @ self.coefficients)
        off = student(CONFIDENCE, self._freedom) * self._noise_mb * float(1 + features @ self._spread @ features) ** 0.5
        return PeakEstimate(max(mb, 0.0), max(mb - off, 0.0), mb + off, self.origin)


def peak_mb_of(
    table: LatencyTable, *, missing: Missing, bench: str, operators: Mapping[str, str]
) -> Callable[[Network], float]:
    """Return a function from a network to the MB of its peak; the model estimates no rows, so `missing` is not used.

    Raises:
        TableError: the table tells the memory of too few networks.
    """
    model = PeakModel.of(table, bench=bench, operators=operators)
    return lambda network: model.predict(network).mb


def student(q: float, freedom: int) -> float:
    """Return the quantile of Student's t, by its expansion about the normal one (Abramowitz and Stegun, 26.7.5)."""
    x, n = NormalDist().inv_cdf(q), freedom
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return float(x + sum(term / n ** (power + 1) for power, term in enumerate(terms)))


def _features(networks: Sequence[Network]) -> Floats:
    totals = [costs(network) for network in networks]
    return np.array([[1.0, total.params / 1e6, total.activation_bytes / 1e6] for total in totals])
