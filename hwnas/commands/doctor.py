"""Checks that what a run keeps agrees with itself: tables, kept files, studies, scores, fronts, bundles. Nothing
is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.commands.plugins import examine_plugins
from hwnas.errors import HwnasError, RunError
from hwnas.io.jsonl import cut_bytes
from hwnas.measure.table import read_table
from hwnas.problem.cost_models import another_setup
from hwnas.problem.fronts.conditions import OF_RUN, OF_TIER, Conditions
from hwnas.problem.fronts.loading import FrontSource, conditions_known, front_file
from hwnas.problem.live import live_path
from hwnas.problem.studies import study_storage
from hwnas.search.consistency import Issue, StoredStudy, check_front, check_store, check_study, stored_studies
from hwnas.search.score_store import ScoreStore
from hwnas.words import brief, counted
from hwnas.workspace.results.bundles import bundle_ailments
from hwnas.workspace.results.file_checks import file_issues
from hwnas.workspace.results.halving_results import halving_path
from hwnas.workspace.workspace import Workspace, open_run


@brief
@dataclass(frozen=True)
class DoctorReport:
    """Items that were examined, and the issues among them."""

    folder: Path | None
    """None where members from outside were examined."""
    examined: tuple[str, ...]
    """Descriptions of the items that were present and examined."""
    issues: tuple[Issue, ...]

    @property
    def sound(self) -> bool:
        """True if there is no error; notes are settled by the next command."""
        return not any(ailment.severity == "error" for ailment in self.issues)

    def as_dict(self) -> dict[str, Any]:
        """Return the report ready for JSON."""
        issues = [
            {"severity": one.severity, "met": one.problem, "where": one.where, "allowed": one.allowed, "do": one.do}
            for one in self.issues
        ]
        return {"folder": self.folder, "looked": self.examined, "found": issues, "sound": self.sound}


def doctor(reference: str | Path | None = None, *, runs: Path = Path("runs")) -> DoctorReport:
    """Examine a run: study against score store against fronts, tables, checkpoints, bundles. It repairs nothing.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder. If left out, the members that
            installed distributions add to families are examined.
        runs: folder of run folders.

    Returns:
        Items that were examined, and the issues among them.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        RunError: there is no such run folder yet.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.doctor("mini.yaml").sound
        True
    """
    looked: list[str] = []
    if reference is None:
        issues = tuple(examine_plugins(looked))
        return DoctorReport(None, tuple(looked), issues)
    run = open_run(reference, runs=runs, before=_check_folder)
    issues = (
        *_files(run, looked),
        *_setups(run),
        *_searches(run, looked),
        *_halving(run),
        *bundle_ailments(run, looked),
    )
    return DoctorReport(run.folder, tuple(looked), issues)


def _check_folder(run: Workspace) -> None:
    if not run.folder.is_dir():
        raise RunError(
            "there is nothing to examine",
            where=str(run.folder),
            allowed="A run's folder is made by the first command on its experiment",
            do=f"Run `{run.command('run')}` first",
        )


def _files(run: Workspace, looked: list[str]) -> Iterator[Issue]:
    yield from _named(run)
    tables = sorted({*(run.folder / "latency").glob("*.jsonl"), *_chosen(run)})
    for path in tables:
        try:
            table = read_table(path)
            looked.append(f"{path}: {counted(len(table.rows), 'row')}, {counted(len(table.checks), 'whole network')}")
        except HwnasError as error:
            yield Issue.of(error)
    yield from file_issues(run, looked)


def _named(run: Workspace) -> Iterator[Issue]:
    """Yield an issue for each table that a search needs and that is missing or cannot be used."""
    for name, setup in run.experiment.setups.items():
        try:
            if setup.latencies is not None:
                run.published.latencies(name)
            elif run.objectives.needs_table(name) and not run.paths.table(name).is_file() and _begun(run, name):
                yield Issue(
                    "error",
                    f"the latency table of set-up `{name}` is gone",
                    str(run.paths.table(name)),
                    "A study rests on the table that its latencies were predicted from",
                    f"Restore it; one that `hwnas bench {run.cli_ref}` makes anew begins new studies",
                )
        except HwnasError as error:
            yield Issue.of(error)


def _setups(run: Workspace) -> Iterator[Issue]:
    """Yield an issue for each table, also of fronts, that was measured under another set-up than the experiment's."""
    for name, setup in run.experiment.setups.items():
        if setup.latencies is not None:
            continue
        paths = [run.paths.table(name)] if run.objectives.needs_table(name) else []
        for path in (*paths, run.paths.front_table(name), live_path(run, name)):
            if (error := another_setup(run, name, path)) is not None:
                yield Issue.of(error)


def _halving(run: Workspace) -> Iterator[Issue]:
    for name in run.experiment.tiers:
        if halving_path(run, name).exists():
            yield from _changed(run, name, "halving")[1]


def _changed(run: Workspace, name: str, by: FrontSource) -> tuple[Conditions | None, list[Issue]]:
    """Return the conditions of a front, and issues where they differ from those of the experiment."""
    path = front_file(run, name, by)
    if not path.exists():
        return None, []
    try:
        known, now = conditions_known(run, name, by)
    except HwnasError as error:
        return None, [Issue.of(error)]
    if known is None:
        return None, []
    where, verb = str(path), "search" if by == "search" else "halving"
    allowed = "A front is read under the conditions that it was found under"
    if changed := known.unlike(now, OF_RUN):
        do = f"Restore the experiment; or run `{run.command(verb)}`, under a new `name` after another training"
        return known, [Issue("error", f"other accuracies are asked for ({'; '.join(changed)})", where, allowed, do)]
    if changed := known.unlike(now, OF_TIER):
        fact = f"it was found under other conditions ({'; '.join(changed)})"
        do = f"Run `{run.command(verb)}`; until then it is solved again from stored accuracies where it is read"
        return known, [Issue("note", fact, where, allowed, do)]
    return known, []


def _begun(run: Workspace, setup: str) -> bool:
    """Return whether a tier that predicts from the set-up's table was searched."""
    experiment = run.experiment
    uses = [name for name in experiment.tiers if setup in experiment.setups_of(name).values()]
    tiers = [name for name in uses if not run.objectives.is_live(name)]
    return any(run.paths.study(name).exists() or run.paths.front(name).exists() for name in tiers)


def _chosen(run: Workspace) -> list[Path]:
    """Return the tables that the experiment names, as far as they exist."""
    paths = [run.paths.table(name) for name, setup in run.experiment.setups.items() if setup.table is not None]
    return [path for path in paths if path.is_file()]


def _searches(run: Workspace, looked: list[str]) -> Iterator[Issue]:
    scores = run.paths.scores
    store: ScoreStore | None = None
    try:
        yield from _cut(scores)
        store = ScoreStore.open(scores)
        looked.append(f"{scores}: {counted(len(store), 'score')}")
    except HwnasError as error:
        yield Issue.of(error)
    for name in run.experiment.tiers:
        yield from _tier(run, name, store, looked)


def _tier(run: Workspace, name: str, store: ScoreStore | None, looked: list[str]) -> Iterator[Issue]:
    tier, storage = run.objectives.tier(name), study_storage(run, name)
    known, changed = _changed(run, name, "search")
    yield from changed
    front_tier = tier if known is None else known.tier(name)
    if isinstance(storage, Path) and not storage.exists():
        if run.paths.front(name).exists():
            yield from check_front(run.paths.front(name), (), front_tier)
        return
    cut = list[Issue]()
    try:
        if isinstance(storage, Path):
            cut = list(_cut(storage))
            yield from cut
        studies = stored_studies(storage, f"{run.experiment.name}-{name}-")
    except HwnasError as error:
        yield Issue.of(error)
        return
    if not studies and isinstance(storage, Path) and storage.stat().st_size:
        yield Issue(
            "error",
            f"no study of tier `{name}` begins here",
            str(storage),
            "Its first line makes the study",
            "Restore the file, or remove it and search again",
        )
    elif not studies:
        looked.append(f"tier {name}: nothing was searched yet")
    sound: list[StoredStudy] = []
    for study in studies:
        ailing = list(check_study(study, tier))
        yield from ailing
        if not any("damaged" in ailment.problem for ailment in ailing):
            looked.append(f"{study.where}, study {study.name}: {counted(len(study.evaluated), 'trial')} told")
            sound.append(study)
            if store is not None:
                yield from check_store(store, study, run.accuracy, whole=isinstance(storage, Path))
    if run.paths.front(name).exists():
        yield from check_front(run.paths.front(name), sound, front_tier, cut=bool(cut))
        looked.append(f"{run.paths.front(name)}")
    elif any(study.evaluated for study in sound):
        yield Issue(
            "note",
            f"tier `{name}` has trials and no front yet",
            str(run.paths.front(name)),
            "A front is written when the search of its tier has ended",
            "Search again: it continues, and writes it",
        )


def _cut(path: Path) -> Iterator[Issue]:
    if cut := cut_bytes(path):
        yield Issue(
            "note",
            f"its last line was cut off after {cut} bytes",
            str(path),
            "A line is written whole, unless a kill cuts it",
            "Search again: what it held is done again, and the rest of the line is dropped",
        )
