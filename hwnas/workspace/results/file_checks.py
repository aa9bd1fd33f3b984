"""Files of a run folder that are verified by themselves: checkpoints, statistics, weights, rungs, and leftovers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.io.atomic import abandoned_parts
from hwnas.io.checkpoint_files import CHECKPOINTS
from hwnas.search.consistency import Issue
from hwnas.workspace.elapsed import read_elapsed
from hwnas.workspace.results.halving_results import halving_path, load_halving_result
from hwnas.workspace.workspace import Workspace


def file_issues(run: Workspace, looked: list[str]) -> Iterator[Issue]:
    """Yield issues of damaged ones; descriptions of what was examined are added to `looked`. Nothing is written."""
    yield from _torch_files(run, looked)
    for tier in run.experiment.tiers:
        if halving_path(run, tier).exists():
            yield from _each(
                [halving_path(run, tier)],
                lambda path, tier=tier: load_halving_result(run, tier),  # type: ignore[misc]
                "rungs",
                looked,
            )
    if run.paths.elapsed.exists():
        yield from _each([run.paths.elapsed], read_elapsed, "seconds by stage", looked)
    for part in abandoned_parts(run.folder, unheld=True):
        with suppress(FileNotFoundError):  # another command may remove it now
            yield Issue(
                "note",
                f"a process that is dead began to write it and left {part.stat().st_size:,} bytes",
                str(part),
                "A file is written under such a name and renamed when it is whole",
                "Run any command that writes on this run: it removes such files",
            )


def _torch_files(run: Workspace, looked: list[str]) -> Iterator[Issue]:
    folder = run.folder
    trainings = (run.paths.train, folder / "training", folder / "fine_tuned", folder / "quantization_aware")
    checkpoints = [path for one in trainings for name in (CHECKPOINTS, "within.pt") for path in sorted(one.rglob(name))]
    weights, statistics = sorted((folder / "training").rglob("*.safetensors")), sorted(folder.glob("statistics/*/*.pt"))
    failures = run.paths.train / "failed.jsonl"
    if not (checkpoints or weights or statistics or failures.exists()):
        return  # and PyTorch need not be imported
    from hwnas.supernet.batchnorm_cache import check_statistics
    from hwnas.supernet.training.checkpoint import load
    from hwnas.supernet.training.skipped import read_failures
    from hwnas.supernet.weights_file import read_weights

    for path in checkpoints:
        try:
            looked.append(f"{path}: epoch {load(path)['epoch']}")
        except HwnasError as error:
            yield Issue.of(error)
    yield from _each(weights, read_weights, "files of trained weights", looked)
    for ailment in _each(statistics, check_statistics, "files of normalisation statistics", looked):
        yield replace(ailment, severity="note")  # a cache: what is damaged is computed again
    if failures.exists():
        yield from _each([failures], read_failures, "networks that cannot be trained", looked)


def _each(paths: Iterable[Path], read: Callable[[Path], object], label: str, looked: list[str]) -> Iterator[Issue]:
    """Read each of the files and yield an issue for each that cannot be read."""
    paths = tuple(paths)
    sound = 0
    for path in paths:
        try:
            read(path)
            sound += 1
        except HwnasError as error:
            yield Issue.of(error)
    if sound:
        looked.append(f"{paths[0]}: {label}" if len(paths) == 1 else f"{sound} {label}")
