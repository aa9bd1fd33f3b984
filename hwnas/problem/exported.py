"""Comparison of earlier exports with the experiment as it is now; fronts from which nothing can be exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import EmptyFront
from hwnas.io.fields import Fields
from hwnas.problem.fronts.conditions import OF_RUN, OF_TIER, conditions_in
from hwnas.problem.fronts.loading import LoadedFront
from hwnas.problem.studies import study_evaluations
from hwnas.search.nearest import Nearest, nearest
from hwnas.search.precision import candidate_label
from hwnas.workspace.workspace import Workspace

OF_SETUP = ("runtime", "threads", "batch", "precision", "accelerator")
"""Fields of the set-up in a manifest of an earlier version."""


def refuse_empty(run: Workspace, empty: Sequence[LoadedFront], manifests: Sequence[Path]) -> None:
    """Raise EmptyFront for fronts from which no file can be made, once the others are exported.

    Raises:
        EmptyFront: there is one.
    """
    if not empty:
        return
    names = ", ".join(f"`{front.display_name}`" for front in empty)
    near = [_nearest(run, front) for front in empty]
    nearby = "".join(f"; {one}" for one in near if one is not None)
    wrote = f". Written: {', '.join(map(str, manifests))}" if manifests else ""
    raise EmptyFront(
        f"the front of {names} is empty, so there is nothing to export{nearby}",
        where=f"run {run.folder}",
        allowed=f"Files are made of networks within all limits of their tier{wrote}",
        do=f"Loosen a limit and run `{run.command('search')}`",
    )


def exported_under(run: Workspace, front: LoadedFront, manifest: Mapping[str, Any]) -> list[str]:
    """Return the differences of a manifest's conditions from those of a front as it is read now, a line each.

    Raises:
        ValueError: its conditions are malformed.
    """
    if "conditions" in manifest and front.conditions is not None:
        then = conditions_in(Fields(manifest).object("conditions"))
        known = then.producer and front.conditions.producer
        other = [f"accuracies of `{then.producer}` then, `{front.conditions.producer}` now"]
        return [
            *then.unlike(front.conditions, (*OF_RUN, *OF_TIER)),
            *(other if known and then.producer != front.conditions.producer else []),
        ]
    limits, now = list(map(str, manifest.get("limits", []))), list(map(str, front.tier.limits))
    then_setup = dict(manifest.get("setup", {}))
    setup = run.experiment.setups[run.experiment.tiers[front.tier.name].setup]
    wanted = {} if setup.latencies else {field: getattr(setup, field) for field in OF_SETUP}
    return [
        *([f"limits: {', '.join(limits) or 'none'} then, {', '.join(now) or 'none'} now"] if limits != now else []),
        *(
            f"setup.{field}: {then_setup[field]} then, {value} now"
            for field, value in wanted.items()
            if field in then_setup and then_setup[field] != value
        ),
    ]


def _nearest(run: Workspace, front: LoadedFront) -> Nearest | None:
    """Return the network that came nearest to the limits of an empty front."""
    if front.points:
        return nearest(((p.name, p.final) for p in front.points), front.tier)
    evaluations = front.evaluations
    if not evaluations and front.conditions is not None and front.halving is None:
        evaluations = study_evaluations(run, front.tier.name, front.conditions.study)
    elif not evaluations and front.halving is not None:
        evaluations = front.halving.top_rung.evaluations
    return nearest(((candidate_label(e.architecture), e.scores) for e in evaluations if e.failed is None), front.tier)
