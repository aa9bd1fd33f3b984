"""Output of commands: one JSON document, or lines and tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.problem.fronts import FrontSource


def print_found(found: Any, as_json: bool, lines: list[str]) -> None:
    """Print the document if it is requested, else the lines."""
    if as_json:
        print(json.dumps(found, indent=1, default=str, allow_nan=False))
    for line in [] if as_json else lines:
        print(line)


def print_fronts(reference: str, runs: Path, pick: str | None = None, front: FrontSource | None = None) -> None:
    """Print the fronts of a run as tables."""
    from hwnas import pipeline
    from hwnas.console import show_fronts

    show_fronts(pipeline.fronts(reference, runs=runs, pick=pick, front=front))
