"""Section of the page for each tier: key figures and front, predicted against measured, networks, files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from hwnas.pareto import Limit
from hwnas.report import units
from hwnas.report.charts import plots
from hwnas.report.charts.chart import Figure
from hwnas.report.charts.front_plot import front_figure
from hwnas.report.facts import FileFacts, FrontPointFacts, Origin, TierFacts
from hwnas.report.markup import Html, el, join
from hwnas.report.networks.facts import latency_lines
from hwnas.report.parts import Header, LegendEntry, TableCell, legend, origin, pairs, plot, table


def tier_card(tier: TierFacts, index: int) -> Html:
    """Key figures over the front of one tier; where the front is empty, why."""
    name = el("h3", tier.title, class_="name")
    setup = el("p", units.setup_line(tier.setup), class_="under")
    limits = el(
        "ul", *(el("li", tier.units.limit(limit)) for limit in tier.limits), class_="chips", aria_label="Limits"
    )
    body = [_key_figures(tier) if tier.front else _empty(tier), limits if tier.limits else None]
    if tier.points or tier.front:
        figure = front_figure(tier, plots.tier_color(index))
        body += [_axis_line(tier), plot(figure), _front_legend(tier, figure)]
    notes = [f"Latency: {tier.latency.meaning}.", *tier.notes] if tier.latency.meaning else tier.notes
    body += [el("p", note, class_="note") for note in notes]
    return el("article", name, setup, *body, class_=f"card tier t{index % plots.TIER_COLORS}")


def _key_figures(tier: TierFacts) -> Html:
    """The picks, the compromise first, each with the accuracy that can be relied on most."""
    accuracy, latency = tier.accuracy.metric, tier.latency.metric
    best = f"Best in {tier.accuracy.split}" if tier.accuracy.split else f"Best {tier.units.in_sentence(accuracy)}"
    chosen = {
        "Knee": tier.picked("knee"),
        best: tier.picked("best") or min(tier.front, key=lambda p: tier.accuracy.cost(p.scores[accuracy])),
        "Fastest": tier.picked("fastest") or min(tier.front, key=lambda p: p.scores[latency]),
    }
    rows = []
    for point in {point.name: point for point in chosen.values() if point is not None}.values():
        terms = [term for term, one in chosen.items() if one is not None and one.name == point.name]
        rows.append((" · ".join(terms), _figure(tier, point, quick=terms == ["Fastest"])))
    evaluated = el("small", f"of {len(tier.points):,} evaluated")
    rows.append(("On the front", join(f"{len(tier.front)}", evaluated)))
    return join(pairs(rows, class_="figures"), _caution(tier))


def _figure(tier: TierFacts, point: FrontPointFacts, *, quick: bool) -> Html:
    """A pick's figures: its accuracy large, on test samples if it was exported; of the fastest its latency."""
    latency = tier.scored(tier.latency.metric, point.scores[tier.latency.metric])
    searched = tier.units.scored(tier.accuracy.metric, point.scores[tier.accuracy.metric])
    tested = None if point.test_accuracy is None else tier.units.scored(tier.quality, point.test_accuracy)
    by_split = [(tested, "test"), (searched, tier.accuracy.split)]
    lines = [f"{value} {split}".rstrip() for value, split in by_split if value is not None]
    shrunken = [] if point.estimate is None else [f"shrunken estimate {tier.estimate(point)}"]
    lines += shrunken
    lowered = [f"{point.precision} \N{MINUS SIGN} fp32: {point.loss}"] if point.loss else []
    lines += lowered
    if quick:
        return join(_large(latency), *(el("small", line) for line in lines), origin(tier.latency.origin))
    large, split = (searched, tier.accuracy.split) if tested is None else (tested, "test")
    under = [f"on {split} {tier.samples}"] if split else []
    under += [f"{searched} {tier.accuracy.split}".rstrip()] if tested is not None else []
    under += [*shrunken, *lowered]
    tag = tier.accuracy.origin if tested is None else "measured"
    return join(
        _large(large), *(el("small", line) for line in [*under, f"{latency} {tier.latency.origin}"]), origin(tag)
    )


def _caution(tier: TierFacts) -> Html | None:
    """Explain how the accuracies that chose the front relate to those on the test samples."""
    if not tier.accuracy.split:
        return None
    compared = sum(tier.accuracy.metric in point.scores for point in tier.points)
    untested = all(point.test_accuracy is None for point in tier.front)
    tests = "the picks are tested when they are exported" if untested else f"the test {tier.samples} chose nothing"
    among = f"{compared:,} networks were" if compared > 1 else "Networks are"
    caution = f"{among} compared on validation {tier.samples}, and the best of many such scores is optimistic; {tests}."
    if tier.is_estimated:
        caution += (
            " So the front is decided by shrunken estimates: each score is drawn towards what similar networks reach, "
            "the more the fewer samples it rests on. The chart has the front's networks at these."
        )
    return el("p", caution, class_="note")


def _large(value: str) -> Html:
    number, _, unit = value.partition(" ")
    return join(number, el("span", f" {unit}", class_="unit") if unit else None)


def _empty(tier: TierFacts) -> Html:
    if not tier.points:
        return el("div", el("p", "The front is empty: nothing has been evaluated for this tier yet."), class_="empty")
    reasons = [el("li", text) for limit in tier.limits if (text := _reach(tier, limit))]
    message = f"The front is empty: none of the {len(tier.points):,} evaluated networks meets every limit."
    return el("div", el("p", message), el("ul", *reasons) if reasons else None, class_="empty")


def _reach(tier: TierFacts, limit: Limit) -> str:
    broken = sum(str(limit) in point.broken for point in tier.points)
    if not broken:
        return ""
    values = [value for point in tier.points if (value := point.value(limit.metric)) is not None]
    line = f"{tier.units.limit(limit)}: broken by {broken:,} of {len(tier.points):,}"
    if not values:
        return line
    low, high = (tier.units.scored(limit.metric, end(values)) for end in (min, max))
    return f"{line}; they reach {low} to {high}"


def _axis_line(tier: TierFacts) -> Html:
    meaning = f" {tier.accuracy.meaning}" if tier.accuracy.meaning else None
    name = el("b", f"↑ {tier.accuracy.label}{tier.units.on_axis(tier.accuracy.metric)}")
    better = ", lower is better" if tier.accuracy.goal == "min" else None
    return el("p", name, better, " ", origin(tier.accuracy.origin), meaning, class_="axis")


def _front_legend(tier: TierFacts, figure: Figure) -> Html:
    """Return a legend of the marks that the figure draws, and no others."""
    shapes: tuple[LegendEntry, ...] = (
        ("front", "--tier", "front", "front", "front line"),
        ("evaluated", "--muted", "evaluated", "evaluated"),
        ("broken", "--warn", "breaks a limit", "breaks a limit"),
        ("measured", "--tier", "re-timed", "measured"),
    )
    drawn = {layer.name for layer in figure.layers}
    entries = [entry for entry in shapes if not drawn.isdisjoint(entry[3:])]
    if figure.shows_rules:
        entries.append(("dash", "--warn", "limit"))
    if any(point.kept is False for point in tier.front):
        entries.append(("off", "--tier", "fell off"))
    return legend(entries)


def agreement_card(tier: TierFacts, index: int) -> Html | None:
    """Predicted against measured latency; None if nothing was re-timed."""
    errors = tier.errors
    if errors is None:
        return None
    stats = [
        ("Mean error (MAPE)", f"{errors.mean_percent:.1f} %"),
        ("Worst", f"{errors.worst_percent:.1f} %"),
        ("Re-timed", str(errors.count)),
    ]
    if errors.intervals:
        stats.append(("In the interval", f"{errors.inside} of {errors.intervals}"))
    fallen = sum(point.kept is False for point in tier.front)
    stats.append(("Fell off the front", str(fallen)))
    entries = [("network", "--tier", "front network"), ("dot", "--muted", "exact")]
    if errors.intervals:
        entries.append(("interval", "--tier", "interval"))
    if fallen:
        entries.append(("off", "--tier", "fell off"))
    return el(
        "article",
        el("h3", tier.title, class_="name"),
        pairs(stats, class_="stats"),
        el("p", el("b", f"↑ Measured latency ({plots.agreement_unit(tier)})"), class_="axis"),
        plot(plots.agreement_figure(tier, plots.tier_color(index))),
        legend(entries),
        el("p", f"The worst prediction is that of {errors.worst_key}.", class_="note"),
        class_=f"card tier t{index % plots.TIER_COLORS}",
    )


def networks_card(tier: TierFacts, index: int) -> Html | None:
    """The front as a table, picks first; None if the front is empty."""
    if not tier.front:
        return None
    headers: list[Header] = [
        ("Network", None),
        (tier.accuracy.label, tier.accuracy.origin, tier.units.quantity(tier.accuracy.metric).unit),
        *(
            [("Shrunken estimate", "predicted", tier.units.quantity(tier.accuracy.metric).unit)]
            if tier.is_estimated
            else []
        ),
        *((tier.units.with_source(s.metric), s.origin, tier.units.quantity(s.metric).unit) for s in tier.passed),
        (tier.tested, "measured", tier.units.quantity(tier.quality).unit),
        ("Latency", tier.latency.origin, tier.units.quantity(tier.latency.metric).unit),
        ("Latency", "measured", tier.units.quantity(tier.latency.metric).unit),
        ("Error", None, "%, absolute"),
        *(
            (tier.units.label(metric), origin, tier.units.quantity(metric).unit)
            for metric, origin, _ in _other_columns(tier)
        ),
        ("Parameters", "derived"),
        ("MACs", "derived"),
        ("Activations", "derived", "B"),
    ]
    ordered = sorted(tier.ordered, key=lambda point: not point.picks)
    alike = tier.alike
    rows = [_network_row(tier, point, alike.get(point.name)) for point in ordered]
    made = table(f"Front networks of {tier.title}", headers, rows)
    note = (
        el(
            "p",
            "≈ KEY: perhaps no better than that faster network, less than two standard errors apart.",
            class_="note",
        )
        if alike
        else None
    )
    return el(
        "article", el("h3", tier.title, class_="name"), made, note, class_=f"card tier t{index % plots.TIER_COLORS}"
    )


def _other_columns(tier: TierFacts) -> Iterator[tuple[str, Origin, str]]:
    """Yield the columns of further metrics: metric, origin, and the attribute of a point that holds the values."""
    for metric in tier.others:
        quantity = tier.units.quantity(metric)
        yield metric, "derived" if quantity.is_derived else "predicted", "scores"
        if quantity.measured is not None:
            yield metric, "measured", "measured"


def _network_row(tier: TierFacts, point: FrontPointFacts, alike: str | None) -> list[TableCell]:
    accuracy, error = point.scores[tier.accuracy.metric], point.error_percent
    latency = tier.latency.metric
    interval = None
    if point.low_ms is not None and point.high_ms is not None:
        interval = el("small", f" {units.interval(point.low_ms, point.high_ms, tier.time_unit)}")
    estimated = el("small", f" {point.estimated}") if point.estimated else None
    error_of = partial(tier.units.deviation, tier.accuracy.metric)
    chance = None if point.accuracy_error is None else el("small", f" {error_of(point.accuracy_error)}")
    near = None if alike is None else el("small", f" ≈ {alike}")
    lowered = el("small", f" {point.precision} \N{MINUS SIGN} fp32: {point.loss}") if point.loss else None
    spread = None if point.measured_spread is None else el("small", f" ±{50 * point.measured_spread:.0f} %")
    return [
        TableCell(_who(tier, point), f"{'0' if point.picks else '1'} {point.name}"),
        TableCell(join(tier.units.scored(tier.accuracy.metric, accuracy), chance, lowered, near), accuracy),
        *([TableCell(tier.estimate(point), point.estimated_accuracy)] if tier.is_estimated else []),
        *(
            TableCell(tier.units.scored(s.metric, point.scores.get(s.metric)), point.scores.get(s.metric))
            for s in tier.passed
        ),
        TableCell(tier.units.scored(tier.quality, point.test_accuracy), point.test_accuracy),
        TableCell(join(tier.scored(latency, point.predicted_ms), interval, estimated), point.predicted_ms),
        TableCell(join(tier.scored(latency, point.measured_ms), spread), point.measured_ms),
        TableCell(
            units.GAP if error is None else f"{error:+.1f} %".replace("-", "\N{MINUS SIGN}"),
            None if error is None else abs(error),
        ),
        *(
            TableCell(tier.units.scored(metric, (value := getattr(point, values).get(metric))), value)
            for metric, _, values in _other_columns(tier)
        ),
        TableCell(units.count(point.params), point.params),
        TableCell(units.macs(point.macs), point.macs),
        TableCell(units.size(point.activation_bytes), point.activation_bytes),
    ]


def _who(tier: TierFacts, point: FrontPointFacts) -> Html:
    key = el("code", point.name)
    fell = el("small", " fell off", class_="bad") if point.kept is False else None
    marks = [el("span", pick, class_="pick") for pick in point.picks]
    if not point.description:
        return join(*marks, key, fell)
    lines = tuple(latency_lines(point.operators, units.setup_line(tier.setup))) or point.description
    return el("details", el("summary", *marks, key, fell), el("pre", "\n".join(lines)))


def files_card(tier: TierFacts, index: int) -> Html | None:
    """The exported files with what was seen when they were run; None if there are none."""
    if not tier.files:
        return None
    headers: list[Header] = [
        ("File", None),
        ("Format", None),
        ("Size", "measured", "B"),
        ("Largest difference", "measured"),
        (tier.task.terms.agreement, "measured", "fraction"),
        (tier.tested, "measured", tier.units.quantity(tier.quality).unit),
        ("Latency", tier.latency.origin, tier.units.quantity(tier.latency.metric).unit),
        ("Latency", "measured", tier.units.quantity(tier.latency.metric).unit),
        ("SHA-256", None),
    ]
    made = table(f"Files of {tier.title}", headers, [_file_row(tier, file) for file in tier.files])
    return el("article", el("h3", tier.title, class_="name"), made, class_=f"card tier t{index % plots.TIER_COLORS}")


def _file_row(tier: TierFacts, file: FileFacts) -> list[TableCell]:
    latency = tier.latency.metric
    difference = units.GAP if file.max_difference is None else f"{file.max_difference:.1e}"
    return [
        TableCell(join(el("span", file.pick, class_="pick"), el("code", file.name)), file.name),
        TableCell(file.format, file.format),
        TableCell(units.size(file.bytes), file.bytes),
        TableCell(difference, file.max_difference),
        TableCell(units.percent(file.agreement), file.agreement),
        TableCell(tier.units.scored(tier.quality, file.test_accuracy), file.test_accuracy),
        TableCell(tier.scored(latency, file.predicted_ms), file.predicted_ms),
        TableCell(tier.scored(latency, file.measured_ms), file.measured_ms),
        TableCell(el("code", file.sha256[:12], title=file.sha256), file.sha256),
    ]
