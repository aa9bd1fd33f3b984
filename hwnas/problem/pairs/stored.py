"""Plans of pairs as a run's folder holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hwnas.errors import RunError
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.search.fronts import FrontPoint
from hwnas.search.stored_architecture import architecture_field
from hwnas.workspace.workspace import Workspace


def pair_path(run: Workspace, name: str) -> Path:
    """Return the file of a pair's plans."""
    return run.folder / "plans" / "pairs" / f"{name}.json"


def stored_pairs(run: Workspace) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the pairs that were searched, by name, with their plans.

    Raises:
        RunError: a file is damaged.
    """
    for name in run.experiment.pairs:
        path = pair_path(run, name)
        if path.is_file():
            try:
                raw = Fields(loads(path.read_bytes()))
                (
                    raw.object("link").text("name"),
                    raw.object("found_under"),
                    raw.object("networks"),
                    raw.object("searched"),
                )
                yield name, raw.raw
            except FieldError as error:
                raise _damaged(path, str(error)) from error


def pair_points(run: Workspace, name: str, document: Mapping[str, Any]) -> list[FrontPoint]:
    """Return the networks of a pair's plans, each with its accuracy.

    Raises:
        RunError: the file is damaged.
    """
    points = []
    try:
        networks, searched = (Fields(document).object(name).raw for name in ("networks", "searched"))
        for key in networks:
            architecture = architecture_field(Fields({"key": key, "architecture": networks[key]}))
            value, error = searched[key]["value"], searched[key]["error"]
            errors = {} if error is None else {run.accuracy: float(error)}
            points.append(FrontPoint(architecture, {run.accuracy: float(value)}, errors=errors))
    except (FieldError, KeyError, TypeError) as error:
        raise _damaged(pair_path(run, name), str(error)) from error
    return points


def _damaged(path: Path, why: str) -> RunError:
    return RunError(
        f"the plans of a pair are damaged: {why}",
        where=str(path),
        allowed="The file is as `hwnas search` left it",
        do="Delete it, and run `hwnas search` again: nothing is scored twice",
    )
