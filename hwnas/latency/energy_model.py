"""From a table's energies to the energy of any network: the sums and corrections of the latency model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from hwnas.errors import TableError
from hwnas.latency.model import LatencyModel
from hwnas.latency.rows import Missing
from hwnas.measure.energy.meter import Energy
from hwnas.measure.table import LatencyTable
from hwnas.measure.timing import Measurement
from hwnas.network import Network
from hwnas.ops import OPERATORS


@dataclass(frozen=True)
class EnergyEstimate:
    """Millijoules of a call above idling with an interval, and what they rest on."""

    mj: float
    low_mj: float
    high_mj: float
    origin: str
    estimated_rows: int = 0


@final
@dataclass(frozen=True, eq=False)
class EnergyModel:
    """Energies of networks on the set-up of one table.

    They are sums of the operators' medians, corrected by those of whole networks, as latencies are: see `LatencyModel`,
    whose numbers are millijoules here. With fewer than three networks the interval is the sensor's own error.
    """

    _model: LatencyModel
    _error: float
    """Relative error that the sensor may have: the largest of all rows."""

    @classmethod
    def of(
        cls,
        table: LatencyTable,
        *,
        missing: Missing = "error",
        bench: str = "hwnas bench SPACE --energy auto",
        operators: Mapping[str, str] = OPERATORS,
    ) -> EnergyModel:
        """Infer from a table's energies.

        Raises:
            TableError: it holds none.
        """
        if not any(key in table.energy for key in table.rows):
            raise TableError(
                "the table holds no energies",
                where=str(table.path),
                allowed="A set-up with `energy` measures them, where the machine has a sensor",
                do=f"Run `{bench}`, in an experiment with `energy: auto` in the set-up, or leave out what asks for it",
            )
        view = LatencyTable(
            table.path,
            table.setup,
            rows={key: _as_time(table.energy[key]) for key in table.rows if key in table.energy},
            checks={key: _as_time(table.energy[key]) for key in table.checks if key in table.energy},
            overhead=_as_time(table.energy[None]) if None in table.energy else None,
            origin=table.origin,
        )
        model = LatencyModel.of(view, missing=missing, bench=bench, operators=operators, unit="mJ")
        return cls(model, max(energy.error for energy in table.energy.values()))

    def predict(self, network: Network) -> EnergyEstimate:
        """Return the energy of a call.

        Raises:
            TableError: an operator's energy was not measured.
        """
        estimate = self._model.predict(network)
        origin = f"energies of {estimate.origin}"
        if self._model.posterior is None:
            low, high = estimate.ms * (1 - self._error), estimate.ms * (1 + self._error)
            return EnergyEstimate(estimate.ms, low, high, origin, estimate.estimated_rows)
        return EnergyEstimate(estimate.ms, estimate.low_ms, estimate.high_ms, origin, estimate.estimated_rows)

    def predict_mj(self, network: Network) -> float:
        """Return the expected energy alone, which a search minimises."""
        return self._model.predict_ms(network)


def energy_mj_of(
    table: LatencyTable, *, missing: Missing, bench: str, operators: Mapping[str, str]
) -> Callable[[Network], float]:
    """Return a function from a network to the millijoules of a call.

    Raises:
        TableError: the table holds no energies.
    """
    return EnergyModel.of(table, missing=missing, bench=bench, operators=operators).predict_mj


def _as_time(energy: Energy) -> Measurement:
    """Return millijoules where the model has milliseconds: its arithmetic knows no unit. Loops are off to both sides,
    so the median stands for them, and not the low quantile that times have."""
    return Measurement((energy.median_mj * 1e6,))
