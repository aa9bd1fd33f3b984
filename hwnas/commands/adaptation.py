"""Result of adapting a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hwnas.words import brief


@brief
@dataclass(frozen=True)
class Adaptation:
    """Result of adapting.

    Args:
        how: head, norm, full, space or watch.
        folder: with the files that were written; empty if none were.
        report: all that is known of it, ready for JSON.
        lines: the same for a terminal.
        drifted: of `watch`, whether the samples are unlike those before.

    Example:
        >>> Adaptation("head", "runs/mini/adapted/head", {"samples": 3}).as_dict()["samples"]
        3
    """

    how: str
    folder: str
    report: dict[str, Any]
    lines: tuple[str, ...] = ()
    drifted: bool = field(default=False)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it but the lines, ready for JSON."""
        return {"how": self.how, "folder": self.folder, **self.report}
