"""Small text files in which Linux describes a machine and its state. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tree:
    """/proc and /sys below a root; another root is a recorded machine."""

    root: Path = Path("/")

    def text(self, path: str) -> str:
        """Return a file's text without white space and zeros at its ends; empty where it cannot be read."""
        try:
            content = (self.root / path.lstrip("/")).read_bytes()
        except OSError:
            return ""
        return content.decode(errors="replace").strip("\0 \t\r\n")

    def number(self, path: str) -> float | None:
        """Return the number in a file that holds one; None where it cannot be read or holds none."""
        try:
            return float(self.text(path))
        except ValueError:
            return None

    def places(self, pattern: str) -> list[str]:
        """Return the paths that a pattern matches, as seen from the root, numbers in them in order of size."""
        try:
            paths = [str(path.relative_to(self.root)) for path in self.root.glob(pattern.lstrip("/"))]
        except OSError:
            return []
        return sorted(paths, key=_by_number)


def numbers_of(text: str) -> list[int]:
    """Return the processors of a list such as `0-3,6`.

    Raises:
        ValueError: it is no such list.
    """
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _by_number(path: str) -> list[object]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path)]
