"""Metrics as text, and the table of quantities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.latency.building import quantities as building
from hwnas.measure.worker import JOBS
from hwnas.network import costs, lower
from hwnas.pareto import Objective, Tier, picks
from hwnas.quantities import LATENCY, QUANTITIES, Metric, Quantity, quantity_of, shown_as
from hwnas.registry import imported
from hwnas.report import units
from tests.helpers.tiny import tiny

OWN: list[Quantity] = list(QUANTITIES.own.values())
names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
sources = st.from_regex(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,8})?", fullmatch=True)
quantiles = st.none() | st.integers(1, 999).map(lambda part: part / 1000)


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("params", Metric("params")),
        ("latency_ms@pi4", Metric("latency_ms", "pi4")),
        ("latency_ms@pi4:p90", Metric("latency_ms", "pi4", 0.9)),
        ("latency_ms@pi4:p97.5", Metric("latency_ms", "pi4", 0.975)),
        ("top1@inherited", Metric("top1", "inherited")),
        ("score@a:b", Metric("score", "a:b")),
    ],
)
def test_a_metric_is_read_as_it_is_written(text: str, metric: Metric) -> None:
    assert Metric.parse(text) == metric
    assert str(metric) == text


@given(names, sources, quantiles)
def test_reading_undoes_writing(quantity: str, source: str, quantile: float | None) -> None:
    metric = Metric(quantity, source, quantile if source else None)
    assert Metric.parse(str(metric)) == metric


@pytest.mark.parametrize("quantity", OWN, ids=lambda quantity: quantity.name)
def test_every_quantity_is_known_in_one_way_and_every_name_leads_somewhere(quantity: Quantity) -> None:
    ways = (quantity.over_operators, quantity.of_network, quantity.of_setup, quantity.model)
    assert sum(way is not None for way in ways) == (0 if quantity.is_quality else 1)
    assert quantity_of(quantity.name, where="test") is quantity
    assert quantity.model is None or callable(imported(quantity.model, what="model", where="test"))
    assert quantity.measured is None or quantity.measured.job in JOBS
    assert units.Units().scored(quantity.name, 0.5)


def test_quantities_over_operators_are_the_costs_of_the_network() -> None:
    network = lower(tiny("digits"), tiny("digits").largest())
    total = costs(network)
    values = {one.name: one.derive(network, None) for one in OWN if one.is_derived}
    assert values == {
        "params": total.params, "macs": total.macs, "activation_kib": total.activation_bytes / 1024,
    }  # fmt: skip


def test_a_quantity_that_is_not_installed_is_shown_by_its_name() -> None:
    assert (shown_as("payload_kib").label, shown_as("payload_kib").unit) == ("Payload", "KiB")
    assert units.Units().scored("payload_kib@link", 2) == "2 KiB"


def test_objectives_are_reached_by_name() -> None:
    objectives = (
        Objective("perplexity@alone", "min"), Objective("energy_mj@pi4", "min"), Objective("latency_ms@pi4", "min"),
    )  # fmt: skip
    tier = Tier("edge", objectives)
    assert tier.quality is objectives[0]
    assert tier.cost(LATENCY.name) is objectives[2]
    with pytest.raises(KeyError):
        tier.cost("params")
    rows = [
        {"perplexity@alone": 9.0, "energy_mj@pi4": 1.0, "latency_ms@pi4": 5.0},
        {"perplexity@alone": 8.0, "energy_mj@pi4": 3.0, "latency_ms@pi4": 4.0},
        {"perplexity@alone": 7.0, "energy_mj@pi4": 2.0, "latency_ms@pi4": 6.0},
    ]
    chosen = picks(rows, objectives)
    assert (chosen["best"], chosen["fastest"]) == (2, 1)
    assert picks(rows, objectives[:2])["fastest"] == 0  # without a latency, the first cost


def test_the_room_that_fills_tables_has_a_function_for_each_job() -> None:
    jobs = {one.measured.job for one in OWN if one.measured is not None}
    assert all(hasattr(building, f"measure_missing_{job}") for job in jobs)
