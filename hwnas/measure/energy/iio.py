"""Power monitors that Linux shows through IIO, as on older Jetsons. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import re
from functools import partial

from hwnas.measure.conditions.tree import Tree
from hwnas.measure.energy.hwmon import BOARD_SENSORS
from hwnas.measure.energy.sensor import Sensor, number_in, summed

DEVICES = "sys/bus/iio/devices/iio:device*", "sys/bus/i2c/drivers/ina3221x/*/iio:device*"


def find(tree: Tree, command: str) -> Sensor | str:
    """Return the rail through which all power comes, else all rails of the first device that has some, or why none."""
    for device in (device for pattern in DEVICES for device in tree.places(pattern)):
        paths = tree.places(f"{device}/in_power*_input") or tree.places(f"{device}/in_power*_raw")
        rails = {_label(tree, device, path): path for path in paths}
        if not rails:
            continue
        chosen = {label: path for label, path in rails.items() if BOARD_SENSORS.search(label)} or rails
        reads = [partial(_watts, tree, path) for path in chosen.values()]
        for read in reads:
            read()  # what cannot be read is told now
        frequency = tree.number(f"{device}/sampling_frequency")
        name = f"iio {tree.text(f'{device}/name')} {' + '.join(chosen)}"
        return summed(name, reads, 1 / frequency if frequency else None)
    return "no device of IIO has in_power*_input or in_power*_raw"


def _label(tree: Tree, device: str, path: str) -> str:
    channel = re.sub(r"\D", "", path.rpartition("/")[2])
    return tree.text(f"{device}/rail_name_{channel}") or f"channel {channel or 0}"


def _watts(tree: Tree, path: str) -> float:
    """Return watts; IIO counts milliwatts, where it is raw, in units of a scale."""
    value = number_in(tree, path, "iio")
    if path.endswith("_raw"):
        own = path.replace("_raw", "_scale")
        shared = re.sub(r"in_power\d*_scale", "in_power_scale", own)
        value *= number_in(tree, own if tree.text(own) else shared, "iio")
    return value / 1e3
