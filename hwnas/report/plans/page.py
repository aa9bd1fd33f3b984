"""The page of plans over a link: one self-contained HTML file, as the report is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.report import units
from hwnas.report.document import framed
from hwnas.report.markup import Html, el
from hwnas.report.parts import Header, TableCell, legend, plot, section, table, with_code
from hwnas.report.plans.figures import KIND_COLORS, latency_figure, regime_figure
from hwnas.report.plans.measured import measured_section
from hwnas.report.plans.sliders import sliders
from hwnas.report.plans.table import (
    KIND_NAMES,
    asked_text,
    break_even_sentence,
    link_sentence,
    networks_of,
    plan_title,
    quality_text,
    winner_sentence,
)


def plans_page(document: Mapping[str, Any], *, created_at: str) -> str:
    """Return the page as text; `document` is what `hwnas plan` writes."""
    link, plans = document["link"], document["plans"]
    sections = {"Winner": _winner(document)}
    measured = "measured" in document
    if measured:
        sections["Measured"] = measured_section(document)
    if plans:
        sections |= {"Regimes": _regimes(document), "Request": _request(document), "Plans": _plans(document)}
    return framed(
        "plan",
        f"Plans of {document['run']} over {link['name']}",
        f"{document['run']} over {link['name']}",
        f"{document['enumerated']:,} plans of tiers {document['tiers']['edge']} and {document['tiers']['cloud']}; "
        f"latencies are predicted{', and those of some plans measured' if measured else ''}",
        sections,
        hwnas_version=document["hwnas"],
        created_at=created_at,
    )


def _winner(document: Mapping[str, Any]) -> Html:
    sentences = [winner_sentence(document), break_even_sentence(document), link_sentence(document)]
    notes = [el("p", with_code(f"{note[:1].upper()}{note[1:]}."), class_="note") for note in document["notes"]]
    return section("Winner", "Which plan", *(el("p", one) for one in sentences if one), *notes)


def _regimes(document: Mapping[str, Any]) -> Html:
    entries = [("network", color, KIND_NAMES[kind]) for kind, color in KIND_COLORS.items()]
    axis = el("p", el("b", "↑ Round trip, ms"), class_="axis")
    shown = el("article", axis, plot(regime_figure(document)), legend(entries), class_="card")
    say = "The plan with the least mean latency at each rate and round trip of a link that is constant."
    return section("Regimes", "At other links", shown, say=say)


def _request(document: Mapping[str, Any]) -> Html:
    requests = document["sensitivity"]["requests"]
    say = (
        "Mean time of each step; steps that only some requests take count with their share. The sliders move "
        "the medians and all that varies with them, both rates by one factor; outages stay. Away from the planned "
        f"link, {requests:,} requests of each plan are simulated, and the winner is one of these plans."
    )
    return section("Request", "Where a request's time goes", sliders(document), say=say)


def _plans(document: Mapping[str, Any]) -> Html:
    entries = [("network", color, KIND_NAMES[kind]) for kind, color in KIND_COLORS.items()]
    axis = el("p", el("b", "↑ Accuracy"), class_="axis")
    chart = el("article", axis, plot(latency_figure(document)), legend(entries), class_="card")
    headers: list[Header] = [
        ("Plan", None),
        ("Networks", None),
        ("Accuracy", None),
        ("p50", "predicted", "ms"),
        ("p95", "predicted", "ms"),
        ("p99", "predicted", "ms"),
        ("Sent", None, "bytes"),
        ("Asked", None),
        ("Energy", "predicted", "mJ"),
        ("Million requests", None),
        ("Clients", "predicted"),
    ]
    made = table("Plans", headers, [_row(document, plan) for plan in document["plans"]])
    return section("Plans", "All that were predicted", chart, el("article", made, class_="card beneath"))


def _row(document: Mapping[str, Any], plan: Mapping[str, Any]) -> list[TableCell]:
    latency, energy, money = plan["latency_ms"], plan["energy_mj"], plan["money_per_million"]
    return [
        TableCell(plan_title(plan), plan["name"]),
        TableCell(networks_of(plan), networks_of(plan)),
        TableCell(quality_text(document, plan["accuracy"]), plan["accuracy"]),
        *(TableCell(units.milliseconds(latency[name]), latency[name]) for name in ("p50", "p95", "p99")),
        TableCell(units.size(plan["bytes"]), plan["bytes"]),
        TableCell(asked_text(plan), plan["escalated"]),
        TableCell(units.GAP if energy is None else units.digits(energy), energy),
        TableCell(units.GAP if money is None else f"{money:,.2f}", money),
        TableCell(units.GAP if plan["clients"] is None else f"{plan['clients']:,}", plan["clients"]),
    ]
