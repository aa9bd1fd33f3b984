"""Plans of a run over a link, as `hwnas plan` finds them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwnas.collaborate.choice import Goal, break_even, regimes, rule_of
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.plan import Plan
from hwnas.collaborate.predict import Load
from hwnas.collaborate.sensitivity import sensitivity, shown_over_links
from hwnas.io.atomic import write_file
from hwnas.problem.fronts.loading import FrontSource
from hwnas.problem.plans.drafts import Promise
from hwnas.problem.plans.stored import stored_documents
from hwnas.report import units
from hwnas.report.plans.winners import PlannedLink
from hwnas.words import brief
from hwnas.workspace.workspace import Workspace


@brief
@dataclass(frozen=True, eq=False)
class EdgeCloudPlans:
    """Plans of a run over a link.

    Args:
        run: the run.
        tiers: names of the edge's and the cloud's tier.
        link: the link.
        load: clients and workers.
        promise: what a cascade may lose; its epsilon is also how much less accurate than the best the winner may be.
        plans: with predictions, the winner first, then the front, each by rising median.
        winner: the plan to take; None of no plans.
        enumerated: number of candidates that were compared.
        notes: what was left out, and why.
        document: all of it, ready for JSON, as it is written.
        path: file that holds the document.
        page: page that shows it.
        goal: whether more or less of the quality is better.
        front: source of the fronts, as it was asked for.
    """

    run: Workspace
    tiers: tuple[str, str]
    link: LinkModel
    load: Load
    promise: Promise
    plans: tuple[Plan, ...]
    winner: Plan | None
    enumerated: int
    notes: tuple[str, ...]
    document: Mapping[str, Any]
    path: Path
    page: Path
    goal: Goal
    front: FrontSource | None = None


def planned_links(run: Workspace, known: Collection[str]) -> list[PlannedLink]:
    """Return what was planned for a run, for its report.

    Args:
        run: the run.
        known: keys of networks on its fronts; those of pairs are known from their plans.
    """
    documents = list(stored_documents(run))
    keys = {*known, *(key for _, document in documents if "pair" in document for key in document["networks"])}
    planned = [
        PlannedLink(document, path.with_suffix(".html").relative_to(run.folder).as_posix())
        for path, document in documents
    ]
    return [
        replace(one, outdated=any(plan[side] not in (None, *keys) for side in ("edge", "cloud")))
        if (plan := one.winner) is not None
        else one
        for one in planned
    ]


def plans_entries(
    plans: Sequence[Plan], winner: Plan | None, link: LinkModel, load: Load, epsilon: float, seed: int, goal: Goal
) -> dict[str, Any]:
    """Return what a document holds of plans over a link, ready for JSON.

    Args:
        plans: with predictions.
        winner: the plan to take; None of no plans.
        link: the link.
        load: of the cloud.
        epsilon: how much less accurate than the best plan the winner may be.
        seed: of simulations.
        goal: whether more or less of the quality is better.
    """
    shown = shown_over_links(plans, winner)
    return {
        "link": link.describe(),
        "load": vars(load),
        "rule": rule_of(epsilon),
        "winner": None if winner is None else winner.candidate.name,
        "plans": [plan.as_dict() for plan in plans],
        "break_even": break_even(plans, link, epsilon, goal),
        "regimes": regimes(plans, link, epsilon, goal) if plans else None,
        "sensitivity": sensitivity(plans, shown, link, load, epsilon, seed, goal) if plans else None,
    }


def write_plans_document(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a document of plans and the page that shows it, and return the page's path."""
    from hwnas.report.plans.page import plans_page

    write_file(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    return write_file(path.with_suffix(".html"), plans_page(document, created_at=units.now()))
