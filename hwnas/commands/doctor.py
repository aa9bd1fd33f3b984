"""Whether what a run keeps agrees with itself: tables, kept files, studies, scores, fronts, bundles. Nothing
is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hwnas.errors import HwnasError, RunError
from hwnas.io.jsonl import cut_bytes
from hwnas.measure.table import read_table
from hwnas.problem.conditions import OF_RUN, OF_TIER, Conditions
from hwnas.problem.cost_models import another_setup
from hwnas.problem.fronts import Finder, conditions_known, front_file
from hwnas.problem.live import live_path
from hwnas.search.consistency import Ailment, KeptStudy, front_ailments, kept_studies, store_ailments, study_ailments
from hwnas.search.score_store import ScoreStore
from hwnas.words import counted
from hwnas.workspace.bundles import bundle_ailments
from hwnas.workspace.file_checks import kept_file_ailments
from hwnas.workspace.halving_results import climb_path
from hwnas.workspace.workspace import Run, open_run


@dataclass(frozen=True)
class Examined:
    """What was looked at, and what is not as it should be."""

    folder: Path
    looked: tuple[str, ...]
    """What was found and examined, in words."""
    found: tuple[Ailment, ...]

    @property
    def sound(self) -> bool:
        """Whether there is no error; notes are settled by the next command."""
        return not any(ailment.severity == "error" for ailment in self.found)


def doctor(reference: str | Path, *, runs: Path = Path("runs")) -> Examined:
    """Examine a run: study against score store against fronts, tables, checkpoints, bundles. It repairs nothing.

    Raises:
        RunError: there is no such run folder yet.
    """
    run = open_run(reference, runs=runs)
    if not run.folder.is_dir():
        raise RunError(
            "there is nothing to examine",
            where=str(run.folder),
            allowed="A run's folder is made by the first command on its experiment",
            do=f"Run `{run.command('run')}` first",
        )
    looked: list[str] = []
    found = (
        *_files(run, looked),
        *_setups(run),
        *_searches(run, looked),
        *_ladders(run),
        *bundle_ailments(run, looked),
    )
    return Examined(run.folder, tuple(looked), found)


def _files(run: Run, looked: list[str]) -> Iterator[Ailment]:
    yield from _named(run)
    tables = sorted({*(run.folder / "latency").glob("*.jsonl"), *_chosen(run)})
    for path in tables:
        try:
            table = read_table(path)
            looked.append(f"{path}: {counted(len(table.rows), 'row')}, {counted(len(table.checks), 'whole network')}")
        except HwnasError as error:
            yield Ailment.of(error)
    yield from kept_file_ailments(run, looked)


def _named(run: Run) -> Iterator[Ailment]:
    """Tables that a search looks into and that are not there, or cannot be used."""
    for name, setup in run.experiment.setups.items():
        try:
            if setup.latencies is not None:
                run.published(name)
            elif run.predicts(name) and not run.table_path(name).is_file() and _begun(run, name):
                yield Ailment(
                    "error", f"the latency table of set-up `{name}` is gone", str(run.table_path(name)),
                    "A study rests on the table that its latencies were predicted from",
                    f"Restore it; one that `hwnas bench {run.called}` makes anew begins new studies",
                )  # fmt: skip
        except HwnasError as error:
            yield Ailment.of(error)


def _setups(run: Run) -> Iterator[Ailment]:
    """Tables, also those of fronts, that were measured under another set-up than the experiment's."""
    for name, setup in run.experiment.setups.items():
        if setup.latencies is not None:
            continue
        paths = [run.table_path(name)] if run.predicts(name) else []
        for path in (*paths, run.front_table_path(name), live_path(run, name)):
            if (error := another_setup(run, name, path)) is not None:
                yield Ailment.of(error)


def _ladders(run: Run) -> Iterator[Ailment]:
    for name in run.experiment.tiers:
        if climb_path(run, name).exists():
            yield from _changed(run, name, "ladder")[1]


def _changed(run: Run, name: str, by: Finder) -> tuple[Conditions | None, list[Ailment]]:
    """The conditions of a front, and findings where they are not those of the experiment."""
    path = front_file(run, name, by)
    if not path.exists():
        return None, []
    try:
        known, now = conditions_known(run, name, by)
    except HwnasError as error:
        return None, [Ailment.of(error)]
    if known is None:
        return None, []
    where, verb = str(path), "search" if by == "search" else "ladder"
    allowed = "A front is read under the conditions that it was found under"
    if changed := known.unlike(now, OF_RUN):
        do = f"Restore the experiment; or run `{run.command(verb)}`, under a new `name` after another training"
        return known, [Ailment("error", f"other accuracies are asked for ({'; '.join(changed)})", where, allowed, do)]
    if changed := known.unlike(now, OF_TIER):
        fact = f"it was found under other conditions ({'; '.join(changed)})"
        do = f"Run `{run.command(verb)}`; until then it is solved again from stored accuracies where it is read"
        return known, [Ailment("note", fact, where, allowed, do)]
    return known, []


def _begun(run: Run, setup: str) -> bool:
    """Whether a tier that predicts from the set-up's table was searched."""
    tiers = [name for name, tier in run.experiment.tiers.items() if tier.setup == setup and not run.is_live(name)]
    return any((run.folder / f"study-{name}.log").exists() or run.front_path(name).exists() for name in tiers)


def _chosen(run: Run) -> list[Path]:
    """Tables that the experiment names, as far as they are there."""
    paths = [run.table_path(name) for name, setup in run.experiment.setups.items() if setup.table is not None]
    return [path for path in paths if path.is_file()]


def _searches(run: Run, looked: list[str]) -> Iterator[Ailment]:
    scores = run.folder / "scores.jsonl"
    store: ScoreStore | None = None
    try:
        yield from _cut(scores)
        store = ScoreStore.open(scores)
        looked.append(f"{scores}: {counted(len(store), 'score')}")
    except HwnasError as error:
        yield Ailment.of(error)
    for name in run.experiment.tiers:
        yield from _tier(run, name, store, looked)


def _tier(run: Run, name: str, store: ScoreStore | None, looked: list[str]) -> Iterator[Ailment]:
    config, tier = run.experiment.search, run.tier(name)
    storage: Path | str = config.storage or run.folder / f"study-{name}.log"
    known, changed = _changed(run, name, "search")
    yield from changed
    front_tier = tier if known is None else known.tier(name)
    if isinstance(storage, Path) and not storage.exists():
        if run.front_path(name).exists():
            yield from front_ailments(run.front_path(name), (), front_tier)
        return
    cut = list[Ailment]()
    try:
        if isinstance(storage, Path):
            cut = list(_cut(storage))
            yield from cut
        studies = kept_studies(storage, f"{run.experiment.name}-{name}-")
    except HwnasError as error:
        yield Ailment.of(error)
        return
    if not studies and isinstance(storage, Path) and storage.stat().st_size:
        yield Ailment(
            "error", f"no study of tier `{name}` begins here", str(storage),
            "Its first line makes the study", "Restore the file, or remove it and search again",
        )  # fmt: skip
    elif not studies:
        looked.append(f"tier {name}: nothing was searched yet")
    sound: list[KeptStudy] = []
    for study in studies:
        ailing = list(study_ailments(study, tier))
        yield from ailing
        if not any("damaged" in ailment.met for ailment in ailing):
            looked.append(f"{study.where}, study {study.name}: {counted(len(study.told), 'trial')} told")
            sound.append(study)
            if store is not None:
                yield from store_ailments(store, study, run.accuracy, whole=config.storage is None)
    if run.front_path(name).exists():
        yield from front_ailments(run.front_path(name), sound, front_tier, cut=bool(cut))
        looked.append(f"{run.front_path(name)}")
    elif any(study.told for study in sound):
        yield Ailment(
            "note", f"tier `{name}` has trials and no front yet", str(run.front_path(name)),
            "A front is written when the search of its tier has ended", "Search again: it continues, and writes it",
        )  # fmt: skip


def _cut(path: Path) -> Iterator[Ailment]:
    if cut := cut_bytes(path):
        yield Ailment(
            "note", f"its last line was cut off after {cut} bytes", str(path),
            "A line is written whole, unless a kill cuts it",
            "Search again: what it held is done again, and the rest of the line is dropped",
        )  # fmt: skip
