"""Plans that were measured over an imposed link, beside what was predicted for the machine that measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwnas.report import units
from hwnas.report.markup import Html, el
from hwnas.report.parts import Header, TableCell, section, table
from hwnas.report.plans.table import networks_of, plan_title

LEVELS_SHOWN = ("p50", "p95", "p99")


def measured_plans(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the plans that were measured, by rising measured median."""
    known = [plan for plan in document["plans"] if "measured_ms" in plan]
    return sorted(known, key=lambda plan: plan["measured_ms"]["p50"])


def measured_sentence(document: Mapping[str, Any]) -> str:
    """Return whether the plan that was to win did, in words."""
    measured, titles = document["measured"], {plan["name"]: plan_title(plan) for plan in document["plans"]}
    planned, winner = measured["planned_winner"], measured["measured_winner"]
    if winner is None:
        return "None of the plans that were measured may win."
    if planned == winner:
        return f"The planned winner is the measured one: {titles[winner]}."
    if measured["agrees"]:
        return (
            f"The measured winner is {titles[winner]}; {titles[planned]}, which was planned, is within "
            f"{units.percent(measured['loss'])} of it."
        )
    return (
        f"The measured winner is {titles[winner]}; {titles[planned]}, which was planned, takes "
        f"{units.percent(measured['loss'])} more."
    )


def conditions_sentence(document: Mapping[str, Any]) -> str:
    """Return what was measured and how, in words."""
    measured = document["measured"]
    calibration, emulator = measured["calibration"], measured["emulator"]
    slow = "" if measured["edge_slowdown"] == 1 else f", the edge made {measured['edge_slowdown']:g} times slower"
    return (
        f"{measured['requests']:,} requests of each plan on {measured['machine']['processor']}{slow}, over an "
        f"emulated link: round trip {calibration['rtt_ms']['met']:.4g} ms for {calibration['rtt_ms']['asked']:.4g}, up "
        f"{calibration['up_mbps']['met']:.4g} Mbps for {calibration['up_mbps']['asked']:.4g}; the emulator took "
        f"{units.percent(emulator['cpu_share'])} of a core. Predicted with this machine's own times of both sides."
    )


def measured_table(document: Mapping[str, Any]) -> Table:
    """Predicted and measured quantiles of the plans, for a terminal."""
    made = Table(title=Text("Measured over the imposed link"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("plan", no_wrap=True)
    for name in LEVELS_SHOWN:
        for word in ("predicted", "measured"):
            made.add_column(f"{word} {name}", justify="right", no_wrap=True)
    for plan in measured_plans(document):
        cells = [
            units.milliseconds(plan[key][name]) for name in LEVELS_SHOWN for key in ("predicted_here_ms", "measured_ms")
        ]
        made.add_row(*map(Text, [plan_title(plan), *cells]))
    return made


def measured_section(document: Mapping[str, Any]) -> Html:
    """Predicted beside measured, for a page."""
    headers: list[Header] = [("Plan", None), ("Networks", None)]
    for name in LEVELS_SHOWN:
        headers += [(f"{name} predicted", "predicted", "ms"), (f"{name} measured", "measured", "ms")]
    headers += [("Within the 90 % band", "measured"), ("Asked", "measured")]
    made = table("Measured plans", headers, [_row(plan) for plan in measured_plans(document)])
    say = "Both sides on this machine, over a link that it imposed on them. The link is emulated; all else is measured."
    sentences = (measured_sentence(document), conditions_sentence(document))
    card = el("article", made, class_="card beneath")
    return section("Measured", "Predicted beside measured", *(el("p", one) for one in sentences), card, say=say)


def _row(plan: Mapping[str, Any]) -> list[TableCell]:
    cells = [TableCell(plan_title(plan), plan["name"]), TableCell(networks_of(plan), networks_of(plan))]
    for name in LEVELS_SHOWN:
        for key in ("predicted_here_ms", "measured_ms"):
            cells.append(TableCell(units.milliseconds(plan[key][name]), plan[key][name]))
    for key in ("within_band", "measured_escalated"):
        cells.append(TableCell(units.percent(plan[key]), plan[key]))
    return cells
