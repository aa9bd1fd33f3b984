"""The quantities that hwnas knows. A new one is a row here; of a distribution, an entry point in `hwnas.quantities`."""

from __future__ import annotations

from typing import Any

from hwnas.quantities.quantity import Measured, OverOperators, Quantity
from hwnas.registry import Family, member

LATENCY = Quantity(
    "latency_ms", "Latency", "min", "ms", positive=True, routine=True, model="hwnas.latency.model:LatencyModel.of"
)
"""The quantity that a set-up's tables are made for; it may also be published, or timed while a tier is searched."""
ROWS = (  # limits are listed in this order, which is part of the identity of studies
    LATENCY,
    Quantity(
        "file_kib", "File size", "min", "KiB", positive=True, routine=True, model="hwnas.latency.file_size:size_kib_of"
    ),
    Quantity(
        "energy_mj",
        "Energy",
        "min",
        "mJ",
        positive=True,
        model="hwnas.latency.energy_model:energy_mj_of",
        measured=Measured("energy", "energy", "median_mj"),
    ),
    Quantity(
        "peak_mb",
        "Peak memory",
        "min",
        "MB",
        positive=True,
        model="hwnas.latency.memory_model:peak_mb_of",
        measured=Measured("memory", "memory", "peak_mb"),
    ),
    Quantity(
        "params", "Parameters", "min", "count", positive=True, routine=True, over_operators=OverOperators("params")
    ),
    Quantity("macs", "MACs", "min", "MACs", positive=True, routine=True, over_operators=OverOperators("macs")),
    Quantity(
        "activation_kib",
        "Activation memory",
        "min",
        "KiB",
        positive=True,
        routine=True,
        over_operators=OverOperators("activation_bytes", "max", 1024),
    ),
    Quantity("top1", "Top-1 accuracy", "max", "fraction", uses=("limit",)),
    Quantity("top5", "Top-5 accuracy", "max", "fraction", uses=()),
    Quantity("accuracy", "Accuracy", "max", "fraction", uses=()),
    Quantity("score", "Score", "max", "", uses=()),
)


def _fault(name: str, value: Any) -> str | None:
    if not isinstance(value, Quantity):
        return f"is a {type(value).__name__}, and a `hwnas.quantities.Quantity` is needed"
    return None if value.name == name else f"is named `{value.name}`, and both names are one"


QUANTITIES = Family("quantities", {quantity.name: quantity for quantity in ROWS}, _fault)
UNIT_SUFFIXES = {"_ms": "ms", "_bytes": "B", "_kib": "KiB", "_mj": "mJ", "_mb": "MB"}
"""Units by the ends of names of quantities that are not installed here."""


def quantity_of(name: str, *, where: str) -> Quantity:
    """Return the quantity of a name.

    Raises:
        ConfigError: there is none, or what a distribution declares under the name is of another form.
    """
    quantity: Quantity = member(QUANTITIES, name, what="quantity", where=where)
    return quantity


def shown_as(name: str) -> Quantity:
    """Return the quantity of a name, or what can be said of one that is not installed here.

    >>> shown_as("latency_ms").label, shown_as("payload_bytes").label, shown_as("payload_bytes").unit
    ('Latency', 'Payload', 'B')
    """
    if name in QUANTITIES:
        return quantity_of(name, where="metric")
    end = next((end for end in UNIT_SUFFIXES if name.endswith(end)), "")
    label = name.removesuffix(end).replace("_", " ").capitalize()
    return Quantity(name, label, "min", UNIT_SUFFIXES.get(end, ""), uses=())
