"""How a verb tells what it is doing; the command line shows it, a caller from Python may stay silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


class Bar(Protocol):
    """A piece of work with a known amount."""

    def update(self, done: float, total: float, text: str = "") -> None:
        """Show how far it is, and a few words."""


class Narrator(Protocol):
    """Receives what a verb tells."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def bar(self, title: str) -> AbstractContextManager[Bar]:
        """A bar that is shown while the `with` block runs."""


class _SilentBar:
    def update(self, done: float, total: float, text: str = "") -> None:
        pass


class Silent:
    """Tells nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        """No bar."""
        yield _SilentBar()


@dataclass(frozen=True)
class Barless:
    """Another one's lines, without bars."""

    narrator: Narrator

    def say(self, text: str) -> None:
        """Handed on."""
        self.narrator.say(text)

    def bar(self, title: str) -> AbstractContextManager[Bar]:
        """No bar."""
        return Silent().bar(title)
