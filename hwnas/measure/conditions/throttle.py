"""Detection of throttling: whether a machine slowed itself down, and why. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hwnas.measure.conditions.tree import Tree
from hwnas.runtimes.cuda import open_nvml, throttle_reasons

PI_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of `vcgencmd get_throttled` for now; 16 bits higher, for any time since the board was started."""
PI_FILES = ("sys/devices/platform/soc/soc:firmware/get_throttled", "sys/devices/platform/soc/firmware/get_throttled")
COOLING = re.compile(r"cpu|gpu|processor|freq|bthrot", re.IGNORECASE)
"""Cooling devices that slow a processor down; fans do not."""
COUNTS = "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"
GPU_SLOW = frozenset({"hardware slowdown", "software thermal", "hardware thermal", "power brake"})
"""NVML's reasons that are no usual state of a GPU under load, as a power cap is."""


@dataclass(frozen=True)
class Throttling:
    """Report of the machine at one moment."""

    now: frozenset[str] = frozenset()
    ever: frozenset[str] = frozenset()
    """Reasons that applied at some time since it was started."""
    counts: Mapping[str, float] = field(default_factory=dict)
    """How often each reason applied since it was started."""

    def until(self, after: Throttling) -> list[str]:
        """Return why the machine was slowed down between this moment and a later one, sorted."""
        risen = {name for name, count in after.counts.items() if count > self.counts.get(name, count)}
        return sorted(self.now | after.now | (after.ever - self.ever) | risen)


@dataclass
class ThrottleWatch:
    """Reads a Raspberry Pi's flags, cooling devices, x86's counters and a GPU's reasons, whichever there are."""

    tree: Tree = field(default_factory=Tree)
    gpu: bool = False
    vcgencmd: Callable[[], str] | None = None
    """Prints the flags; the program of that name if left out, where it is there."""

    def __post_init__(self) -> None:
        here = self.tree == Tree()
        ask = self.vcgencmd or (_vcgencmd if here else lambda: "")
        self._flags = next((self._of_file(path) for path in PI_FILES if self.tree.text(path)), None)
        if self._flags is None and pi_bits(ask()) is not None:
            self._flags = ask
        places = self.tree.places("sys/class/thermal/cooling_device*")
        types = {device: self.tree.text(f"{device}/type") for device in places}
        self._cooling = {device: kind for device, kind in types.items() if COOLING.search(kind) and "fan" not in kind}
        self._counts = self.tree.places(COUNTS)
        self._nvml = open_nvml() if self.gpu else None

    @property
    def is_reported(self) -> bool:
        """True if the machine reports anything about throttling."""
        return bool(self._flags or self._cooling or self._counts or self._nvml)

    def look(self) -> Throttling:
        """Return the machine's report as it is now."""
        now: set[str] = set()
        ever: set[str] = set()
        if self._flags is not None:
            bits = pi_bits(self._flags()) or 0
            now |= {name for bit, name in PI_BITS.items() if bits >> bit & 1}
            ever |= {name for bit, name in PI_BITS.items() if bits >> (bit + 16) & 1}
        for path, kind in self._cooling.items():
            if (self.tree.number(f"{path}/cur_state") or 0) > 0:
                now.add(f"cooling by {kind}")
        now |= GPU_SLOW & self._gpu_reasons()
        counts: dict[str, float] = {}
        for path in self._counts:
            name = f"thermal throttling of the {path.rpartition('/')[2].partition('_')[0]}"
            counts[name] = counts.get(name, 0.0) + (self.tree.number(path) or 0.0)
        return Throttling(frozenset(now), frozenset(ever), counts)

    def _gpu_reasons(self) -> set[str]:
        if self._nvml is None:
            return set()
        nvml, handle = self._nvml
        try:
            return set(throttle_reasons(int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))))
        except nvml.NVMLError:  # this GPU does not tell
            return set()

    def _of_file(self, path: str) -> Callable[[], str]:
        return lambda: f"throttled=0x{self.tree.text(path)}"


def pi_bits(text: str) -> int | None:
    """Return the bits of `throttled=0x50005`; None if it says something else."""
    match = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)", text.strip())
    return None if match is None else int(match[1], 16)


def _vcgencmd() -> str:
    try:
        done = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
