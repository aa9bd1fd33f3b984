"""Facts about a machine, and its load, clock and memory at a moment. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any, Union

from hwnas.measure.conditions.cores import CPUS, clusters
from hwnas.measure.conditions.heat import celsius
from hwnas.measure.conditions.tree import Tree

State = dict[str, Union[float, str, None]]
MODEL_FILES = ("proc/device-tree/model", "sys/firmware/devicetree/base/model", "sys/class/dmi/id/product_name")


def machine_facts(tree: Tree) -> dict[str, Any]:
    """Return model, kernel, memory and cores: facts that do not change while it is timed. What the system does not
    report is left out."""
    memory = _memory_mb(tree)
    facts = {
        "model": device_model(tree),
        "kernel": tree.text("proc/sys/kernel/osrelease") or platform.release(),
        "memory_mb": memory.get("MemTotal"),
        "swap_mb": memory.get("SwapTotal"),
        "clusters": {
            cluster.name: {
                name: value
                for name, value in (
                    ("cpus", list(cluster.cpus)),
                    ("max_mhz", cluster.max_mhz),
                    ("capacity", cluster.capacity),
                    ("part", cluster.part),
                )
                if value
            }
            for cluster in clusters(tree)
        },
    }
    return {name: value for name, value in facts.items() if value not in ("", None)}


def device_model(tree: Tree) -> str:
    """Return the board's own name, from the device tree, DMI or Android's properties; empty where none has it."""
    for path in MODEL_FILES:
        if model := tree.text(path):
            return model
    android = {key: value for key, _, value in (line.partition("=") for line in _properties(tree))}
    return " ".join(filter(None, (android.get(f"ro.product.{name}", "") for name in ("manufacturer", "model"))))


def machine_state(tree: Tree | None = None, cpus: Sequence[int] = ()) -> State:
    """Return load, stolen time, clock, governor, temperature and memory now, of these processors or of the first one;
    None where the system does not report them."""
    tree = tree or Tree()
    stat = tree.text("proc/stat").split("\n", 1)[0].split()
    load = tree.text("proc/loadavg").split()
    memory = _memory_mb(tree)
    swap, swap_free = memory.get("SwapTotal"), memory.get("SwapFree")
    return {
        "load": float(load[0]) if load else (os.getloadavg()[0] if hasattr(os, "getloadavg") else None),
        "steal_ticks": float(stat[8]) if len(stat) > 8 else None,
        "cpu_mhz": clock_mhz(tree, cpus),
        "governor": governor(tree, cpus),
        "celsius": celsius(tree),
        "memory_free_mb": memory.get("MemAvailable"),
        "swap_used_mb": None if swap is None or swap_free is None else round(swap - swap_free, 1),
    }


def clock_mhz(tree: Tree, cpus: Sequence[int] = ()) -> float | None:
    """Return the clock of these processors, the slowest one's, or of the first one."""
    clocks_khz = [tree.number(f"{CPUS}/cpu{cpu}/cpufreq/scaling_cur_freq") for cpu in cpus or (0,)]
    return min((khz / 1e3 for khz in clocks_khz if khz), default=None)


def governor(tree: Tree, cpus: Sequence[int] = ()) -> str | None:
    """Return what sets the clock of these processors, such as `performance`; several, where they differ, with a `+`."""
    governors = [tree.text(f"{CPUS}/cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus or (0,)]
    return "+".join(dict.fromkeys(filter(None, governors))) or None


def _memory_mb(tree: Tree) -> dict[str, float]:
    """Return /proc/meminfo in MB, of 1,000,000 bytes."""
    sizes_mb: dict[str, float] = {}
    for line in tree.text("proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            sizes_mb[name] = round(int(words[0]) * 1024 / 1e6, 1)
    return sizes_mb


def _properties(tree: Tree) -> list[str]:
    """Return Android's properties: `getprop` here, its file on a recorded machine."""
    if tree != Tree() or not os.path.exists("/system/bin/getprop"):
        return tree.text("system/build.prop").splitlines()
    names = ("ro.product.manufacturer", "ro.product.model")
    try:
        return [
            f"{name}={subprocess.run(['getprop', name], capture_output=True, text=True, timeout=5).stdout.strip()}"
            for name in names
        ]
    except (OSError, subprocess.SubprocessError):
        return []
