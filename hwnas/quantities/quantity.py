"""A quantity: a number of a network, its unit and its direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Goal = Literal["min", "max"]


@dataclass(frozen=True)
class Quantity:
    """A number of a network: of accuracy, of cost, of size."""

    name: str
    """Its name in experiments and, before the `@`, in metrics: `latency_ms`, `top1`."""
    label: str
    """Its name for people: `Latency`, `Top-1 accuracy`."""
    goal: Goal
    unit: str
    """Unit that values are kept in and shown with: `ms`, `mJ`, `MB`, `KiB`, `MACs`; `fraction` is shown in percent;
    empty for a plain count or score."""
