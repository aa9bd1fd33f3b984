"""Section of the page on the choices of the space: which one buys what, by the networks that were tried."""

from __future__ import annotations

from hwnas.predictors.importances import Importance
from hwnas.report import units
from hwnas.report.charts import plots
from hwnas.report.charts.chart import ChartAxis, Figure, Marks, Symbol, Tip, cut
from hwnas.report.facts import ReportFacts, TierFacts
from hwnas.report.markup import Html, el
from hwnas.report.parts import Header, LegendEntry, TableCell, legend, origin, plot, section, table
from hwnas.words import counted

CHOICES_DRAWN, CHOICE_PIXELS = 12, 26
"""Choices in the chart, and pixels for each of them; the table has all."""
CHOICES_LEAD = (
    "How much worse a prediction becomes when one choice is shuffled: the part of all differences that it explains."
)


def choices_section(facts: ReportFacts) -> Html | None:
    """Charts of the tiers' choices over their tables; None where no importances can be computed."""
    tiers = [(tier, index) for index, tier in enumerate(facts.tiers) if tier.importances]
    if not tiers:
        return None
    charts = el("div", *(_chart_card(*one) for one in tiers), class_="grid")
    tables = el("div", *(_table_card(*one) for one in tiers), class_="stack beneath")
    return section("Choices", "Which choice buys what", charts, tables, say=CHOICES_LEAD)


def _chart_card(tier: TierFacts, index: int) -> Html:
    color = plots.tier_color(index)
    return el(
        "article",
        el("h3", tier.title, class_="name"),
        el("p", el("b", "Part of all differences"), " with two standard errors ", origin("predicted"), class_="axis"),
        plot(importances_figure(tier, color)),
        legend(_entries(tier, color)),
        *(el("p", note, class_="note") for note in _notes(tier)),
        class_=f"card tier t{index % plots.TIER_COLORS}",
    )


def _table_card(tier: TierFacts, index: int) -> Html:
    summary = el("summary", f"All choices of {tier.title}")
    return el("details", summary, _table(tier), class_=f"card tier t{index % plots.TIER_COLORS}")


def importances_figure(tier: TierFacts, color: str) -> Figure:
    """Importances of the choices that matter most, for accuracy and for latency, with two standard errors."""
    by_name = _by_choice(tier)
    names = sorted(by_name, key=lambda name: -max(one.share for one in by_name[name].values()))[:CHOICES_DRAWN]
    layers = tuple(
        Marks(
            metric,
            [100 * by_name[name][metric].share for name in names],
            [len(names) - 1 - row - offset for row in range(len(names))],
            paint,
            [_tip(tier, metric, by_name[name][metric]) for name in names],
            symbol=symbol,
            across=[_interval(by_name[name][metric]) for name in names],
        )
        for metric, paint, symbol, offset in _looks(tier, color)
    )
    ends = [0.0, 1.0, *(end for layer in layers for pair in layer.across for end in pair)]
    free = 0.04 * (max(ends) - min(ends))
    return Figure(
        layers,
        ChartAxis((min(ends) - free, max(ends) + free), "Part of all differences (%)"),
        ChartAxis((-0.6, len(names) - 0.4), names=tuple(cut(name, 18) for name in reversed(names))),
        CHOICE_PIXELS * len(names) + 74,
        f"Importance of {counted(len(names), 'choice')} of tier {tier.title} for "
        f"{' and '.join(tier.units.in_sentence(metric) for metric, *_ in _looks(tier, color))}.",
    )


def _by_choice(tier: TierFacts) -> dict[str, dict[str, Importance]]:
    """The importances by choice and metric."""
    named: dict[str, dict[str, Importance]] = {}
    for metric in (tier.accuracy.metric, tier.latency.metric):
        computed = tier.importances.get(metric)
        for one in () if computed is None else computed.choices:
            named.setdefault(one.choice, {})[metric] = one
    return named


def _interval(one: Importance) -> tuple[float, float]:
    return 100 * (one.share - 2 * one.share_error), 100 * (one.share + 2 * one.share_error)


def _looks(tier: TierFacts, color: str) -> list[tuple[str, str, Symbol, float]]:
    """Metric, colour, symbol, and by how much of a line it stands below the middle."""
    looks: list[tuple[str, str, Symbol, float]] = [
        (tier.accuracy.metric, color, "dot", -0.13),
        (tier.latency.metric, "--accent-2", "diamond", 0.13),
    ]
    return [look for look in looks if look[0] in tier.importances]


def _entries(tier: TierFacts, color: str) -> list[LegendEntry]:
    shapes = {"dot": "network", "diamond": "measured"}
    return [
        (shapes[symbol], paint, tier.units.label(metric), metric) for metric, paint, symbol, _ in _looks(tier, color)
    ]


def _tip(tier: TierFacts, metric: str, one: Importance) -> Tip:
    share = f"{_share(one)} of all differences"
    return Tip(
        one.choice,
        ((tier.units.label(metric), share, "predicted"), (_span(one), _change(tier, metric, one), "predicted")),
    )


def _notes(tier: TierFacts) -> list[str]:
    explained = " and ".join(
        f"{100 * max(one.explained, 0):.0f} % of the differences in {tier.units.in_sentence(metric)}"
        for metric, one in tier.importances.items()
    )
    count = max(one.networks for one in tier.importances.values())
    notes = [
        f"From {counted(count, 'network')} that were tried; a search tries more of some kinds than of others. "
        f"On networks that were held out, the model explains {explained}."
    ]
    if any(one.explained <= 0 for one in tier.importances.values()):
        notes.append("Where nothing is explained, importances are chance.")
    return notes


def _table(tier: TierFacts) -> Html:
    headers: list[Header] = [("Choice", None), ("Options", None)]
    metrics = [metric for metric in (tier.accuracy.metric, tier.latency.metric) if metric in tier.importances]
    for metric in metrics:
        name = tier.units.label(metric)
        headers += [
            (f"Part of {tier.units.in_sentence(metric)}", "predicted", "fraction"),
            (f"{name}, change", "predicted", tier.units.quantity(metric).unit),
        ]
    rows = [
        [
            TableCell(name, name),
            TableCell(span := _span(next(iter(by_metric.values()))), span),
            *(cell for metric in metrics for cell in _cells(tier, metric, by_metric[metric])),
        ]
        for name, by_metric in _by_choice(tier).items()
    ]
    return table(f"Choices of {tier.title}", headers, rows)


def _cells(tier: TierFacts, metric: str, one: Importance) -> tuple[TableCell, TableCell]:
    return TableCell(_share(one), one.share), TableCell(_change(tier, metric, one), one.change)


def _span(one: Importance) -> str:
    return " to ".join(one.options)


def _share(one: Importance) -> str:
    return f"{100 * one.share:.1f} ± {100 * one.share_error:.1f} %".replace("-", "\N{MINUS SIGN}")


def _change(tier: TierFacts, metric: str, one: Importance) -> str:
    """`+1.3 ± 0.2 points` of an accuracy, `+12 ± 3 µs` of a latency."""
    unit, times = tier.units.quantity(metric).unit, 1.0
    if unit == "fraction":
        unit, times = "points", 100.0
    elif unit == "ms":
        unit, times = units.time_unit([abs(one.change)])
    text = f"{one.change * times:+.3g} ± {one.change_error * times:.2g} {unit}"
    return text.replace("-", "\N{MINUS SIGN}").rstrip()


def importance_rows(tier: TierFacts) -> list[dict[str, object]]:
    """Return a row for each metric and choice."""
    return [row for metric, one in tier.importances.items() for row in one.rows(metric)]
