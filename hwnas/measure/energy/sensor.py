"""Energy sensors, and finding one. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from hwnas.errors import SensorError, reason
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.energy import SENSORS
from hwnas.registry import member


@dataclass(frozen=True)
class Sensor:
    """Reads joules that only grow, or watts as they are now."""

    name: str
    """Name of the sensor, as it stands in a table: `RAPL package-0 + dram`."""
    tells: Literal["joules", "watts"]
    read: Callable[[], float]
    """Function that reads it; raises SensorError where it cannot be read."""
    interval_s: float | None = None
    """Interval at which its figure is renewed, where the sensor reports it."""
    step: float | None = None
    """The least difference between two figures, in joules or watts, where it is known."""


def find_sensor(name: str, command: str = "", *, cuda: bool = False, tree: Tree | None = None) -> Sensor:
    """Return the sensor of that name; with `auto` the command if one is given, NVML for a GPU, else the first that
    there is.

    Raises:
        SensorError: there is none, or it cannot be read.
        ConfigError: there is no sensor of that name.
    """
    tree = tree or Tree()
    if name != "auto":
        wanted = [name]
    elif command:
        wanted = ["command"]
    else:
        wanted = ["nvml"] if cuda else ["rapl", "hwmon", "iio"]
    reasons = []
    for candidate in wanted:
        result = member(SENSORS, candidate, what="energy sensor", where="set-up: energy")(tree, command)
        if isinstance(result, Sensor):
            return result
        reasons.append(f"{candidate}: {result}")
    raise no_sensor("; ".join(reasons))


def no_sensor(why: str) -> SensorError:
    """Return the error where there is none."""
    return SensorError(
        f"no energy sensor can be used ({why})",
        where="energy",
        allowed="RAPL, an INA or another power monitor of hwmon or IIO, NVML, or a command that prints watts are used",
        do="Name a command with `energy: {command: ...}`, such as one that asks a power meter, or leave out `energy`",
    )


def unreadable(name: str, why: str) -> SensorError:
    """Return the error of a sensor that is there and gives no figure."""
    hint = "; as root: chmod o+r on its energy_uj files" if "ermission" in why else ""
    return SensorError(
        f"the sensor {name} cannot be read ({why})",
        where="energy",
        allowed="Each reading is one number",
        do=f"Look at what it gives, allow this user to read it{hint}, or choose another `energy.sensor`",
    )


def number_in(tree: Tree, path: str, name: str) -> float:
    """Return a sensor's file as a number.

    Raises:
        SensorError: it cannot be read, or holds none.
    """
    try:
        text = (tree.root / path).read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise unreadable(name, f"{path}: {reason(error)}") from error
    try:
        return float(text)
    except ValueError as error:
        raise unreadable(name, f"{path}: {text[:40]!r}") from error


def summed(name: str, reads: Sequence[Callable[[], float]], interval_s: float | None) -> Sensor:
    """Return a sensor of the watts of several channels together."""
    return Sensor(name, "watts", lambda: sum(read() for read in reads), interval_s)
