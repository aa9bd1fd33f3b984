"""Temperature of the processor, and waiting until it has cooled down. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hwnas.errors import ConfigError
from hwnas.measure.conditions.tree import Tree

PROCESSOR = re.compile(r"cpu|soc|pkg|core|big|little|mid|tctl|tdie|cluster|acpitz", re.IGNORECASE)
"""Names that kernels give to sensors of the processor's temperature."""
COLDEST_C, HOTTEST_C = -40.0, 150.0
"""Range in °C outside of which a sensor's value means that it has none."""


def temperatures(tree: Tree) -> dict[str, float]:
    """Return °C by the sensor's name: thermal zones, and where there are none, those of hwmon."""
    readings: dict[str, float] = {}
    for zone in tree.places("sys/class/thermal/thermal_zone*"):
        _note(readings, tree.text(f"{zone}/type") or zone, tree.number(f"{zone}/temp"))
    if not readings:
        for chip in tree.places("sys/class/hwmon/hwmon*"):
            for sensor in tree.places(f"{chip}/temp*_input"):
                label = tree.text(f"{sensor[: -len('_input')]}_label")
                _note(readings, f"{tree.text(f'{chip}/name')} {label}".strip(), tree.number(sensor))
    return readings


def celsius(tree: Tree) -> float | None:
    """Return the processor's temperature: the highest of its sensors, or of all if none is known as its own."""
    readings = temperatures(tree)
    own = [degrees for name, degrees in readings.items() if PROCESSOR.search(name)]
    return max(own or readings.values(), default=None)


@dataclass
class Gate:
    """Gate that waits while the processor is too warm: from above `pause_above_c` until it is below `resume_below_c`.

    It waits `pause_seconds` in all. Then it stays open, and reports that it is warm.
    """

    pause_above_c: float | None
    resume_below_c: float
    pause_seconds: float
    tree: Tree = field(default_factory=Tree)
    sleep: Callable[[float], None] = time.sleep
    every_s: float = 1.0

    def __post_init__(self) -> None:
        self._left_s = self.pause_seconds
        if self.pause_above_c is not None and celsius(self.tree) is None:
            raise ConfigError(
                f"`pause_above_c: {self.pause_above_c:g}`, but no temperature can be read",
                where="timing",
                allowed="A thermal zone or a hwmon sensor of the processor is needed",
                do="Leave out `pause_above_c`, or look at `ls /sys/class/thermal`",
            )

    def wait(self) -> str:
        """Wait as long as needed, and return why it is still too warm; empty if it is not."""
        if self.pause_above_c is None or not self._above(self.pause_above_c):
            return ""
        self.wait_while(lambda: self._above(self.resume_below_c))
        return f"above {self.pause_above_c:g} °C" if self._above(self.pause_above_c) else ""

    def wait_while(self, so: Callable[[], bool]) -> None:
        """Wait while `so` returns true and there is patience left."""
        while self._left_s > 0 and so():
            self.sleep(self.every_s)
            self._left_s -= self.every_s

    def _above(self, degrees: float) -> bool:
        now = celsius(self.tree)
        return now is not None and now > degrees


def _note(readings: dict[str, float], name: str, thousandths: float | None) -> None:
    if thousandths is not None and COLDEST_C < thousandths / 1e3 < HOTTEST_C:
        readings[name] = max(readings.get(name, -math.inf), thousandths / 1e3)
