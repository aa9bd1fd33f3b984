"""The report: one self-contained HTML page that needs no network and may not use one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hwnas.io.atomic import write_file
from hwnas.report import units
from hwnas.report.charts import plots
from hwnas.report.choices import choices_section
from hwnas.report.document import brand, document, footer, section_links
from hwnas.report.facts import CostFacts, ReportFacts, TierFacts, TrainingFacts, require_finite
from hwnas.report.markup import Child, Html, el, join
from hwnas.report.parts import legend, origin, pairs, plot, section
from hwnas.report.plans.winners import winners_section
from hwnas.report.tiers import agreement_card, files_card, networks_card, tier_card
from hwnas.words import counted

ORIGINS: Mapping[str, str] = {
    "measured": "observed in this run",
    "predicted": "inferred by a model",
    "published": "from a published table",
    "emulated": "timed on an emulated device",
    "derived": "counted from the network",
    "scored": "told without training",
    "given": "from a function of the user's",
}


def render(facts: ReportFacts) -> str:
    """The page as text.

    Raises:
        RunError: a number is NaN or infinite.
    """
    require_finite(facts)
    sections = _sections(facts)
    return document(
        facts.title,
        _header(facts, list(sections)),
        el("main", *sections.values()),
        footer(facts.hwnas_version, facts.created_at),
    )


def write_page(facts: ReportFacts, path: Path) -> Path:
    """Write the page as a whole or not at all; the path that was written.

    Raises:
        RunError: the file cannot be written.
    """
    return write_file(path, render(facts), what="report", do="Correct that and run `hwnas report` on the run")


def _sections(facts: ReportFacts) -> dict[str, Html]:
    """Return the sections by their anchor, in order; empty ones are left out."""
    cards = {
        make: [card for index, tier in enumerate(facts.tiers) if (card := make(tier, index)) is not None]
        for make in (agreement_card, networks_card, files_card)
    }
    sections: dict[str, Html | None] = {
        "Fronts": section(
            "Fronts",
            "Fronts",
            el("div", *(tier_card(t, i) for i, t in enumerate(facts.tiers)), class_="grid"),
            say="Every mark is a network. Hover over it, or tap it, to see what it is.",
        ),
        "Latency": _section_of(
            "Latency",
            "Predicted against measured",
            cards[agreement_card],
            "grid",
            "The front was timed again, each network as a whole; on the dotted line a prediction is exact.",
        ),
        "Plans": winners_section(facts.plans),
        "Networks": _section_of(
            "Networks",
            "Networks on the fronts",
            cards[networks_card],
            "stack",
            "Picks come first. A header sorts its column; a network opens to show what each of its operators adds.",
        ),
        "Choices": choices_section(facts),
        "Files": _section_of(
            "Files",
            "Exported files",
            cards[files_card],
            "stack",
            "Each file was run in its own runtime and compared with PyTorch.",
        ),
        "Search": _search(facts),
        "Training": None if facts.training is None else _training(facts.training),
        "Set-up": _setup(facts),
    }
    return {anchor: made for anchor, made in sections.items() if made is not None}


def _section_of(anchor: str, title: str, cards: list[Html], layout: str, say: str) -> Html | None:
    return section(anchor, title, el("div", *cards, class_=layout), say=say) if cards else None


def _header(facts: ReportFacts, anchors: list[str]) -> Html:
    evaluated = len({point.key for tier in facts.tiers for point in tier.points})
    tiers = len({tier.name for tier in facts.tiers})
    lead = [f"{evaluated:,} evaluated", counted(tiers, "tier")]
    if facts.space.count is not None:
        lead.insert(0, f"{units.architectures(facts.space.count)} networks in the space")
    if facts.elapsed:
        lead.append(units.seconds(sum(facts.elapsed.values())))
    shown = _origins_shown(facts)
    return el(
        "header",
        brand(facts.experiment),
        el("h1", facts.title),
        el("p", " · ".join(lead), class_="lead"),
        section_links(anchors),
        el("p", *(el("span", origin(name), f" {ORIGINS[name]}") for name in shown), class_="origins"),
    )


def _origins_shown(facts: ReportFacts) -> list[str]:
    used = {objective.origin for tier in facts.tiers for objective in (tier.accuracy, tier.latency, *tier.passed)}
    return [name for name in ORIGINS if name in used | {"measured", "derived"}]


def _search(facts: ReportFacts) -> Html:
    space = facts.space
    costs = [("Smallest", _costs(space.smallest)), ("Largest", _costs(space.largest))]
    about = el(
        "article",
        el("h3", f"Space {space.name}"),
        pairs(
            [
                ("Networks", "not counted" if space.count is None else units.architectures(space.count)),
                ("Choices", str(space.choices)),
                *costs,
                ("Source", space.source),
            ]
        ),
        class_="card",
    )
    figure = plots.hypervolume_figure(facts)
    if not figure.layers:
        return section("Search", "Search", el("div", about, class_="grid"), say="The space that was searched.")
    entries = [
        (
            ("solid", "dash", "dot")[i % 3],
            plots.tier_color(i),
            f"{t.name}: {t.hypervolume[-1]:.4g} after {counted(len(t.hypervolume), 'trial')}",
        )
        for i, t in enumerate(facts.tiers)
        if t.hypervolume and t.hypervolume[-1] > 0
    ]
    curve = el(
        "article",
        el("h3", "Hypervolume against trials"),
        el("p", el("b", "↑ Share of the last value"), class_="axis"),
        plot(figure),
        legend(entries),
        class_="card",
    )
    say = "Hypervolume is the area that a front dominates: it grows while the search still finds better networks."
    return section("Search", "Search", el("div", curve, about, class_="grid"), say=say)


def _costs(costs: CostFacts) -> Html:
    parts = [f"{units.count(costs.params)} parameters", units.macs(costs.macs)]
    if costs.activation_bytes is not None:
        parts.append(f"{units.size(costs.activation_bytes)} activations")
    return join(", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts), " ", origin("derived"))


def _training(training: TrainingFacts) -> Html | None:
    if not training.epochs:
        return None
    last, quality = training.epochs[-1], training.task.quality
    took = (
        f"{counted(len(training.epochs), 'epoch')} in {units.seconds(sum(epoch.seconds for epoch in training.epochs))}"
    )
    curves = [
        ("solid", "--accent", f"largest {training.units.scored(quality.name, last.largest)}"),
        ("dash", "--accent-2", f"smallest {training.units.scored(quality.name, last.smallest)}"),
    ]
    loss = el(
        "article",
        el("h3", "Loss"),
        el("p", el("b", "↑ Training loss"), class_="axis"),
        plot(plots.loss_figure(training)),
        class_="card",
    )
    accuracy = el(
        "article",
        el("h3", quality.label),
        el(
            "p",
            el("b", f"↑ {quality.label}{training.units.on_axis(quality.name)}"),
            f" · validation {training.task.terms.samples} ",
            origin("measured"),
            class_="axis",
        ),
        plot(plots.learning_figure(training)),
        legend(curves),
        class_="card",
    )
    known = any(e.largest is not None or e.smallest is not None for e in training.epochs)
    return section(
        "Training",
        "Training of the supernet",
        el("div", loss, accuracy if known else None, class_="grid"),
        say=" · ".join(part for part in (took, training.data) if part),
    )


def _setup(facts: ReportFacts) -> Html:
    cards = [_setup_card(tier, index) for index, tier in enumerate(facts.tiers)]
    for title, rows in (("Machine", facts.machine), ("Versions", {"hwnas": facts.hwnas_version, **facts.versions})):
        if rows:
            cards.append(
                el(
                    "article",
                    el("h3", title),
                    pairs((name if title == "Versions" else _term(name), value) for name, value in rows.items()),
                    class_="card",
                )
            )
    if facts.elapsed:
        cards.append(el("article", el("h3", "Time spent"), pairs(_elapsed(facts.elapsed)), class_="card"))
    config: Child = None
    if facts.config_yaml:
        config = el(
            "details",
            el("summary", "The experiment, resolved"),
            el("pre", el("code", facts.config_yaml), tabindex="0", role="region", aria_label="Experiment"),
            class_="card yaml",
        )
    return section(
        "Set-up", "Set-up", el("div", *cards, class_="grid"), config, say="What the numbers on this page are valid for."
    )


def _setup_card(tier: TierFacts, index: int) -> Html:
    rows = [(_term(name), str(value)) for name, value in tier.setup.items()]
    rows += [("Limits", " · ".join(map(tier.units.limit, tier.limits)))] if tier.limits else []
    return el(
        "article", el("h3", tier.title, class_="name"), pairs(rows), class_=f"card tier t{index % plots.TIER_COLORS}"
    )


def _term(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _elapsed(elapsed: Mapping[str, float]) -> list[tuple[str, Html]]:
    most = max([*elapsed.values(), 1e-9])
    return [
        (stage, join(units.seconds(value), el("span", class_="bar", style=f"width:{100 * value / most:.1f}%")))
        for stage, value in elapsed.items()
    ]
