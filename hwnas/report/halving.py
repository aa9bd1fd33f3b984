"""Output of `hwnas halving` on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwnas.pareto import Tier
from hwnas.report import units
from hwnas.report.units import Units
from hwnas.search.fronts import FrontPoint
from hwnas.search.successive_halving import RungResult
from hwnas.words import counted


def halving_table(tier: str, rungs: Sequence[RungResult]) -> Table:
    """A row for each rung: how many were scored, failed, broke a limit, went on."""
    table = Table(title=Text(f"Successive halving of {tier}"), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("rung", no_wrap=True)
    for name in ("networks", "failed", "over a limit", "went on", "took"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, rung in enumerate(rungs):
        over = sum(bool(one.broken) for one in rung.evaluations)
        went_on = str(len(rung.promoted)) if number < len(rungs) - 1 else units.GAP
        cells = [rung.metric, str(len(rung.evaluations)), str(rung.failed), str(over), went_on]
        table.add_row(*map(Text, [*cells, units.seconds(rung.elapsed_s)]))
    return table


def last_table(tier: Tier, front: Sequence[FrontPoint], shown: Units) -> Table:
    """The front among the networks of the last rung."""
    metrics = [objective.metric for objective in tier.objectives]
    table = Table(
        title=Text(f"Front of the last rung, {counted(len(front), 'network')}"), title_justify="left", box=SIMPLE_HEAD
    )
    table.add_column("network", no_wrap=True)
    for metric in metrics:
        table.add_column(Text(metric), justify="right")
    table.add_column("pick", min_width=8)
    for point in front:
        scores = (shown.scored(metric, point.scores[metric]) for metric in metrics)
        table.add_row(*map(Text, [point.architecture.key, *scores, ", ".join(point.picks)]))
    return table
