"""Power monitors that Linux shows through hwmon, such as an INA3221. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from hwnas.measure.conditions.tree import Tree
from hwnas.measure.energy.sensor import Sensor, number_in, summed

CHIPS = "sys/class/hwmon/hwmon*"
BOARD_SENSORS = re.compile(r"VDD_IN|VIN|POM_5V_IN|VDD_5V_IN|SYS|TOTAL|MAIN|IN$", re.IGNORECASE)
"""Labels of the rail through which all power comes, of those that boards give their rails."""


def find(tree: Tree, command: str) -> Sensor | str:
    """Return the rail through which all power comes, else all rails of the first chip that has some, or why none."""
    for chip in tree.places(CHIPS):
        rails = _rails(tree, chip)
        if not rails:
            continue
        chosen = {label: read for label, read in rails.items() if BOARD_SENSORS.search(label)} or rails
        for read in chosen.values():
            read()  # what cannot be read is told now
        told_ms = tree.number(f"{chip}/update_interval")
        name = f"hwmon {tree.text(f'{chip}/name')} {' + '.join(chosen)}"
        return summed(name, list(chosen.values()), told_ms / 1e3 if told_ms else None)
    return "no chip of hwmon has power*_input, or curr*_input with in*_input"


def _rails(tree: Tree, chip: str) -> dict[str, Callable[[], float]]:
    """Return functions that read the watts of each rail, by its label."""
    rails: dict[str, Callable[[], float]] = {}
    for path in tree.places(f"{chip}/power*_input"):
        label = tree.text(path.replace("_input", "_label")) or path.rpartition("/")[2].partition("_")[0]
        rails[label] = partial(_microwatts, tree, path)
    if rails:
        return rails
    for current in tree.places(f"{chip}/curr*_input"):
        number = re.sub(r"\D", "", current.rpartition("/")[2])
        voltage = f"{chip}/in{number}_input"
        if tree.text(voltage):
            label = tree.text(f"{chip}/in{number}_label") or tree.text(f"{chip}/curr{number}_label")
            rails[label or f"channel {number}"] = partial(_product, tree, current, voltage)
    return rails


def _microwatts(tree: Tree, path: str) -> float:
    return number_in(tree, path, "hwmon") / 1e6


def _product(tree: Tree, current: str, voltage: str) -> float:
    """Return milliamperes times millivolts, in watts."""
    return number_in(tree, current, "hwmon") * number_in(tree, voltage, "hwmon") / 1e6
