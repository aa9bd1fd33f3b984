"""Quantities: numbers of a network, with unit, direction and the way that they are known; metrics of them."""

from hwnas.quantities.metric import Metric
from hwnas.quantities.quantity import OverOperators, Quantity
from hwnas.quantities.table import LATENCY, QUANTITIES, quantity_of, shown_as

__all__ = ["LATENCY", "QUANTITIES", "Metric", "OverOperators", "Quantity", "quantity_of", "shown_as"]
