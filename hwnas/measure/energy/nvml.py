"""An NVIDIA GPU's own energy counter, or its power. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from hwnas.errors import reason
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.energy.sensor import Sensor, unreadable
from hwnas.runtimes.cuda import gpu_state, open_nvml


def find(tree: Tree, command: str) -> Sensor | str:
    """Return the energy counter through NVML, else the power that NVML or nvidia-smi reports, or why there is
    neither."""
    opened = open_nvml()
    if opened is not None:
        nvml, handle = opened
        try:
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except nvml.NVMLError:  # GPUs before Volta have no counter
            pass
        else:
            return Sensor("NVML energy counter", "joules", partial(_joules, nvml, handle))
    state = gpu_state()
    if state is None:
        return "neither NVML nor nvidia-smi answers"
    if state["watts"] is None:
        return "the GPU does not tell its power"
    return Sensor("NVML power", "watts", _watts)


def _joules(nvml: Any, handle: Any) -> float:
    try:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
    except nvml.NVMLError as error:
        raise unreadable("NVML", reason(error)) from error


def _watts() -> float:
    watts = (gpu_state() or {}).get("watts")
    if watts is None:
        raise unreadable("NVML", "it tells no power any more")
    return float(watts)
