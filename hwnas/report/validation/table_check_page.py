"""The page of a checked table: one self-contained HTML file, as the report is."""

from __future__ import annotations

from pathlib import Path

from hwnas.io.atomic import write_file
from hwnas.report import units
from hwnas.report.document import framed
from hwnas.report.markup import Html, el, join
from hwnas.report.parts import TableCell, legend, origin, pairs, plot, section, table
from hwnas.report.validation.table_check import (
    BASELINE_NAMES,
    METRICS,
    Checked,
    CheckedNetwork,
    compared,
    error,
    verdict,
)
from hwnas.report.validation.table_check_plots import baseline_figure, errors_figure, model_figure, unit_of


def render_check(checked: Checked, *, hwnas_version: str, created_at: str) -> str:
    """The page as text."""
    sections = {
        "Trust": _trust(checked),
        "Errors": _errors(checked),
        "Baselines": _baselines(checked),
        "Networks": _networks(checked),
        "Set-up": _setup(checked),
    }
    return framed(
        "check",
        f"Check of {checked.table.name}",
        f"How far to trust {checked.table.name}",
        units.setup_line(checked.setup),
        sections,
        hwnas_version=hwnas_version,
        created_at=created_at,
    )


def write_check_page(checked: Checked, path: Path, *, hwnas_version: str, created_at: str) -> Path:
    """Write the page as a whole or not at all; the path that was written.

    Raises:
        RunError: the file cannot be written.
    """
    text = render_check(checked, hwnas_version=hwnas_version, created_at=created_at)
    return write_file(path, text, what="report", do="Correct that, or name another file with --plot")


def _trust(checked: Checked) -> Html:
    model = checked.model
    shown = [
        ("Mean error (MAPE)", error(model.mape), f"{error(checked.noise.mape)} timed twice"),
        ("Nine in ten within", f"±{error(model.nine_in_ten)}", f"worst {error(model.worst)}"),
        ("Within ±5 %", f"{100 * model.within_5:.0f} %", f"±10 %: {100 * model.within_10:.0f} %"),
        ("Spearman", METRICS["Spearman"](model), f"Kendall {METRICS['Kendall'](model)}"),
        ("In the 90 % interval", METRICS["in 90 %"](model), f"of {model.networks} networks"),
        ("Bias", error(model.bias), "above 0: predicted too slow"),
    ]
    figures = pairs(((term, join(value, el("small", under))) for term, value, under in shown), class_="figures")
    words = [el("p", sentence, class_="note") for sentence in verdict(checked)]
    card = el("article", el("h3", "Model"), el("p", checked.origin, class_="under"), figures, *words, class_="card")
    seen = el(
        "article",
        el("h3", "Predicted against measured"),
        el("p", el("b", _measured(checked)), " ", origin("measured"), class_="axis"),
        plot(model_figure(checked)),
        legend(
            [
                ("network", "--accent", "network"),
                ("interval", "--accent", "90 % interval"),
                ("dot", "--muted", "exact; shaded: ±5 and ±10 %"),
            ]
        ),
        class_="card",
    )
    say = (
        f"{model.networks} networks that the table holds no timing of were drawn at random, predicted and timed whole."
    )
    return section("Trust", "How far to trust it", el("div", card, seen, class_="grid"), say=say)


def _measured(checked: Checked) -> str:
    return f"↑ Measured latency ({unit_of(checked)[0]})"


def _errors(checked: Checked) -> Html:
    entries = [("network", "--accent", "predicted against measured"), ("measured", "--muted", "timed again")]
    card = el(
        "article",
        el("p", el("b", "↑ Error"), " above 0: predicted, or timed again, too slow", class_="axis"),
        plot(errors_figure(checked)),
        legend(entries),
        class_="card",
    )
    say = "Each network, from predicted too fast to too slow, beside what a second timing of the same file changed."
    return section("Errors", "Errors beside the noise floor", card, say=say)


def _baselines(checked: Checked) -> Html:
    headers: list[tuple[str, str | None]] = [("Predicted by", None), *((name, None) for name in METRICS)]
    rows = [
        [TableCell(name, str(index)), *(_metric(show(agreement)) for show in METRICS.values())]
        for index, (name, agreement) in enumerate(compared(checked).items())
    ]
    cards = [
        el(
            "article",
            el("h3", BASELINE_NAMES[name][:1].upper() + BASELINE_NAMES[name][1:]),
            el("p", f"mean error {error(agreement.mape)}", class_="under"),
            el("p", el("b", _measured(checked)), class_="axis"),
            plot(baseline_figure(checked, name)),
            class_="card",
        )
        for name, agreement in checked.baselines.items()
        if agreement is not None
    ]
    why = [el("p", f"No {BASELINE_NAMES[name]}: {reason}.", class_="note") for name, reason in checked.absent.items()]
    say = "The line and the ridge are fitted to the same whole networks of the table that the model learns from."
    beside = el("article", table("Model and baselines", headers, rows), class_="card")
    stack = el("div", beside, *why, el("div", *cards, class_="grid small"), class_="stack")
    return section("Baselines", "Beside simpler models", stack, say=say)


def _metric(shown: str) -> TableCell:
    number = shown.removesuffix(" %").replace("\N{MINUS SIGN}", "-")
    return TableCell(shown, None if shown == units.GAP else float(number))


def _networks(checked: Checked) -> Html:
    headers: list[tuple[str, str | None]] = [
        ("Network", None),
        ("Operators", "derived"),
        ("MACs", "derived"),
        ("Latency", "predicted"),
        ("Latency", "measured"),
        ("Again", "measured"),
        ("Error", None),
        ("Noise", None),
    ]
    made = table("Networks", headers, [_row(network) for network in checked.networks])
    say = "Times are corrected for drift. A header sorts its column."
    return section("Networks", "Networks", el("article", made, class_="card"), say=say)


def _row(network: CheckedNetwork) -> list[TableCell]:
    interval = el("small", f" {units.digits(network.low_ms)} to {units.digits(network.high_ms)}")
    return [
        TableCell(el("code", network.key), network.key),
        TableCell(str(network.operators), network.operators),
        TableCell(units.macs(network.macs), network.macs),
        TableCell(join(units.milliseconds(network.predicted_ms), interval), network.predicted_ms),
        TableCell(units.milliseconds(network.measured_ms), network.measured_ms),
        TableCell(units.milliseconds(network.again_ms), network.again_ms),
        TableCell(error(network.error), network.error),
        TableCell(error(network.noise), network.noise),
    ]


def _setup(checked: Checked) -> Html:
    rows = [
        ("Table", str(checked.table)),
        ("Space", ", ".join(checked.spaces)),
        ("Seed", str(checked.seed)),
        ("Drift", "not known" if checked.drift is None else error(checked.drift)),
        ("Drift, second sitting", "not known" if checked.drift_again is None else error(checked.drift_again)),
        ("Error without its correction", error(checked.uncorrected.mape)),
        *((name.replace("_", " ").capitalize(), str(value)) for name, value in checked.setup.items()),
    ]
    return section("Set-up", "Set-up", el("article", pairs(rows), class_="card"))
