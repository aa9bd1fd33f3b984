"""int8 files without writing them: a PyTorch module that rounds where the writers of files quantise."""

from __future__ import annotations

from hwnas.export.simulation.simulated import simulated_int8

__all__ = ["simulated_int8"]
