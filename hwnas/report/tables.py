"""Tables for the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwnas.report import units
from hwnas.report.facts import FrontPointFacts, TierFacts
from hwnas.words import counted

OperatorRow = tuple[str, str, int, int, int, float | None]
"""Slot, description, parameters, MACs, activation bytes, milliseconds (None where no table has them)."""


def cost_rows(
    params: int,
    macs: int,
    activation_bytes: int,
    *,
    file_bytes: int | None = None,
    ms: float | None = None,
) -> list[tuple[str, str]]:
    """Costs as (name, value with unit); what is None is left out.

    >>> cost_rows(1_200_000, 45_300_000, 12_800)
    [('parameters', '1.20 M'), ('MACs', '45.3 MMACs'), ('activations', '12.5 KiB')]
    """
    rows = [
        ("parameters", units.count(params)),
        ("MACs", units.macs(macs)),
        ("activations", units.size(activation_bytes)),
    ]
    if file_bytes is not None:
        rows.append(("file", units.size(file_bytes)))
    if ms is not None:
        rows.append(("latency", units.milliseconds(ms)))
    return rows


def front_table(tier: TierFacts) -> Table:
    """The front by rising latency, picks marked, predicted beside measured, test accuracy beside validation where it is
    known, and in the place of MACs estimates where accuracies are noisy; it fits 80 columns."""
    table = Table(
        title=Text(f"Front of {tier.title}"),
        caption=_caption(tier),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("network", no_wrap=True)
    latency = {"predicted": "pred.", "measured": "meas."}.get(tier.latency.origin, tier.latency.origin)
    passed = [tier.units.with_source(score.metric) for score in tier.passed]
    estimate = ["est."] if tier.is_estimated else []
    tested = ["test"] if _tested(tier) else []
    unit, _ = tier.time_unit
    costs = [tier.units.label(metric) for metric in tier.other_objectives]
    heads = (
        *passed,
        _accuracy_head(tier),
        *estimate,
        *tested,
        f"{latency} {unit}",
        f"meas. {unit}",
        *costs,
        *(["\N{MINUS SIGN} fp32"] if _lower(tier) else []),
        "params",
        *([] if tier.is_estimated else ["MACs"]),
    )
    for name in heads:
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column("pick", min_width=8)
    alike = tier.alike
    for point in tier.ordered:
        table.add_row(
            *map(Text, _front_row(tier, point, alike=point.name in alike)), style="bold" if point.picks else None
        )
    return table


def _tested(tier: TierFacts) -> bool:
    return any(point.test_accuracy is not None for point in tier.front)


def _lower(tier: TierFacts) -> bool:
    return any(point.paired is not None for point in tier.front)


def _accuracy_head(tier: TierFacts) -> str:
    quantity = tier.units.quantity(tier.accuracy.metric)
    words = re.sub(r"^top(\d)", r"top-\1", quantity.name.replace("_", " "))
    name = words if quantity.is_quality else quantity.label
    return f"{name} val" if tier.accuracy.split else name


def _front_row(tier: TierFacts, point: FrontPointFacts, *, alike: bool) -> list[str]:
    accuracy = tier.units.scored(tier.accuracy.metric, point.scores[tier.accuracy.metric])
    fell = ["fell off"] if point.kept is False else []
    _, times = tier.time_unit
    return [
        point.name,
        *(tier.units.scored(score.metric, point.scores.get(score.metric)) for score in tier.passed),
        f"≈ {accuracy}" if alike else accuracy,
        *([tier.units.scored(tier.accuracy.metric, point.estimated_accuracy)] if tier.is_estimated else []),
        *([tier.units.scored(tier.quality, point.test_accuracy)] if _tested(tier) else []),
        units.timed(point.predicted_ms, times),
        units.timed(point.measured_ms, times),
        *(
            tier.units.scored(metric, {**point.scores, **point.measured}.get(metric))
            for metric in tier.other_objectives
        ),
        *([point.loss or units.GAP] if _lower(tier) else []),
        units.count(point.params),
        *([] if tier.is_estimated else [units.count(point.macs)]),
        ", ".join([*point.picks, *fell, *(["estimated"] if point.estimated else [])]),
    ]


def _caption(tier: TierFacts) -> Text:
    limits = ", ".join(map(tier.units.limit, tier.limits)) or "no limits"
    estimated = sum(bool(point.estimated) for point in tier.front)
    rests = f"; estimated: {estimated} latencies rest on operators without a row" if estimated else ""
    front = (
        f"{len(tier.front)} of {len(tier.points):,} evaluated" if tier.points else counted(len(tier.front), "network")
    )
    near = ""
    if tier.alike:
        error = max(point.accuracy_error or 0.0 for point in tier.front)
        most = tier.units.difference(tier.accuracy.metric, error)
        near = f"; ≈: perhaps no better than a faster one (standard error up to {most})"
    compared = ", by which networks were compared"
    val = f"; val: on validation {tier.samples}{'' if tier.is_estimated else compared}"
    words = f"{val}; test: on test {tier.samples}"
    test = words if _tested(tier) else ""
    shrunken = f"; est.: shrunken estimate{compared}" if tier.is_estimated else ""
    return Text(f"{front}; {limits}{rests}{near}{shrunken}{test}")


def costs_table(operators: Sequence[OperatorRow]) -> Table:
    """Operators in order with their costs, and the network's: sums, and the most activation bytes."""
    timed = any(ms is not None for *_, ms in operators)
    table = Table(show_footer=True)
    names = ("slot", "operator", "parameters", "MACs", "activations", *(("latency",) if timed else ()))
    _, _, params, macs, activations, latencies = zip(*operators, strict=True) if operators else ((),) * 6
    known = [ms for ms in latencies if ms is not None]
    latency = units.milliseconds(sum(known)) if len(known) == len(operators) else units.GAP
    footers = (
        "",
        "network",
        units.count(sum(params)),
        units.macs(sum(macs)),
        units.size(max(activations, default=0)),
        latency,
    )
    for index, name in enumerate(names):
        table.add_column(
            name, footer=Text(footers[index]), justify="left" if index < 2 else "right", no_wrap=index != 1
        )
    for slot, description, *costs in operators:
        shown = [units.count(costs[0]), units.macs(costs[1]), units.size(costs[2]), units.milliseconds(costs[3])]
        table.add_row(*map(Text, [slot, description, *shown[: len(names) - 2]]))
    return table
