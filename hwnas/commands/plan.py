"""The plan of a run: its stages, what each will take and leave. Nothing is written."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hwnas.commands.bench import front_seconds, plan_tables
from hwnas.errors import HwnasError
from hwnas.export import format_named
from hwnas.io.checkpoint_files import checkpoint_path, checkpoints, epoch_of
from hwnas.problem.accuracy import accuracy_of
from hwnas.problem.pairs.stored import pair_path
from hwnas.problem.preflight import preflight_check
from hwnas.problem.studies import trials_done
from hwnas.selection import file_stem
from hwnas.words import counted
from hwnas.workspace.progress import Reporter
from hwnas.workspace.training.supernets import check_weights, new_supernet, recipe_of, untrained, worker_spec
from hwnas.workspace.workspace import Workspace, open_run

TRIED_STEPS = 4
"""Steps of training that are tried for an estimate, after one that warms up."""
PROPOSAL_S = 0.1
"""Seconds in which a sampler proposes a network and a trial is kept."""
FILE_S = 3.0
"""Seconds in which a file is written, run and compared."""
TRAINLESS_SOURCES = ("inherited", "published", "scored", "predicted")
"""Sources of accuracy, by name or origin, of which a score is tried: the others train each network, or are a user's."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a run that is to come."""

    name: str
    work: str
    seconds: float | None
    """Estimate on this machine as it is now; None where it cannot be told without doing it."""
    files: tuple[Path, ...]


def plan(
    reference: str | Path, *, runs: Path = Path("runs"), trials: int | None = None, reporter: Reporter | None = None
) -> list[PlannedStage]:
    """Return the stages of a run that are to come, with estimates from a few steps and scores that are thrown away.

    Args:
        reference: an experiment's name or file, or the folder of a run.
        runs: folder that holds the folders of runs.
        trials: trials of each tier, in place of the experiment's.
        reporter: is shown progress where checking the space takes seconds.

    Returns:
        The stages in order, each with its work in words, seconds and the files that it writes.

    Raises:
        HwnasError: as the run would, before its first stage.

    Example:
        >>> from hwnas import pipeline
        >>> [stage.name for stage in pipeline.plan("mini.yaml")][-1]
        'report'
    """
    run = open_run(reference, runs=runs, reporter=reporter, before=check_weights)
    preflight_check(run, storage=False)
    with tempfile.TemporaryDirectory(prefix="hwnas-") as scratch:
        aside = replace(run, folder=Path(scratch))
        stages = [
            *_tables(run),
            *_training(run, aside),
            *_searches(run, aside, trials),
            *_pairs(run, aside, trials),
            *_fronts(run),
        ]
    exported = [] if run.experiment.data is None else [_export(run, tier) for tier in run.experiment.tiers]
    return [*stages, *exported, PlannedStage("report", "one page", 1.0, (run.folder / "report.html",))]


def _tables(run: Workspace) -> Iterator[PlannedStage]:
    for name, table in plan_tables(run).items():
        missing = f"{counted(table.missing, 'row')}, {counted(table.missing_checks, 'network')} to time"
        yield PlannedStage(f"table {name}", missing, table.seconds, (table.table,))


def _training(run: Workspace, aside: Workspace) -> Iterator[PlannedStage]:
    if not run.source.supernet:
        return
    recipe, done = recipe_of(run), checkpoints(run.paths.train)
    epochs = recipe.epochs if run.experiment.train.format is None else 0
    left = epochs - (epoch_of(done[-1]) if done else 0)
    last = (checkpoint_path(run.paths.train, epochs),)
    if run.experiment.train.weights is not None and not done:
        yield PlannedStage("training", "none: weights are given", 0.0, last)
    elif left <= 0:
        yield PlannedStage("training", "none: it is done", 0.0, last)
    else:
        yield PlannedStage("training", counted(left, "epoch"), left * _epoch_seconds(aside), last)


class _Enough(Exception):
    """The end of a training that is tried."""


def _epoch_seconds(run: Workspace) -> float:
    """Return the seconds of an epoch, from its first steps, in a folder that is thrown away."""
    from hwnas.supernet import Step
    from hwnas.supernet.distributed import Callbacks

    times, steps = list[float](), 1

    def on_step(step: Step) -> None:
        nonlocal steps
        times.append(time.perf_counter())
        steps = step.steps
        if len(times) > min(TRIED_STEPS, steps - 1):
            raise _Enough

    spec = worker_spec(run, new_supernet(run), replace(recipe_of(run), processes=1))
    start = time.perf_counter()
    with suppress(_Enough):
        spec.train(Callbacks(on_step))
    first, *others = times
    return steps * ((others[-1] - first) / len(others) if others else first - start)


def _searches(run: Workspace, aside: Workspace, trials: int | None) -> Iterator[PlannedStage]:
    wanted, score_s = trials or run.experiment.search.trials, _score_seconds(aside)
    for tier in run.experiment.tiers:
        left = max(0, wanted - trials_done(run, tier))
        known = score_s is not None and not run.objectives.is_live(tier)
        seconds = 0.0 if not left else left * score_s if known and score_s is not None else None
        front = run.paths.front(tier)
        files = (run.paths.study(tier), front, front.with_suffix(".csv"))
        work = f"{counted(left, 'trial')}, sampler {run.experiment.sampler_of(tier)}"
        yield PlannedStage(
            f"search {tier}", work, seconds, files if run.experiment.search.storage is None else files[1:]
        )


def _pairs(run: Workspace, aside: Workspace, trials: int | None) -> Iterator[PlannedStage]:
    """Yield the searches of pairs. Their seconds are at most these: scores of the tiers' networks are known by then."""
    wanted = trials or run.experiment.search.trials
    score_s = _score_seconds(aside) if run.experiment.pairs else None
    for name, pair in run.experiment.pairs.items():
        left, plans = max(0, wanted - trials_done(run, name)), pair_path(run, name)
        seconds = 0.0 if not left else None if score_s is None else left * score_s
        files = (run.paths.study(name), plans, plans.with_suffix(".html"))
        work = (
            f"{counted(left, 'trial')} at most, tiers {pair.edge} and {pair.cloud} over {pair.link}, sampler "
            f"{run.experiment.sampler_of(name)}"
        )
        if pair.cascades:
            work += f", cascades of up to {counted(pair.cascades, 'network')}"
        storage = run.experiment.search.storage
        yield PlannedStage(f"search {name}", work, seconds, files if storage is None else files[1:])


def _score_seconds(run: Workspace) -> float | None:
    """Return the seconds of a score; None if it trains a network, or is a user's function."""
    if run.experiment.accuracy.source not in TRAINLESS_SOURCES and run.source.origin not in TRAINLESS_SOURCES:
        return None
    accuracy, seconds = accuracy_of(run, untrained(run) if run.source.supernet else None), 0.0
    for architecture in (run.space.smallest(), run.space.largest()):  # the first one warms up
        start = time.perf_counter()
        with suppress(HwnasError):  # the search will say so
            accuracy(architecture)
        seconds = time.perf_counter() - start
    return seconds + PROPOSAL_S


def _fronts(run: Workspace) -> Iterator[PlannedStage]:
    experiment = run.experiment
    for name in dict.fromkeys(setup for tier in experiment.tiers for setup in experiment.setups_of(tier).values()):
        if run.objectives.needs_table(name):
            yield PlannedStage(
                f"timing {name}", "the fronts' networks", front_seconds(run, name), (run.paths.front_table(name),)
            )


def _export(run: Workspace, tier: str) -> PlannedStage:
    config, folder = run.experiment.export, run.folder / "bundle" / tier
    names = [
        folder / f"{file_stem(rule, 1)}{format_named(one).suffix}" for rule in config.picks for one in config.formats
    ]
    work = f"{counted(len(names), 'file')} at most, compared and timed"
    return PlannedStage(f"export {tier}", work, FILE_S * len(names), (folder / "manifest.json", *names))
