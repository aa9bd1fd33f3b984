"""Two tables, two runs or two bundles, beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import ConfigError
from hwnas.export.manifest import MANIFEST
from hwnas.io.resources import find_file
from hwnas.report.comparisons.facts import BestWithin, FrontComparison, RunComparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwnas.latency.tables.comparison import TableComparison
    from hwnas.pareto import Objective, Scores
    from hwnas.problem.fronts.loading import LoadedFront
    from hwnas.report.comparisons.facts import BundleComparison

TABLE_SUFFIX = ".jsonl"
SHOWN_LIMITS = 5


def compare(
    first: str, second: str, *, runs: Path = Path("runs")
) -> TableComparison | RunComparison | BundleComparison:
    """Compare two latency tables, the fronts of two runs, or two bundles by their manifests.

    Args:
        first: a latency table or the name of a shipped one; or an experiment's file or a run's folder; or a bundle's
            folder, `runs/NAME/bundle/TIER`.
        second: the same kind of thing; it is told beside the first.
        runs: folder of run folders.

    Returns:
        Of tables, ratios of the second's times over the first's with a 95 % interval and a verdict; of runs, how their
        fronts lie in each tier that both have; of bundles, what the manifests say of files of one name.

    Raises:
        ConfigError: one does not exist, or they are not of one kind.
        RunError: a run has no front yet, or a manifest is damaged.
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
    if any(map(is_bundle, (first, second))):
        from hwnas.commands.compare_bundles import compare_bundles

        return compare_bundles(first, second)
    if tables != [None, None]:
        table, run = (first, second) if tables[0] is not None else (second, first)
        raise ConfigError(
            f"`{table}` is a latency table, and `{run}` is none",
            where="hwnas compare",
            allowed="Two latency tables are compared, two runs, or two bundles",
            do="Name two of a kind",
        )
    return _compare_runs(first, second, runs)


def write_comparison(
    compared: TableComparison | RunComparison | BundleComparison, names: tuple[str, str], path: Path
) -> Path:
    """Write a comparison as one self-contained page.

    Args:
        compared: as `compare` returns it.
        names: of A and B, as they were given to `compare`.
        path: the page, an `.html` file.

    Returns:
        The page's path.

    Raises:
        ConfigError: the file's name ends in something else.
        RunError: the file cannot be written.

    Example:
        >>> from hwnas import pipeline
        >>> from pathlib import Path
        >>> table = "epyc_onnxruntime_fp32_1t_ofa224"
        >>> pipeline.write_comparison(pipeline.compare(table, table), (table, table), Path("same.html")).name
        'same.html'
    """

    from hwnas import __version__
    from hwnas.io.atomic import write_file
    from hwnas.report import units
    from hwnas.report.comparisons.page import comparison_page

    if path.suffix != ".html":
        raise ConfigError(
            f"a comparison cannot be written as `{path.suffix or path.name}`",
            where=str(path),
            allowed="It is an .html page; --json prints the numbers",
            do=f"Write -o {path.stem or 'compared'}.html",
        )
    now = units.now()
    page = comparison_page(compared, names, hwnas_version=__version__, created_at=now)
    return write_file(path, page, what="page of the comparison", do="Write it elsewhere")


def is_bundle(reference: str) -> bool:
    """Return whether a reference is the folder of a bundle, which holds a manifest."""
    return (Path(reference) / MANIFEST).is_file()


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
    tiers, scores = {}, {}
    for name in shared:
        fronts = load_front(one, name), load_front(other, name)
        setups = [run.experiment.setups[run.experiment.tiers[name].setup] for run in (one, other)]
        notes = [] if setups[0] == setups[1] else ["the set-ups differ: their latencies are of two things"]
        if fronts[0].source.origin != fronts[1].source.origin:
            notes.append(f"accuracies are {fronts[0].source.origin} and {fronts[1].source.origin}")
        tiers[name] = compare_fronts(*fronts, notes)
        scores[name] = _scores(*fronts)[1]
    only = [tuple(name for name in own if name not in shared) for own in names]
    return RunComparison(tiers, only[0], only[1], one.units, scores)


def compare_fronts(first: LoadedFront, second: LoadedFront, notes: Sequence[str] = ()) -> FrontComparison:
    """Compare two fronts of one tier by the objectives that both have.

    Raises:
        ConfigError: they do not share their quality and one more objective.
    """
    from hwnas.pareto import front, hypervolume, reference_point

    objectives, sides = _scores(first, second)
    shared = [objective.metric for objective in objectives]
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


def _scores(
    first: LoadedFront, second: LoadedFront
) -> tuple[list[Objective], tuple[Sequence[Scores], Sequence[Scores]]]:
    """Return the objectives that two fronts share, and the scores of both by them."""
    from hwnas.pareto import Objective

    wanted = [_by_quantity(side.tier.objectives) for side in (first, second)]
    shared = [name for name in wanted[0] if name in wanted[1]]
    one, other = (
        [{name: point.expected[known[name].metric] for name in shared} for point in side.standing]
        for side, known in zip((first, second), wanted, strict=True)
    )
    if not (one and other):
        raise _uncomparable(f"a front of tier `{first.tier.name}` is empty")
    if len(shared) < 2 or any(next(iter(known)) != shared[0] for known in wanted):
        texts = [", ".join(known) for known in wanted]
        raise _uncomparable(f"objectives of tier `{first.tier.name}` are {texts[0]}, and {texts[1]}")
    return [Objective(name, wanted[0][name].goal) for name in shared], (one, other)


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
