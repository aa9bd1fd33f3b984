"""Output of commands: one JSON document, or lines and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from hwnas.problem.fronts.loading import FrontSource


_DOCUMENT: ContextVar[TextIO | None] = ContextVar("document", default=None)
"""Standard output, while it is kept for one document."""


@contextmanager
def alone() -> Iterator[None]:
    """Keep standard output for the document: what functions of the user's print goes to standard error."""
    token = _DOCUMENT.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _DOCUMENT.reset(token)


def print_document(text: str) -> None:
    """Print the one document of a command."""
    print(text, file=_DOCUMENT.get())


def print_result(document: Any, as_json: bool, lines: list[str]) -> None:
    """Print the document if it is requested, else the lines."""
    if as_json:
        print_document(json.dumps(document, indent=1, default=str, allow_nan=False))
    for line in [] if as_json else lines:
        print(line)


def print_fronts(reference: str, runs: Path, pick: str | None = None, front: FrontSource | None = None) -> None:
    """Print the fronts of a run as tables, and the plans of its pairs."""
    from hwnas import pipeline
    from hwnas.commands.show_fronts import pair_plans
    from hwnas.console.results import show_edge_cloud_plans, show_fronts

    show_fronts(pipeline.fronts(reference, runs=runs, pick=pick, front=front))
    if pick is None and front != "halving":
        for document in pair_plans(reference, runs=runs):
            show_edge_cloud_plans(document)
