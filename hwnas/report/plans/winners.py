"""The section of a report on plans: the winner over each link, with a link to the page of all plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.report import units
from hwnas.report.markup import Html, el
from hwnas.report.parts import Header, TableCell, section, table
from hwnas.report.plans.table import networks_of, plan_title, quality_text
from hwnas.words import brief

OUTDATED = "outdated: `hwnas plan` once more"
HEADERS: tuple[Header, ...] = (
    ("Link", None),
    ("Networks of", None),
    ("Winner", None),
    ("Winner's networks", None),
    ("Accuracy", None),
    ("p50", "predicted", "ms"),
    ("p95", "predicted", "ms"),
    ("p99", "predicted", "ms"),
)


@brief
@dataclass(frozen=True)
class PlannedLink:
    """Plans of a run over one link.

    Args:
        document: as `hwnas plan` or the search of a pair wrote it.
        page: address of the page of all its plans, from the report's folder.
        outdated: True if the run has networks of the winner no more.
    """

    document: Mapping[str, Any]
    page: str
    outdated: bool = False

    @property
    def winner(self) -> Mapping[str, Any] | None:
        """The plan to take; None of no plans."""
        named = (plan for plan in self.document["plans"] if plan["name"] == self.document["winner"])
        return next(named, None)


def winners_section(planned: Sequence[PlannedLink]) -> Html | None:
    """Return the section, or None if nothing was planned."""
    if not planned:
        return None
    made = table("Winning plans", HEADERS, [_row(one) for one in planned])
    say = "The plan to take over each link; its name leads to all plans. Accuracy and latency are a request's."
    return section("Plans", "Edge and cloud", el("article", made, class_="card"), say=say)


def _row(planned: PlannedLink) -> list[TableCell]:
    document, plan = planned.document, planned.winner
    link, pair = document["link"]["name"], document.get("pair")
    of = "both fronts" if pair is None else f"pair {pair}"
    lead = [TableCell(el("a", link, href=planned.page), link), TableCell(of, of)]
    if plan is None or planned.outdated:
        none = "none" if plan is None else OUTDATED
        return [*lead, TableCell(none, none), *(TableCell(units.GAP) for _ in HEADERS[3:])]
    title, keys, latency = plan_title(plan), networks_of(plan), plan["latency_ms"]
    return [
        *lead,
        TableCell(title, title),
        TableCell(keys, keys),
        TableCell(quality_text(document, plan["accuracy"]), plan["accuracy"]),
        *(TableCell(units.milliseconds(latency[name]), latency[name]) for name in ("p50", "p95", "p99")),
    ]
