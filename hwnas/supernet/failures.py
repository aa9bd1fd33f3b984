"""Networks that cannot be trained: recorded with their reason and left out, as long as they are few."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hwnas.errors import TrainingError, raised
from hwnas.space import Architecture

MOST = 0.1
"""This share of the lessons of an epoch may fail; training stops beyond it."""
ALWAYS = 10
"""So many may fail in any epoch, however short."""


@dataclass
class Failures:
    """Lessons that failed; each network is written down once."""

    path: Path | None = None
    tell: Callable[[str], None] | None = None
    known: set[str] = field(default_factory=set)
    failed: int = 0
    tried: int = 0

    def begin(self) -> None:
        """Count anew, for another epoch."""
        self.failed = self.tried = 0

    def note(self, architecture: Architecture | None, error: Exception) -> None:
        """Write down why a network failed.

        Raises:
            TrainingError: too many did.
        """
        reason = raised(error)
        if architecture is None:
            raise TrainingError(
                f"the network cannot be trained ({reason})",
                where="train",
                allowed="A network that is trained alone runs forward and backward",
                do="Look at its operators",
            ) from error
        self.failed += 1
        if self.failed > max(ALWAYS, MOST * self.tried):
            raise TrainingError(
                f"{self.failed} of {self.tried} networks of this epoch could not be trained, the last one, "
                f"{architecture.key}, because of {reason}",
                where=str(self.path or "train"),
                allowed=f"Up to a share of {MOST:g} is left out and written down there",
                do="Look at the operators that they have in common, or narrow the space",
            ) from error
        if architecture.key not in self.known:
            self._keep(architecture, reason)

    def _keep(self, architecture: Architecture, reason: str) -> None:
        self.known.add(architecture.key)
        if self.path is not None:
            line = json.dumps({"key": architecture.key, **architecture.as_dict(), "reason": reason})
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        if self.tell is not None:
            self.tell(f"architecture {architecture.key} cannot be trained and is left out ({reason})")


def read_failures(path: Path) -> dict[str, str]:
    """By key, the reasons of the networks that a file of failures holds; a last line cut short is passed over."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[record["key"]] = record["reason"]
    return found
