"""RAPL: counters of microjoules that Linux shows as powercap zones. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from hwnas.measure.conditions.tree import Tree
from hwnas.measure.energy.sensor import Sensor, number_in, unreadable

ZONES = "sys/class/powercap/*rapl*:*"


def find(tree: Tree, command: str) -> Sensor | str:
    """Return all packages and their memories (zones that contain no other one of these), or why there is none."""
    named = {zone: tree.text(f"{zone}/name") for zone in tree.places(ZONES) if "mmio" not in zone}
    used = [zone for zone, name in named.items() if name.startswith("package") or name == "dram"]
    if not used:
        return "there are no powercap zones of packages"
    counters = [Counter(tree, zone, named[zone]) for zone in used]
    for counter in counters:
        counter.joules()  # what cannot be read is told now
    name = f"RAPL {' + '.join(named[zone] for zone in used)}"
    return Sensor(name, "joules", lambda: sum(counter.joules() for counter in counters))


@dataclass
class Counter:
    """One zone's joules since the first reading; the file begins anew at zero when its range is full."""

    tree: Tree
    zone: str
    name: str
    total_uj: float = 0.0
    last_uj: float = field(default=-1.0, repr=False)

    def joules(self) -> float:
        """Return the joules since the first reading."""
        now = number_in(self.tree, f"{self.zone}/energy_uj", f"RAPL {self.name}")
        if self.last_uj < 0:
            self.last_uj = now
        if now < self.last_uj:
            full = self.tree.number(f"{self.zone}/max_energy_range_uj")
            if full is None or full < self.last_uj:
                raise unreadable(f"RAPL {self.name}", f"its counter fell from {self.last_uj:.0f} to {now:.0f} uJ")
            self.total_uj += full - self.last_uj + now
        else:
            self.total_uj += now - self.last_uj
        self.last_uj = now
        return self.total_uj / 1e6
