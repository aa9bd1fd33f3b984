"""Charts of a report, beside that of the front: agreement of prediction and clock, hypervolume, training; and the tips
of networks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwnas.report import units
from hwnas.report.charts.chart import ChartAxis, Dash, Figure, Line, Marks, Tip, around, cut
from hwnas.report.facts import FrontPointFacts, Point, ReportFacts, TierFacts, TrainingFacts

TIER_COLORS = 5
"""Number of `--tier-N` that the style sheet defines."""

MOST_DRAWN = 6000
"""Points drawn of one kind; a page stays fluent, and below 6 MB, up to here."""
MOST_SAID = 300
"""Characters of an evaluated network's picks that its tip shows."""
DASHES: tuple[Dash, ...] = ("solid", "dash", "dot")


def tier_color(index: int) -> str:
    """The CSS variable of a tier."""
    return f"--tier-{index % TIER_COLORS}"


def thinned(count: int) -> list[int]:
    """Indices of at most `MOST_DRAWN` of `count` points, evenly spread, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, MOST_DRAWN)).round().astype(int).tolist())) if count else []


def point_tip(tier: TierFacts, point: Point) -> Tip:
    """Return the tip of an evaluated architecture."""
    lines = (cut(point.summary, MOST_SAID),) if point.summary else ()
    rows = [*_score_rows(tier, point), *_cost_rows(point.params, point.macs)]
    rows += [("Breaks", text, "") for text in point.broken]
    return Tip(point.key, tuple(rows), lines)


def front_tip(tier: TierFacts, point: FrontPointFacts) -> Tip:
    """Return the tip of a network of the front: scores with origin, costs, and its operators."""
    rows = [*_score_rows(tier, point)]
    if point.estimate is not None:
        rows.insert(1, ("Shrunken estimate", tier.estimate(point), "predicted"))
    if point.test_accuracy is not None:
        rows.insert(1, (tier.tested, tier.units.scored(tier.quality, point.test_accuracy), "measured"))
    if point.loss:
        rows.append((f"{point.precision} \N{MINUS SIGN} fp32", point.loss, tier.accuracy.origin))
    if point.low_ms is not None and point.high_ms is not None:
        rows.append(("Interval", units.interval(point.low_ms, point.high_ms), tier.latency.origin))
    if point.estimated:
        rows.append(("Without a row", point.estimated, tier.latency.origin))
    if point.measured_ms is not None:
        rows.append(("Re-timed", units.milliseconds(point.measured_ms), "measured"))
    rows += _cost_rows(point.params, point.macs)
    if point.kept is False:
        rows.append(("Re-timing", "fell off the front", "measured"))
    head = f"{' · '.join(point.picks)}  {point.name}" if point.picks else point.name
    return Tip(head, tuple(rows), point.description)


def _score_rows(tier: TierFacts, point: Point | FrontPointFacts) -> Iterator[tuple[str, str, str]]:
    for objective in (tier.accuracy, tier.latency):
        if objective.metric in point.scores:
            value = tier.units.scored(objective.metric, point.scores[objective.metric])
            yield objective.label, value, objective.origin


def _cost_rows(params: int | None, macs: int | None) -> Iterator[tuple[str, str, str]]:
    if params is not None:
        yield "Parameters", units.count(params), "derived"
    if macs is not None:
        yield "MACs", units.macs(macs), "derived"


def agreement_figure(tier: TierFacts, color: str) -> Figure:
    """Measured over predicted latency with intervals; points on the dotted line were predicted exactly."""
    points = [p for p in tier.ordered if p.measured_ms is not None]
    both = _both(tier)
    unit, times = units.time_unit(both)
    low, high = around([times * ms for ms in both])
    ends = (max(low, 0.0), high)
    marks = Marks(
        "front",
        [times * p.predicted_ms for p in points],
        [times * float(p.measured_ms or 0) for p in points],
        color,
        [front_tip(tier, p) for p in points],
        radius=4.5,
        symbol=["fallen" if p.kept is False else "dot" for p in points],
        across=[
            tuple(times * (p.predicted_ms if ms is None else ms) for ms in (p.low_ms, p.high_ms))  # type: ignore[misc]
            for p in points
        ],
    )
    words = f"Measured over predicted latency of {len(points)} front networks of tier {tier.title}."
    axis = ChartAxis(ends, f"Predicted latency ({unit})")
    return Figure((exactly(ends), marks), axis, ChartAxis(ends), 340, words)


def _both(tier: TierFacts) -> list[float]:
    points = [p for p in tier.front if p.measured_ms is not None]
    return [ms for p in points for ms in (p.measured_ms, p.predicted_ms, p.low_ms, p.high_ms) if ms is not None]


def agreement_unit(tier: TierFacts) -> str:
    """The unit of both axes of the agreement's chart."""
    return units.time_unit(_both(tier))[0]


def exactly(ends: tuple[float, float]) -> Line:
    """The line on which both axes are equal."""
    return Line("exact", ends, ends, "--muted", width=1.2, dash="dot")


def hypervolume_figure(facts: ReportFacts) -> Figure:
    """Hypervolume against trials, each tier as a share of its last value."""
    lines = []
    for index, tier in enumerate(facts.tiers):
        if not tier.hypervolume or tier.hypervolume[-1] <= 0:
            continue
        chosen = _turns(tier.hypervolume)
        values, last = tier.hypervolume, tier.hypervolume[-1]
        tips = [
            Tip(
                f"{tier.name}, trial {i + 1}",
                (
                    ("Hypervolume", f"{values[i]:.4g}", "derived"),
                    ("Of the last", f"{100 * values[i] / last:.1f} %", "derived"),
                ),
            )
            for i in chosen
        ]
        x, y = [i + 1 for i in chosen], [100 * values[i] / last for i in chosen]
        lines.append(Line(cut(tier.title, 24), x, y, tier_color(index), tips, dash=DASHES[index % 3], steps=True))
    trials = max((len(tier.hypervolume) for tier in facts.tiers), default=1)
    x_axis, y_axis = ChartAxis((1, max(1.03 * trials, 2)), "Trials", whole=True), ChartAxis((0, 105), suffix=" %")
    return Figure(tuple(lines), x_axis, y_axis, 300, "Hypervolume after each trial, as a share of the last value.")


def _turns(values: tuple[float, ...]) -> list[int]:
    """Places where the value changes, the first and the last place."""
    last = len(values) - 1
    changes = [i for i in range(len(values)) if i in (0, last) or values[i] != values[i - 1]]
    return [changes[i] for i in thinned(len(changes))]


def loss_figure(training: TrainingFacts) -> Figure:
    """Training loss by epoch."""
    return _epochs_figure(training, "Training loss by epoch.", [("Loss", "loss", "--accent", "solid")], "")


def learning_figure(training: TrainingFacts) -> Figure:
    """Validation quality of the largest and the smallest network by epoch."""
    curves: list[tuple[str, str, str, Dash]] = [
        ("Largest", "largest", "--accent", "solid"),
        ("Smallest", "smallest", "--accent-2", "dash"),
    ]
    name = training.task.quality.name
    words = f"Validation {training.units.in_sentence(name)} of the largest and the smallest network by epoch."
    return _epochs_figure(training, words, curves, name)


def _epochs_figure(
    training: TrainingFacts, words: str, curves: list[tuple[str, str, str, Dash]], metric: str
) -> Figure:
    layers: list[Marks | Line] = []
    percent = bool(metric) and training.units.is_fraction(metric)
    for name, attribute, color, dash in curves:
        known = [(e, getattr(e, attribute)) for e in training.epochs if getattr(e, attribute) is not None]
        x, y = [e.epoch for e, _ in known], [100 * value if percent else value for _, value in known]
        tips = [
            Tip(
                f"Epoch {e.epoch}",
                (
                    (name, training.units.scored(metric, value) if metric else units.digits(value), "measured"),
                    ("Took", units.seconds(e.seconds), "measured"),
                ),
            )
            for e, value in known
        ]
        few = len(known) < 40
        layers.append(Line(name, x, y, color, () if few else tips, dash=dash))
        if few:
            layers.append(Marks(f"{name}, each epoch", x, y, color, tips, radius=2.5))
    values = [y for layer in layers for y in layer.y]
    epochs = [e.epoch for e in training.epochs]
    axis = ChartAxis(around(epochs, 0.03) if len(epochs) > 1 else (0, 2), "Epoch", whole=True)
    return Figure(tuple(layers), axis, ChartAxis(around(values), suffix=" %" if percent else ""), 280, words)
