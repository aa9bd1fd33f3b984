"""Observation of the machine around each round of samples: heat, throttling, the clock. Board side: Python 3.9 syntax,
no torch."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hwnas.measure.conditions.heat import Gate
from hwnas.measure.conditions.machine import clock_mhz, machine_facts, machine_state
from hwnas.measure.conditions.throttle import ThrottleWatch, Throttling
from hwnas.measure.conditions.tree import Tree

State = dict[str, Any]


PAIRED = ("load", "cpu_mhz", "governor", "celsius", "memory_free_mb", "swap_used_mb")
"""Conditions that are stored as a pair, before and after."""


def conditions_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return machine state before and after as pairs, stolen time as a difference (1/100 s that the host gave to
    others)."""
    conditions: dict[str, Any] = {
        name: [before[name], after.get(name)] for name in PAIRED if before.get(name) is not None
    }
    if before.get("steal_ticks") is not None and after.get("steal_ticks") is not None:
        conditions["steal_ticks"] = after["steal_ticks"] - before["steal_ticks"]
    at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"at": at, **conditions, "python": platform.python_version(), "os": platform.platform()}


class RoundWatch(Protocol):
    """Looks at the machine around each round, and around all of them."""

    @property
    def is_reported(self) -> bool:
        """True if the machine reports throttling or heat at all."""

    def state(self) -> State:
        """Return the machine's state now; None for what it does not report."""

    def begin(self) -> None:
        """Prepare for a round; this may wait until the machine has cooled down."""

    def end(self) -> list[str]:
        """Return, after a round, why the machine was slowed down meanwhile; empty if it was not."""

    def mhz(self) -> float | None:
        """Return the clock now."""

    def facts(self) -> dict[str, Any]:
        """Return the facts that do not change."""


class Unwatched:
    """A watch that looks at nothing: for clocks that a test turns."""

    is_reported = False

    def state(self) -> State:
        """Return an empty state."""
        return {}

    def begin(self) -> None:
        """Do nothing."""

    def end(self) -> list[str]:
        """Return no reasons: never slowed down."""
        return []

    def mhz(self) -> float | None:
        """Return None: not known."""
        return None

    def facts(self) -> dict[str, Any]:
        """Return no facts."""
        return {}


@dataclass
class BoardWatch:
    """Waits at the gate before each round, and asks after it whether the machine was throttled. After a throttled
    round it waits, as long as the gate has patience, until the machine says that it is throttled no longer."""

    gate: Gate
    throttle: ThrottleWatch
    cpus: Sequence[int] = ()
    tree: Tree = field(default_factory=Tree)
    _before: Throttling = field(default_factory=Throttling)
    _warm: str = ""
    _slowed: bool = False

    @classmethod
    def here(
        cls, pause_above_c: float | None, resume_below_c: float, pause_seconds: float, cpus: Sequence[int], gpu: bool
    ) -> BoardWatch:
        """Return a watch on this machine.

        Raises:
            ConfigError: a temperature is requested, and none can be read.
        """
        return cls(Gate(pause_above_c, resume_below_c, pause_seconds), ThrottleWatch(gpu=gpu), cpus)

    @property
    def is_reported(self) -> bool:
        """True if there is a limit to its temperature, or the machine reports throttling."""
        return self.gate.pause_above_c is not None or self.throttle.is_reported

    def state(self) -> State:
        """Return load, clock, governor, temperature, memory."""
        return dict(machine_state(self.tree, self.cpus))

    def begin(self) -> None:
        """Wait if it is too warm, then note what the machine reports."""
        if self._slowed:
            self.gate.wait_while(lambda: bool(self.throttle.look().now))
        self._warm = self.gate.wait()
        self._before = self.throttle.look()

    def end(self) -> list[str]:
        """Return why it was slowed down since `begin`, or too warm when it began."""
        reasons = self._before.until(self.throttle.look()) + ([self._warm] if self._warm else [])
        self._slowed = bool(reasons)
        return reasons

    def mhz(self) -> float | None:
        """Return the slowest clock of the processors."""
        return clock_mhz(self.tree, self.cpus)

    def facts(self) -> dict[str, Any]:
        """Return model, kernel, memory, cores, and the processors that the process keeps to."""
        kept = {"cpus": list(self.cpus)} if self.cpus else {}
        return {"machine": machine_facts(self.tree), **kept}
