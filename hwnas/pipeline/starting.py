"""What a search tries first: architectures of earlier runs, of files, or as the user writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, SpaceError
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.pipeline.workspace import Run
from hwnas.search.fronts import read_front
from hwnas.search.store import ScoreStore
from hwnas.space import Architecture


def started_with(run: Run) -> tuple[Architecture, ...]:
    """The architectures that `search.start` names, each once.

    Raises:
        ConfigError: an entry names nothing.
        SpaceError: an architecture does not fit the space; the entry is named.
    """
    found: dict[str, Architecture] = {}
    for entry in run.experiment.search.start:
        for architecture in _named(run, entry):
            lower(run.space, architecture)
            found[architecture.key] = architecture
    return tuple(found.values())


def adopt(run: Run, store: ScoreStore, producer: str) -> int:
    """Take over the accuracies that earlier runs have of the same producer; how many were new here."""
    taken = 0
    for entry in run.experiment.search.start:
        path = run.found(entry) / "scores.jsonl"
        if not path.is_file():
            continue
        for score in ScoreStore.open(path).scores:
            known = store.get(score.architecture, score.metric, score.producer) is not None
            if known or score.value is None or (score.metric, score.producer) != (run.accuracy, producer):
                continue
            store.record(score.architecture, score.metric, score.value, producer=producer, elapsed_s=score.elapsed_s)
            taken += 1
    return taken


def _named(run: Run, entry: str) -> Iterator[Architecture]:
    path, where = run.found(entry), f"search.start: {entry}"
    if path.is_dir():
        fronts = sorted((path / "fronts").glob("*.json"))
        if not fronts:
            raise ConfigError(
                "the folder holds no fronts", where=where, allowed="A run that was searched has fronts/<tier>.json",
                do="Search that run first, or leave it out",
            )  # fmt: skip
        yield from (point.architecture for front in fronts for point in read_front(front))
    elif path.is_file():
        raw = _read(path, where)
        yield from (_architecture(run, one, where) for one in (raw if isinstance(raw, list) else [raw]))
    else:
        try:
            yield read_architecture(run.space, entry, where=where)
        except SpaceError as error:
            raise ConfigError(
                f"there is no run and no file of that name, and as an architecture: {error.met}", where=where,
                allowed="A run's folder, a JSON file of architectures, or a string in the space's notation",
                do="Correct it",
            ) from error  # fmt: skip


def _architecture(run: Run, raw: Any, where: str) -> Architecture:
    raw = raw.get("architecture", raw) if isinstance(raw, dict) else raw
    own = isinstance(raw, dict) and "picks" in raw
    return Architecture.from_dict(raw, where=where) if own else read_architecture(run.space, raw, where=where)


def _read(path: Path, where: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the file is no JSON ({error})", where=where, allowed="It holds an architecture, or a list of them",
            do="Correct the file",
        ) from error  # fmt: skip
