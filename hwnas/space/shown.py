"""A space as notebooks show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hwnas.errors import SpaceError
from hwnas.rows import html_table
from hwnas.space.architecture import Choice
from hwnas.words import counted


class Shown(Protocol):
    """A space of either kind."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def count(self) -> int:
        """Number of its architectures."""

    @property
    def choices(self) -> Sequence[Choice]:
        """Every choice that can be active."""


def choices_table(space: Shown) -> str:
    """Return a space's choices as a table of HTML, under its name and its size."""
    try:
        size = counted(space.count, "architecture")
    except SpaceError:
        size = "too many architectures to count"
    rows = [{"choice": one.name, "options": ", ".join(map(str, one.options))} for one in space.choices]
    return html_table(f"Space {space.name}: {size}, {counted(len(rows), 'choice')}", rows)
