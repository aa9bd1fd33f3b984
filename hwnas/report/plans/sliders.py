"""Plans at other links, by two sliders: the winner, and a bar for each plan with the steps of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.report import units
from hwnas.report.markup import Html, el, safe_json
from hwnas.report.parts import legend
from hwnas.report.plans.table import networks_of, plan_title

STEP_COLORS = {
    "edge": "--tier-0",
    "encode": "--tier-4",
    "set_up": "--muted",
    "up": "--tier-2",
    "queue": "--warn",
    "tail": "--tier-1",
    "down": "--tier-3",
}
"""Steps of a request in their order."""
STEP_NAMES = {"set_up": "handshakes", "tail": "cloud"}
NO_WINNER = "no plan"


def sliders(document: Mapping[str, Any]) -> Html:
    """Return the card; `page.js` redraws it from the numbers that it holds, and without scripts it shows the link as it
    was planned for."""
    grid = document["sensitivity"]
    plans = {plan["name"]: plan for plan in document["plans"] if plan["name"] in grid["plans"]}
    names = sorted(plans, key=lambda name: _at_planned(grid, grid["plans"][name]["p50"]))
    rate, trip = grid["planned"]
    winner = grid["winners"][rate][trip]
    controls = el(
        "div",
        _slider("Median rate up", _rates(grid), rate),
        _slider("Median round trip", [units.milliseconds(value) for value in grid["rtt_ms"]], trip),
        class_="sliders",
        hidden="",
    )
    shown = NO_WINNER if winner is None else _title(plans[winner])
    told = el("p", "Winner at this link: ", el("b", shown), class_="winner", role="status")
    longest = max(sum(_steps(grid, name)) for name in names)
    bars = el("ol", *(_bar(grid, plans[name], longest, won=name == winner) for name in names), class_="bars")
    entries = [("network", color, STEP_NAMES.get(step, step)) for step, color in STEP_COLORS.items()]
    data = el("script", safe_json(_data(grid, plans, names)), type="application/json")
    return el("article", controls, told, bars, legend(entries), data, class_="card links")


def _data(grid: Mapping[str, Any], plans: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return what the script draws: texts, and numbers in ms, by the positions of both sliders."""
    own = [grid["plans"][name] for name in names]
    return {
        "texts": [_rates(grid), [units.milliseconds(value) for value in grid["rtt_ms"]]],
        "planned": grid["planned"],
        "titles": [_title(plans[name]) for name in names],
        "winners": [[-1 if name is None else names.index(name) for name in row] for row in grid["winners"]],
        "quantiles": [
            [
                [_quantiles(*pair) for pair in zip(*rows, strict=True)]
                for rows in zip(one["p50"], one["p95"], strict=True)
            ]
            for one in own
        ],
        "steps": [[one["waterfall_ms"][step] for step in STEP_COLORS] for one in own],
    }


def _slider(name: str, texts: Sequence[str], at: int) -> Html:
    field = f'<input type="range" min="0" max="{len(texts) - 1}" step="1" value="{at}">'
    return el("label", el("span", name), el("output", f"{texts[at]}, as planned"), Html(field))


def _bar(grid: Mapping[str, Any], plan: Mapping[str, Any], longest: float, *, won: bool) -> Html:
    one = grid["plans"][plan["name"]]
    quantiles = _quantiles(_at_planned(grid, one["p50"]), _at_planned(grid, one["p95"]))
    widths = [100 * value / longest if longest else 0.0 for value in _steps(grid, plan["name"])]
    steps = [
        el("i", style=f"width:{width:.2f}%;background:var({color})")
        for width, color in zip(widths, STEP_COLORS.values(), strict=True)
    ]
    return el(
        "li",
        el("span", plan_title(plan), " ", el("small", networks_of(plan))),
        el("span", quantiles, class_="quantiles"),
        el("div", *steps, class_="bar", aria_hidden="true"),
        class_="won" if won else None,
    )


def _title(plan: Mapping[str, Any]) -> str:
    return f"{plan_title(plan)}: {networks_of(plan)}"


def _quantiles(p50: float, p95: float) -> str:
    return f"p50 {units.milliseconds(p50)}, p95 {units.milliseconds(p95)}"


def _rates(grid: Mapping[str, Any]) -> list[str]:
    return [f"{value:.3g} Mbps" for value in grid["up_mbps"]]


def _steps(grid: Mapping[str, Any], name: str) -> list[float]:
    return [_at_planned(grid, grid["plans"][name]["waterfall_ms"][step]) for step in STEP_COLORS]


def _at_planned(grid: Mapping[str, Any], table: Sequence[Sequence[float]]) -> float:
    rate, trip = grid["planned"]
    return float(table[rate][trip])
