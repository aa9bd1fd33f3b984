"""Plans of a run over a link, as `hwnas plan` finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.collaborate.choice import Goal
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.plan import Plan
from hwnas.collaborate.predict import Load
from hwnas.problem.fronts.loading import FrontSource
from hwnas.problem.plans.drafts import Promise
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
