"""Results of commands, printed for a person on standard output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwnas.words import counted

if TYPE_CHECKING:
    from hwnas.commands.plan import PlannedStage
    from hwnas.commands.shipped import Shipped
    from hwnas.latency.linting.findings import Finding
    from hwnas.latency.tables.comparison import TableComparison
    from hwnas.problem.feasibility import Feasible
    from hwnas.report.comparisons.facts import BundleComparison, RunComparison
    from hwnas.report.facts import TierFacts
    from hwnas.report.scores import Scored
    from hwnas.report.spaces.facts import SpaceView
    from hwnas.report.validation.fidelity import Fidelity
    from hwnas.report.validation.table_check import Checked
    from hwnas.testing import Certificate
    from hwnas.workspace.results.halving_results import HalvingResult

SCORES = 30
"""Number of networks of a scored population that are listed."""


def show_findings(findings: Sequence[Finding], *, verbose: bool = False) -> None:
    """Print what lint found: every error, then the warnings by kind, each with its first or, if `verbose`, with all."""
    errors = [finding for finding in findings if finding.severity == "error"]
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.severity == "warning":
            kinds.setdefault(finding.rule, []).append(finding)
    for finding in errors:
        print(f"{finding.where}: error: {finding.what}\n    {finding.why}; {finding.do}")
    if errors and kinds:
        print()
    for rule, warnings in kinds.items():
        shown = warnings if verbose else warnings[:1]
        for finding in shown:
            print(f"{finding.where}: warning: {finding.what}")
        more = f"    and {len(warnings) - len(shown):,} more of the kind {rule}\n" if len(shown) < len(warnings) else ""
        print(f"{more}    {warnings[0].why}; {warnings[0].do}")
    count = len(findings) - len(errors)
    folded = "" if verbose or count == len(kinds) else "; --verbose spells out all of them"
    print(f"{counted(len(errors), 'error')}, {counted(count, 'warning')}{folded}")


def show_fronts(tiers: Sequence[TierFacts]) -> None:
    """Print a table for each tier."""
    from hwnas.report.fitting import console, print_table
    from hwnas.report.tables import front_table

    for tier in tiers:
        print_table(console(), front_table(tier))
        for note in tier.notes:
            console().print(note, markup=False, highlight=False)


def show_feasible(tiers: Sequence[Feasible]) -> None:
    """Print what `hwnas feasible` found."""
    from rich.console import Console

    from hwnas.report.units import Units, share

    console = Console(markup=False, highlight=False, soft_wrap=True)
    for tier in tiers:
        units, networks = Units(tier.metrics), counted(tier.networks, "network")
        looked = f"all {networks} of the space" if tier.whole else networks
        console.print(f"{tier.tier}: {looked} looked at", style="bold")
        for reach in tier.reaches:
            metric = reach.limit.metric
            exactly = "" if reach.exact else ", of those looked at"
            lacking = f", {reach.missing:,} have no number and count as outside" if reach.missing else ""
            bounds = f"from {units.between(metric, reach.least, reach.most)}{exactly}; inside: "
            text = reach.unjudged or f"{bounds}{share(reach.share, reach.error)}{lacking}"
            console.print(f"  {units.limit(reach.limit)}: {text}")
        of = "all that can be judged" if tier.unjudged else "all of them"
        console.print(f"  {of}: {share(tier.share, tier.error)}" if tier.limits else "  no limits")


def show_check(checked: Checked) -> None:
    """Print what `hwnas check` found."""
    from hwnas.report.fitting import console, print_table
    from hwnas.report.validation.table_check import check_table, verdict

    to = console()
    print_table(to, check_table(checked))
    for sentence in verdict(checked):
        to.print(sentence)
    for name, reason in checked.absent.items():
        to.print(f"{name}: none, {reason}")


def show_halving(result: HalvingResult) -> None:
    """Print the rungs of successive halving for a tier and the front at its end."""
    from hwnas.report.fitting import console, print_table
    from hwnas.report.halving import halving_table, last_table
    from hwnas.report.units import Units

    print_table(console(), halving_table(result.tier, result.rungs))
    print_table(console(), last_table(result.top_rung.tier, result.front, Units(result.metrics)))


def show_fidelity(fidelity: Fidelity) -> None:
    """Print what `hwnas fidelity` found."""
    from hwnas.report.fitting import console, print_table
    from hwnas.report.validation.fidelity import fidelity_table, verdict

    to = console()
    print_table(to, fidelity_table(fidelity))
    for sentence in verdict(fidelity):
        to.print(sentence)


def show_certificates(certificates: Sequence[Certificate]) -> None:
    """Print what `hwnas test-operator` found."""
    from rich.console import Console
    from rich.text import Text

    console = Console(markup=False, highlight=False)
    styles = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
    for certificate in certificates:
        console.print(Text(certificate.operator, "bold"))
        for tried in certificate.tried:
            console.print(f"  tried    {tried}", style="dim", soft_wrap=True)
        for verdict in certificate.verdicts:
            console.print(Text.assemble("  ", (f"{verdict.outcome:<8}", styles[verdict.outcome]), f" {verdict.check}"))
            if verdict.why:
                console.print(f"           {verdict.why}", soft_wrap=True)


def show_scores(scored: Scored) -> None:
    """Print what `hwnas score` found."""
    from hwnas.report.fitting import console, print_table
    from hwnas.report.scores import score_lines, score_table, score_title

    to = console()
    to.print(score_title(scored))
    print_table(to, score_table(scored, SCORES))
    for line in score_lines(scored):
        to.print(line, soft_wrap=True)


def show_costs(costs: Mapping[str, Any]) -> None:
    """Print what `hwnas cost` found, as tables."""
    from rich.text import Text

    from hwnas.quantities import QUANTITIES
    from hwnas.report.fitting import console, print_table
    from hwnas.report.tables import costs_table
    from hwnas.report.units import interval, setup_line

    to = console()
    shape = "x".join(map(str, costs["input"]))
    to.print(Text.assemble((costs["space"], "bold"), f" architecture {costs['key']}, input {shape}"))
    rows = [
        (op["slot"], _words(op), op["params"], op["macs"], op["activation_bytes"], op.get("ms"))
        for op in costs["operators"]
    ]
    print_table(to, costs_table(rows))
    for name, value in _cost_words(costs):
        to.print(f"{name:>12}  {value}")
    if "latency_ms" in costs:
        to.print(f"{'':>12}  {interval(costs['low_ms'], costs['high_ms'])}, from {costs['latency_origin']}")
        to.print(f"{'':>12}  {setup_line(costs['setup'])}")
    if "as_written" in costs:
        written = ", ".join(f"{value:,} {name}" for name, value in costs["as_written"].items())
        to.print(f"{'as written':>12}  {written}, as the space's project counts")
    for quantity in QUANTITIES.own.values():
        if quantity.measured is not None and quantity.name in costs:
            name, _, end = quantity.name.partition("_")
            to.print(f"{name.capitalize():>12}  {costs[quantity.name]:.4g} {quantity.unit}")
            ends = f"{costs[f'low_{end}']:.4g} to {costs[f'high_{end}']:.4g} {quantity.unit}"
            to.print(f"{'':>12}  {ends}, from {costs[f'{name}_origin']}")


def show_comparison(compared: TableComparison | RunComparison | BundleComparison) -> None:
    """Print what `hwnas compare` found: a verdict and the rows that differ most, a table for each tier, or files."""
    from hwnas.report.comparisons.facts import BundleComparison, RunComparison
    from hwnas.report.comparisons.tables import (
        bundle_notes,
        files_table,
        front_notes,
        fronts_table,
        ratios_table,
        verdict_lines,
    )
    from hwnas.report.fitting import console, print_table

    to = console()
    if isinstance(compared, RunComparison):
        for name, front in compared.tiers.items():
            print_table(to, fronts_table(name, front, compared.units))
        lines = front_notes(compared.tiers, {"A": compared.only_first, "B": compared.only_second})
    elif isinstance(compared, BundleComparison):
        print_table(to, files_table(compared))
        lines = bundle_notes(compared)
    else:
        print_table(to, ratios_table(compared))
        lines = verdict_lines(compared)
    for line in lines:
        to.print(line, highlight=False)


def show_plan(stages: Sequence[PlannedStage]) -> None:
    """Print what `hwnas run --dry-run` found: a line on each stage, with its files below."""
    width = max(len(stage.name) for stage in stages)
    for stage in stages:
        minutes = "unknown" if stage.seconds is None else f"{stage.seconds / 60:.1f} min"
        print(f"{stage.name:<{width}}  {minutes:>9}  {stage.work}")
        for file in stage.files:
            print(f"{'':<{width + 13}}{file}")
    known = sum(stage.seconds or 0 for stage in stages)
    unknown = sum(stage.seconds is None for stage in stages)
    print(f"{'in all':<{width}}  {known / 60:>5.1f} min" + (f", and {unknown} that cannot be told" if unknown else ""))


def show_edge_cloud_plans(document: Mapping[str, Any]) -> None:
    """Print what `hwnas plan` found: the plans of the front, the winner, the link, and what was left out."""
    from hwnas.report.fitting import console, print_table
    from hwnas.report.plans.table import break_even_sentence, link_sentence, plans_table, winner_sentence

    to = console()
    print_table(to, plans_table(document))
    for sentence in (winner_sentence(document), break_even_sentence(document), link_sentence(document)):
        if sentence:
            to.print(sentence)
    for note in document["notes"]:
        to.print(f"{note[:1].upper()}{note[1:]}.")
    if "measured" in document:
        from hwnas.report.plans.measured import conditions_sentence, measured_sentence, measured_table

        print_table(to, measured_table(document))
        to.print(measured_sentence(document))
        to.print(conditions_sentence(document))


def show_shipped(kinds: Mapping[str, Sequence[Shipped]]) -> None:
    """Print what `hwnas list` found: under each kind, a line on each file."""
    from rich.console import Console
    from rich.table import Table

    width = max(len(one.name) for files in kinds.values() for one in files)
    to = Console(markup=False, highlight=False)
    for kind, files in kinds.items():
        to.print(kind, style="bold")
        lines = Table.grid(padding=(0, 2))
        lines.add_column(min_width=width, no_wrap=True)
        lines.add_column()
        for one in files:
            lines.add_row(f"  {one.name}", one.about)
        to.print(lines)


def show_space(view: SpaceView) -> None:
    """Print what `hwnas show SPACE` found."""
    from rich.text import Text

    from hwnas.report.fitting import console, print_table
    from hwnas.report.spaces.table import choice_lines, headline, space_table

    to = console()
    to.print(Text.assemble((view.name, "bold"), f"  {view.source}"))
    for line in headline(view):
        to.print(line)
    print_table(to, space_table(view))
    for line in choice_lines(view):
        to.print(line)


def _cost_words(costs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return costs with their names; MACs are named once."""
    from hwnas.report.tables import cost_rows

    rows = cost_rows(costs["params"], costs["macs"], costs["activation_bytes"], ms=costs.get("latency_ms"))
    return [(name, value.removesuffix("MACs").rstrip()) for name, value in rows]


def _words(operator: Mapping[str, Any]) -> str:
    knobs = ", ".join(f"{name} {value}" for name, value in operator["knobs"].items() if value)
    return f"{operator['op']}: {knobs}" if knobs else str(operator["op"])
