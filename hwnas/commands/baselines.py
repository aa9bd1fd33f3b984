"""Baselines that a table's predictions are compared with: its plain sum, a line on MACs and a ridge on operators."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hwnas.errors import ConfigError, HwnasError, SpaceError
from hwnas.latency.agreement import Floats
from hwnas.latency.baselines import Predict, fit_line, fit_ridge
from hwnas.latency.model import FEWEST_CHECKS, LatencyModel
from hwnas.measure.drift import drift_corrected_ms, reference_ns
from hwnas.measure.table import LatencyTable, check_key, row_key
from hwnas.measure.table_lines import CheckKey, RowKey
from hwnas.network import Network, known_operators, make_operator, operators_of
from hwnas.ops import Operator, Shape
from hwnas.ops.costs import operator_costs
from hwnas.space import AnySpace


def baselines(
    table: LatencyTable, spaces: Sequence[AnySpace], networks: Sequence[Network]
) -> tuple[dict[str, Floats | None], dict[str, str]]:
    """Return each baseline's predictions for the networks, None where it cannot be fitted, and the reasons. All
    fitted ones have the checks that the model has."""
    plain = LatencyModel.of(replace(table, checks={}))
    guesses: dict[str, Floats | None] = {"sum": np.array([plain.predict_ms(network) for network in networks])}
    absent: dict[str, str] = {}
    usual_ns = reference_ns(table.rows.values())
    timed_ms = np.array(drift_corrected_ms(list(table.checks.values()), usual_ns))
    learnt = list(table.checks)
    keys = [check_key(network) for network in networks]
    fits: dict[str, tuple[Callable[[Floats, Floats], Predict], Callable[[Sequence[CheckKey]], Floats]]] = {
        "macs": (fit_line, _macs_reader(spaces)),
        "ridge": (fit_ridge, _counts_reader(learnt)),
    }
    for name, (fit, features) in fits.items():
        guesses[name] = None
        if len(learnt) < FEWEST_CHECKS:
            absent[name] = (
                f"it is fitted to whole networks, and the table holds {len(learnt)} of at least {FEWEST_CHECKS}"
            )
            continue
        try:
            guesses[name] = fit(features(learnt), timed_ms)(features(keys))
        except HwnasError as error:
            absent[name] = error.met
    return guesses, absent


def _counts_reader(learnt: Sequence[CheckKey]) -> Callable[[Sequence[CheckKey]], Floats]:
    """Return a reader that counts how often each operator of the known checks occurs."""
    columns = {key: index for index, key in enumerate(dict.fromkeys(key for keys in learnt for key in keys))}

    def counts(chains: Sequence[CheckKey]) -> Floats:
        matrix = np.zeros((len(chains), len(columns)))
        for row, keys in zip(matrix, chains, strict=True):
            for key in keys:
                if key in columns:
                    row[columns[key]] += 1
        return matrix

    return counts


def _macs_reader(spaces: Sequence[AnySpace]) -> Callable[[Sequence[CheckKey]], Floats]:
    """Return a reader of the multiply-accumulates of networks that are known by their keys alone; operators that a user
    wrote are looked up in the spaces."""
    known: dict[RowKey, int] = {}
    operators = known_operators(*spaces)

    def macs_of(key: RowKey) -> int:
        if key not in known:
            kind, knobs, shape = key
            link: tuple[Operator, Shape] | None
            try:
                link = make_operator(kind, json.loads(knobs), where="a check of the table", operators=operators), shape
            except (ConfigError, SpaceError):
                links = (link for space in spaces for link in operators_of(space))
                link = next((link for link in links if row_key(*link) == key), None)
                if link is None:
                    raise
            known[key] = operator_costs(*link).macs
        return known[key]

    return lambda chains: np.array([float(sum(map(macs_of, keys))) for keys in chains])
