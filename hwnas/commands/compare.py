"""Two tables, or two runs, beside each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import ConfigError
from hwnas.io.resources import find_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwnas.latency.tables.comparison import TableComparison
    from hwnas.pareto import Objective, Scores
    from hwnas.problem.fronts.loading import LoadedFront
    from hwnas.report.units import Units

TABLE_SUFFIX = ".jsonl"
SHOWN_LIMITS = 5


@dataclass(frozen=True)
class BestWithin:
    """Best quality within a limit of the first cost; None where a run has no network within it."""

    limit: float
    first: float | None
    second: float | None


@dataclass(frozen=True)
class FrontComparison:
    """One tier's fronts of two runs, by the scores that networks are compared by.

    Args:
        objectives: quantities, the quality first.
        networks: size of each front.
        hypervolume: of each front, over one reference point just worse than all networks of both.
        dominated: share of each front that the other one dominates.
        only_first: number of points of the joint front that the first run alone has.
        only_second: number that the second alone has.
        cost: quantity of the limits of `best_within`.
        best_within: at limits from the least cost of both fronts to the largest.
        notes: what makes the fronts hard to compare, such as another device.
    """

    objectives: tuple[str, ...]
    networks: tuple[int, int]
    hypervolume: tuple[float, float]
    dominated: tuple[float, float]
    only_first: int
    only_second: int
    cost: str
    best_within: tuple[BestWithin, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class RunComparison:
    """Two runs, tier by tier."""

    tiers: dict[str, FrontComparison]
    only_first: tuple[str, ...]
    """Tiers that the second run lacks."""
    only_second: tuple[str, ...]
    units: Units
    """Texts of the scores."""

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        tiers = {name: asdict(front) for name, front in self.tiers.items()}
        return {"tiers": tiers, "only_first": self.only_first, "only_second": self.only_second}


def compare(first: str, second: str, *, runs: Path = Path("runs")) -> TableComparison | RunComparison:
    """Compare two latency tables, or the fronts of two runs.

    Args:
        first: a latency table or the name of a shipped one; or an experiment's file or a run's folder.
        second: the same kind of thing; it is told beside the first.
        runs: folder of run folders.

    Returns:
        Of tables, ratios of the second's times over the first's with a 95 % interval and a verdict; of runs, how their
        fronts lie in each tier that both have.

    Raises:
        ConfigError: one does not exist, or they are not of one kind.
        RunError: a run has no front yet.
        TableError: a table is damaged, or they have no row in common.

    Example:
        >>> from hwnas import pipeline
        >>> table = "epyc_onnxruntime_fp32_1t_ofa224"
        >>> pipeline.compare(table, table).verdict
        'no difference'
    """
    tables = [_table_path(one) for one in (first, second)]
    if None not in tables:
        from hwnas.latency.tables.comparison import compare_tables
        from hwnas.measure.table import read_table

        one, other = (read_table(path) for path in tables if path is not None)
        return compare_tables(one, other)
    if tables != [None, None]:
        table, run = (first, second) if tables[0] is not None else (second, first)
        raise ConfigError(
            f"`{table}` is a latency table, and `{run}` is none",
            where="hwnas compare",
            allowed="Two latency tables are compared, or two runs",
            do="Name two of a kind",
        )
    return _compare_runs(first, second, runs)


def _table_path(reference: str) -> Path | None:
    """Return the file of a table; None if the reference is to be a run."""
    if reference.endswith(TABLE_SUFFIX):
        return find_file(reference, "latency_tables")
    if Path(reference).exists() or reference.endswith((".yaml", ".yml")):
        return None
    try:
        return find_file(reference, "latency_tables")
    except ConfigError:
        return None


def _compare_runs(first: str, second: str, runs: Path) -> RunComparison:
    from hwnas.problem.fronts.loading import load_front
    from hwnas.workspace.workspace import open_run

    one, other = (open_run(reference, runs=runs) for reference in (first, second))
    names = [list(run.experiment.tiers) for run in (one, other)]
    shared = [name for name in names[0] if name in names[1]]
    if not shared:
        raise ConfigError(
            f"tiers are {', '.join(names[0])} in `{first}`, and {', '.join(names[1])} in `{second}`",
            where="hwnas compare",
            allowed="Tiers of one name are compared",
            do="Name runs that share a tier",
        )
    tiers = {}
    for name in shared:
        fronts = load_front(one, name), load_front(other, name)
        setups = [run.experiment.setups[run.experiment.tiers[name].setup] for run in (one, other)]
        notes = [] if setups[0] == setups[1] else ["the set-ups differ: their latencies are of two things"]
        if fronts[0].source.origin != fronts[1].source.origin:
            notes.append(f"accuracies are {fronts[0].source.origin} and {fronts[1].source.origin}")
        tiers[name] = compare_fronts(*fronts, notes)
    only = [tuple(name for name in own if name not in shared) for own in names]
    return RunComparison(tiers, only[0], only[1], one.units)


def compare_fronts(first: LoadedFront, second: LoadedFront, notes: Sequence[str] = ()) -> FrontComparison:
    """Compare two fronts of one tier by the objectives that both have.

    Raises:
        ConfigError: they do not share their quality and one more objective.
    """
    from hwnas.pareto import Objective, front, hypervolume, reference_point

    wanted = [_by_quantity(side.tier.objectives) for side in (first, second)]
    shared = [name for name in wanted[0] if name in wanted[1]]
    objectives = [Objective(name, wanted[0][name].goal) for name in shared]
    sides = [
        [
            {name: point.expected[known[name].metric] for name in shared}
            for point in side.points
            if point.kept is not False
        ]
        for side, known in zip((first, second), wanted, strict=True)
    ]
    if not all(sides):
        raise _uncomparable(f"a front of tier `{first.tier.name}` is empty")
    if len(shared) < 2 or any(next(iter(known)) != shared[0] for known in wanted):
        texts = [", ".join(known) for known in wanted]
        raise _uncomparable(f"objectives of tier `{first.tier.name}` are {texts[0]}, and {texts[1]}")
    union = [*sides[0], *sides[1]]
    reference = reference_point(union, objectives)
    joint = front(union, objectives)
    rows = [{tuple(row.values()) for row in side} for side in sides]
    best = {tuple(union[index].values()) for index in joint}
    return FrontComparison(
        objectives=tuple(shared),
        networks=(len(sides[0]), len(sides[1])),
        hypervolume=(hypervolume(sides[0], objectives, reference), hypervolume(sides[1], objectives, reference)),
        dominated=(_dominated(sides[0], sides[1], objectives), _dominated(sides[1], sides[0], objectives)),
        only_first=len(best - rows[1]),
        only_second=len(best - rows[0]),
        cost=shared[1],
        best_within=tuple(_best_within(sides, objectives)),
        notes=tuple(notes),
    )


def _by_quantity(objectives: Sequence[Objective]) -> dict[str, Objective]:
    """Return objectives by the quantities of their metrics, whatever set-up or source these name."""
    from hwnas.quantities import Metric

    return {Metric.parse(objective.metric).quantity: objective for objective in objectives}


def _uncomparable(fact: str) -> ConfigError:
    return ConfigError(
        fact,
        where="hwnas compare",
        allowed="Two fronts share their quality and one more objective, and have a network each",
        do="Compare runs that were searched for the same things",
    )


def _dominated(rows: Sequence[Scores], others: Sequence[Scores], objectives: Sequence[Objective]) -> float:
    """Return the share of rows that some other row beats in one objective and equals at least in all."""
    from hwnas.pareto import costs_of

    own, theirs = costs_of(rows, objectives)[:, None], costs_of(others, objectives)[None]
    at_least, better = (theirs <= own).all(axis=2), (theirs < own).any(axis=2)
    return float(np.logical_and(at_least, better).any(axis=1).mean())


def _best_within(sides: Sequence[Sequence[Scores]], objectives: Sequence[Objective]) -> list[BestWithin]:
    quality, cost = objectives[:2]
    values = sorted({cost.cost(row[cost.metric]) for side in sides for row in side})
    limits = dict.fromkeys(
        float(value) for value in np.quantile(values, np.linspace(0, 1, SHOWN_LIMITS), method="lower")
    )
    rows = []
    for limit in limits:
        inside = [[row for row in side if cost.cost(row[cost.metric]) <= limit] for side in sides]
        best = [min((row[quality.metric] for row in side), key=quality.cost, default=None) for side in inside]
        rows.append(BestWithin(cost.cost(limit), *best))
    return rows
