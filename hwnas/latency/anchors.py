"""Anchors: whole networks of a table that are timed again, to tell the machine's state now from that of the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from hwnas.errors import ConfigError, SpaceError
from hwnas.measure.drift import drift_corrected_ms, reference_ns
from hwnas.measure.table import LatencyTable
from hwnas.measure.table_lines import CheckKey
from hwnas.measure.timing import Measurement
from hwnas.network import Network, make_operator
from hwnas.ops import OPERATORS

ANCHORS = 10
"""Number of networks that are timed again."""


def anchors_of(table: LatencyTable, *, operators: Mapping[str, str] = OPERATORS) -> dict[CheckKey, Network]:
    """Return an even selection of the networks that the table holds whole, except those with unknown operators."""
    networks = {}
    for key in table.checks:
        with suppress(ConfigError, SpaceError):
            networks[key] = network_of(key, operators)
    keys = list(networks)
    chosen = np.linspace(0, len(keys) - 1, min(ANCHORS, len(keys))).round().astype(int)
    return {keys[index]: networks[keys[index]] for index in chosen}


def _times_ms(measurements: Sequence[Measurement], usual_ns: float | None) -> np.ndarray:
    """Return times in the state in which the reference takes `usual_ns`; unchanged times if that is None."""
    if usual_ns is None:
        return np.array([measurement.low_ms for measurement in measurements])
    return np.array(drift_corrected_ms(measurements, usual_ns))


def table_state(
    table: LatencyTable, session: Sequence[Measurement], anchors: Sequence[CheckKey], again: Sequence[Measurement]
) -> tuple[np.ndarray, float | None]:
    """Return a sitting's times in ms as they would be in the table's state, and the machine's slowdown since that
    state.

    In one sitting, samples are compared with the reference of their round. Table and sitting are compared by the times
    of anchors in both (timed `again` in the sitting): networks slow down as networks do, which a reference operator
    shows only roughly. Without anchors the reference has to do; without either, nothing is corrected.
    """
    usual_ns, now_ns = reference_ns(table.rows.values()), reference_ns([*session, *again])
    if not anchors:
        drift = None if now_ns is None or usual_ns is None else now_ns / usual_ns - 1
        return _times_ms(session, usual_ns), drift
    then_ms = _times_ms([table.checks[key] for key in anchors], usual_ns)
    slower = float(np.exp(np.mean(np.log(_times_ms(again, now_ns) / then_ms))))
    return _times_ms(session, now_ns) / slower, slower - 1


def network_of(key: CheckKey, operators: Mapping[str, str] = OPERATORS) -> Network:
    """Return the network of a check.

    Raises:
        ConfigError, SpaceError: it has an operator that is not among these.
    """
    chain = tuple(
        make_operator(kind, json.loads(knobs), where="a table's check", operators=operators) for kind, knobs, _ in key
    )
    return Network(chain, tuple(f"link_{number}" for number in range(len(key))), key[0][2])
