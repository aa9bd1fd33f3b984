"""Networks that cannot be trained: recorded with their reason and left out, as long as they are few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hwnas.errors import RunError, TrainingError, raised, reason
from hwnas.io.checksum import sealed, unsealed
from hwnas.io.fields import FieldError, Fields
from hwnas.io.jsonl import append_lines, read_lines
from hwnas.space import Architecture

MAX_SKIPPED_SHARE = 0.1
"""Share of the lessons of an epoch that may fail; training stops beyond it."""
ALWAYS = 10
"""Number of lessons that may fail in any epoch, however short."""


@dataclass
class SkippedSubnets:
    """Sub-networks that failed; each network is written down once."""

    path: Path | None = None
    tell: Callable[[str], None] | None = None
    known: set[str] = field(default_factory=set)
    failed: int = 0
    tried: int = 0

    def begin(self) -> None:
        """Count anew, for another epoch."""
        self.failed = self.tried = 0

    def record(self, architecture: Architecture | None, error: Exception) -> None:
        """Record the reason why a network failed.

        Raises:
            TrainingError: too many failed.
        """
        cause = raised(error)
        if architecture is None:
            raise TrainingError(
                f"the network cannot be trained ({cause})",
                where="train",
                allowed="A network that is trained alone runs forward and backward",
                do="Look at its operators",
            ) from error
        self.failed += 1
        if self.failed > max(ALWAYS, MAX_SKIPPED_SHARE * self.tried):
            raise TrainingError(
                f"{self.failed} of {self.tried} networks of this epoch could not be trained, the last one, "
                f"{architecture.key}, because of {cause}",
                where=str(self.path or "train"),
                allowed=f"Up to a share of {MAX_SKIPPED_SHARE:g} is left out and written down there",
                do="Look at the operators that they have in common, or narrow the space",
            ) from error
        if architecture.key not in self.known:
            self._keep(architecture, cause)

    def _keep(self, architecture: Architecture, reason: str) -> None:
        self.known.add(architecture.key)
        if self.path is not None:
            _make_folder(self.path.parent)
            append_lines(self.path, [sealed({"key": architecture.key, **architecture.as_dict(), "reason": reason})])
        if self.tell is not None:
            self.tell(f"architecture {architecture.key} cannot be trained and is left out ({reason})")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"the folder cannot be made ({reason(error)})",
            where=str(folder),
            allowed="Networks that cannot be trained are written down there",
            do="Make room or correct the permissions, then run the same command again",
        ) from error


def read_failures(path: Path) -> dict[str, str]:
    """Return the reasons, by key, of the networks in a file of failures; an incomplete last line is skipped.

    Raises:
        RunError: a line is damaged; it is named.
    """
    reasons: dict[str, str] = {}
    for number, record in enumerate(read_lines(path).records, 1):
        try:
            line = Fields(unsealed(record))
            reasons[line.text("key")] = line.text("reason")
        except FieldError as error:
            raise RunError(
                f"the line tells of no network that cannot be trained ({error})",
                where=f"{path}:{number}",
                allowed="A line has key, space, picks and reason",
                do="Remove that line: the network is tried again",
            ) from error
    return reasons
