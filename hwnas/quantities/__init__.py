"""Quantities: numbers of a network, with unit and direction."""

from hwnas.quantities.quantity import Quantity

__all__ = ["Quantity"]
