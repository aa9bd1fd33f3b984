"""The page of a run's fidelity: one self-contained HTML file, as the report is."""

from __future__ import annotations

from pathlib import Path

from hwnas.io.atomic import write_file
from hwnas.quantities import Metric
from hwnas.ranks import Correlation
from hwnas.report import units
from hwnas.report.charts.chart import ChartAxis, Figure, Line, Marks, Tip, around
from hwnas.report.charts.plots import exactly
from hwnas.report.document import framed
from hwnas.report.markup import Html, el, join
from hwnas.report.parts import TableCell, legend, origin, pairs, plot, section, table
from hwnas.report.validation.fidelity import (
    CORRELATION_NAMES,
    Budget,
    Fidelity,
    RankedNetwork,
    cell,
    compared,
    value,
    verdict,
)
from hwnas.words import counted


def render_fidelity(fidelity: Fidelity, *, hwnas_version: str, created_at: str) -> str:
    """The page as text."""
    sections = {"Ranks": _ranks(fidelity), "Networks": _networks(fidelity), "Budgets": _budgets(fidelity)}
    return framed(
        "fidelity",
        f"Fidelity of {fidelity.run}",
        f"How far to trust {fidelity.metric} of {fidelity.run}",
        f"{counted(len(fidelity.networks), 'network')} of {fidelity.space}, trained alone on {fidelity.data}",
        sections,
        hwnas_version=hwnas_version,
        created_at=created_at,
    )


def write_fidelity_page(fidelity: Fidelity, path: Path, *, hwnas_version: str, created_at: str) -> Path:
    """Write the page as a whole or not at all; the path that was written.

    Raises:
        RunError: the file cannot be written.
    """
    text = render_fidelity(fidelity, hwnas_version=hwnas_version, created_at=created_at)
    return write_file(path, text, what="report", do="Correct that and run the same command again")


def _ranks(fidelity: Fidelity) -> Html:
    shown = []
    for kind, name in CORRELATION_NAMES.items():
        known = fidelity.correlations[kind]
        ends = "no interval" if known is None else f"{value(known.low)} to {value(known.high)}"
        shown.append((name, join(units.GAP if known is None else value(known.value), el("small", ends))))
    if fidelity.regret is not None:
        best = el("small", "lost by taking the best by score")
        shown.append(("Regret", join(f"{100 * fidelity.regret:.1f} points", best)))
    words = [el("p", sentence, class_="note") for sentence in verdict(fidelity)]
    card = el(
        "article",
        el("h3", "Score against training alone"),
        el("p", "with 95 % intervals over networks, by bootstrap", class_="under"),
        pairs(shown, class_="figures"),
        *words,
        class_="card",
    )
    entries = [("network", "--accent", "network"), ("interval", "--accent", "± 1 standard error of the images")]
    if units.is_fraction(fidelity.metric):
        entries.append(("dot", "--muted", "equal"))
    seen = el(
        "article",
        el("h3", "Each network"),
        el("p", el("b", "↑ Accuracy, trained alone"), " ", origin("measured"), class_="axis"),
        plot(fidelity_figure(fidelity)),
        legend(entries),
        class_="card",
    )
    headers: list[tuple[str, str | None]] = [
        ("Ranked by", None),
        *((name, None) for name in CORRELATION_NAMES.values()),
    ]
    rows = [
        [TableCell(name, str(index)), *(_correlation_cell(kinds[kind]) for kind in CORRELATION_NAMES)]
        for index, (name, kinds) in enumerate(compared(fidelity).items())
    ]
    beside = el("article", table("Correlations", headers, rows), class_="card")
    stack = el("div", el("div", card, seen, class_="grid"), beside, class_="stack")
    say = "The same networks, scored as the search scores them and trained alone. Costs, which are free, stand beside."
    return section("Ranks", "How far to trust the ranks", stack, say=say)


def _correlation_cell(known: Correlation | None) -> TableCell:
    return TableCell(cell(known), None if known is None else known.value)


def fidelity_figure(fidelity: Fidelity) -> Figure:
    """Accuracy alone over the score, with standard errors."""
    share = units.is_fraction(fidelity.metric)
    scores, alone = [n.score for n in fidelity.networks], [n.alone for n in fidelity.networks]
    x, y = [100 * score if share else score for score in scores], [100 * top1 for top1 in alone]
    marks = Marks(
        "networks",
        x,
        y,
        "--accent",
        [_tip(fidelity, n) for n in fidelity.networks],
        opacity=0.9,
        across=_bars(fidelity, scores) if share else (),
        along=_bars(fidelity, alone),
    )
    suffix = " %" if share else ""
    x_axis = ChartAxis(around(x), units.with_source(fidelity.metric), suffix)
    layers: tuple[Marks | Line, ...] = (exactly(around([*x, *y])), marks) if share and x else (marks,)
    words = f"Accuracy of {counted(len(fidelity.networks), 'network')} trained alone over {fidelity.metric}."
    return Figure(layers, x_axis, ChartAxis(around(y), suffix=" %"), 400, words)


def _bars(fidelity: Fidelity, accuracies: list[float]) -> list[tuple[float, float]]:
    """Return one standard error to either side, in percent."""
    return [(100 * (top1 - fidelity.noise(top1)), 100 * (top1 + fidelity.noise(top1))) for top1 in accuracies]


def _tip(fidelity: Fidelity, network: RankedNetwork) -> Tip:
    rows = (
        (
            units.label(fidelity.metric),
            units.scored(fidelity.metric, network.score),
            Metric.parse(fidelity.metric).source,
        ),
        ("Alone", units.percent(network.alone), "measured"),
        ("Standard error", f"{100 * fidelity.noise(network.alone):.2f} points", "derived"),
        ("Parameters", units.count(network.params), "derived"),
        ("MACs", units.macs(network.macs), "derived"),
    )
    return Tip(network.key, rows, (network.summary,))


def _networks(fidelity: Fidelity) -> Html:
    headers: list[tuple[str, str | None]] = [
        ("Network", None),
        (units.label(fidelity.metric), Metric.parse(fidelity.metric).source),
        ("Trained alone", "measured"),
        ("Parameters", "derived"),
        ("MACs", "derived"),
        ("Took", "measured"),
    ]
    made = table("Networks", headers, [_row(fidelity, network) for network in fidelity.networks])
    failed = [el("p", f"{key}: {reason}", class_="note") for key, reason in fidelity.failed.items()]
    say = "Drawn at random from the space by the run's seed. A header sorts its column."
    return section("Networks", "Networks", el("article", made, *failed, class_="card"), say=say)


def _row(fidelity: Fidelity, network: RankedNetwork) -> list[TableCell]:
    name = join(el("code", network.key), el("small", f" {network.summary}"))
    return [
        TableCell(name, network.key),
        TableCell(units.scored(fidelity.metric, network.score), network.score),
        TableCell(units.percent(network.alone), network.alone),
        TableCell(units.count(network.params), network.params),
        TableCell(units.macs(network.macs), network.macs),
        TableCell(units.seconds(network.seconds), network.seconds),
    ]


def _budgets(fidelity: Fidelity) -> Html:
    rows = [
        ("Shared weights", "none" if fidelity.together is None else _budget(fidelity.together, "networks a step")),
        ("Alone", _budget(fidelity.alone, "networks, one after the other")),
        ("Validation images", f"{fidelity.images:,}"),
        ("Data", fidelity.data),
        ("Seed", str(fidelity.seed)),
    ]
    return section("Budgets", "Budgets", el("article", pairs(rows), class_="card"))


def _budget(budget: Budget, of: str) -> str:
    each = f"{counted(budget.epochs, 'epoch')} of {counted(budget.images, 'image')}"
    return f"{each}, {budget.networks} {of}, {units.seconds(budget.seconds)}"
