"""Networks of pairs beside those of the tiers' fronts, for a plan over the pair's link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hwnas.problem.accuracy import accuracy_of
from hwnas.problem.cost_models import cost_model_of_table
from hwnas.problem.pairs.problem import PairProblem
from hwnas.problem.pairs.stored import pair_points, stored_pairs
from hwnas.problem.plans.sides import Side
from hwnas.search.fronts import FrontPoint
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.workspace.training.supernets import Trained


@dataclass(frozen=True, eq=False)
class JoinedPairs:
    """The two sides of a plan with the networks of pairs.

    Args:
        sides: the edge's and the cloud's, with networks of pairs that hold the tier's limits.
        cut_only: networks of pairs that hold neither's, by key.
        notes: pairs that were left out, and why.
    """

    sides: tuple[Side, Side]
    cut_only: Mapping[str, FrontPoint] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def join_pairs(run: Workspace, sides: tuple[Side, Side], link: str, trained: Trained | None) -> JoinedPairs:
    """Return the sides with the networks of the pairs that join their tiers over this link.

    Raises:
        RunError: a file of plans is damaged.
        TableError: there is no table of a set-up.
    """
    joined, cut_only, notes = sides, dict[str, FrontPoint](), list[str]()
    tiers = tuple(side.tier for side in sides)
    for name, document in stored_pairs(run):
        pair = run.experiment.pairs[name]
        if (pair.edge, pair.cloud) != tiers or document["link"]["name"] != link:
            continue
        setups = [run.experiment.tiers[tier].setup for tier in tiers]
        problem = PairProblem(run, name, {setup: cost_model_of_table(run, setup) for setup in setups})
        now = {"accuracy": accuracy_of(run, trained).producer, "requests": problem.digest}
        if document["found_under"] != now:
            notes.append(f"networks of pair `{name}` are left out: it was searched under other conditions")
            continue
        points = pair_points(run, name, document)
        codes = run.codebook.encode([point.architecture for point in points])
        masks = problem.whole(codes)
        edge, cloud = (
            _with(side, [point for point, fits in zip(points, mask, strict=True) if fits])
            for side, mask in zip(joined, masks, strict=True)
        )
        joined = edge, cloud
        cut_only |= {point.architecture.key: point for point in points}
    known = {**joined[0].points, **joined[1].points}
    return JoinedPairs(joined, {key: one for key, one in cut_only.items() if key not in known}, tuple(notes))


def _with(side: Side, points: Sequence[FrontPoint]) -> Side:
    """Return a side with more networks, those that its front struck off left out."""
    known = {point.architecture.key for point in side.front.points}
    more = tuple(point for point in points if point.architecture.key not in known)
    return replace(side, front=replace(side.front, points=(*side.front.points, *more)))
