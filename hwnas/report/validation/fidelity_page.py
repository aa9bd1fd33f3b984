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
        shown.append(("Regret", join(fidelity.units.difference(fidelity.quality, fidelity.regret), best)))
    words = [el("p", sentence, class_="note") for sentence in verdict(fidelity)]
    card = el(
        "article",
        el("h3", "Score against training alone"),
        el("p", "with 95 % intervals over networks, by bootstrap", class_="under"),
        pairs(shown, class_="figures"),
        *words,
        class_="card",
    )
    entries = [("network", "--accent", "network")]
    if any(n.alone_error is not None for n in fidelity.networks):
        entries.append(("interval", "--accent", f"± 1 standard error of the {fidelity.task.terms.samples}"))
    better = ", lower is better" if fidelity.task.quality.goal == "min" else None
    if fidelity.is_same:
        entries.append(("dot", "--muted", "equal"))
    seen = el(
        "article",
        el("h3", "Each network"),
        el(
            "p",
            el("b", f"↑ {_name(fidelity, fidelity.quality)}, trained alone"),
            better,
            " ",
            origin("measured"),
            class_="axis",
        ),
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
    """Quality alone over the score, with standard errors."""
    across, along = (_scale(fidelity, metric) for metric in (fidelity.metric, fidelity.quality))
    x, y = [across * n.score for n in fidelity.networks], [along * n.alone for n in fidelity.networks]
    marks = Marks(
        "networks",
        x,
        y,
        "--accent",
        [_tip(fidelity, n) for n in fidelity.networks],
        opacity=0.9,
        across=_bars(across, [(n.score, n.score_error) for n in fidelity.networks]),
        along=_bars(along, [(n.alone, n.alone_error) for n in fidelity.networks]),
    )
    shown = fidelity.units
    x_name = f"{shown.with_source(fidelity.metric)}{shown.on_axis(fidelity.metric)}"
    x_axis = ChartAxis(around(x), x_name, " %" if shown.is_fraction(fidelity.metric) else "")
    y_axis = ChartAxis(around(y), suffix=" %" if shown.is_fraction(fidelity.quality) else "")
    layers: tuple[Marks | Line, ...] = (exactly(around([*x, *y])), marks) if fidelity.is_same and x else (marks,)
    networks = counted(len(fidelity.networks), "network")
    words = f"{shown.label(fidelity.quality)} of {networks} trained alone over {fidelity.metric}."
    return Figure(layers, x_axis, y_axis, 400, words)


def _name(fidelity: Fidelity, metric: str) -> str:
    return f"{fidelity.units.label(metric)}{fidelity.units.on_axis(metric)}"


def _scale(fidelity: Fidelity, metric: str) -> float:
    """Return the factor from a metric's unit to that of its axis: shares stand in percent."""
    return 100.0 if fidelity.units.is_fraction(metric) else 1.0


def _bars(scale: float, values: list[tuple[float, float | None]]) -> list[tuple[float, float]]:
    """Return one standard error to either side of each value; nothing where no error is known."""
    if all(error is None for _, error in values):
        return []
    return [(scale * (value - (error or 0.0)), scale * (value + (error or 0.0))) for value, error in values]


def _tip(fidelity: Fidelity, network: RankedNetwork) -> Tip:
    error = network.alone_error
    rows = (
        (
            fidelity.units.label(fidelity.metric),
            fidelity.units.scored(fidelity.metric, network.score),
            Metric.parse(fidelity.metric).source,
        ),
        ("Alone", fidelity.units.scored(fidelity.quality, network.alone), "measured"),
        *([] if error is None else [("Standard error", fidelity.units.difference(fidelity.quality, error), "derived")]),
        ("Parameters", units.count(network.params), "derived"),
        ("MACs", units.macs(network.macs), "derived"),
    )
    return Tip(network.key, rows, (network.summary,))


def _networks(fidelity: Fidelity) -> Html:
    headers: list[tuple[str, str | None]] = [
        ("Network", None),
        (fidelity.units.label(fidelity.metric), Metric.parse(fidelity.metric).source),
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
        TableCell(fidelity.units.scored(fidelity.metric, network.score), network.score),
        TableCell(fidelity.units.scored(fidelity.quality, network.alone), network.alone),
        TableCell(units.count(network.params), network.params),
        TableCell(units.macs(network.macs), network.macs),
        TableCell(units.seconds(network.seconds), network.seconds),
    ]


def _budgets(fidelity: Fidelity) -> Html:
    rows = [
        (
            "Shared weights",
            "none" if fidelity.together is None else _budget(fidelity, fidelity.together, "networks a step"),
        ),
        ("Alone", _budget(fidelity, fidelity.alone, "networks, one after the other")),
        (f"Validation {fidelity.task.terms.samples}", f"{fidelity.samples:,}"),
        ("Data", fidelity.data),
        ("Seed", str(fidelity.seed)),
    ]
    return section("Budgets", "Budgets", el("article", pairs(rows), class_="card"))


def _budget(fidelity: Fidelity, budget: Budget, of: str) -> str:
    samples = counted(budget.samples, fidelity.task.terms.sample, fidelity.task.terms.samples)
    each = f"{counted(budget.epochs, 'epoch')} of {samples}"
    return f"{each}, {budget.networks} {of}, {units.seconds(budget.seconds)}"
