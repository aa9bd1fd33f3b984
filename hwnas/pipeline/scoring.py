"""Training-free scores of a space's networks, or of an experiment's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hwnas.errors import ConfigError, SpaceError
from hwnas.network import lower
from hwnas.pipeline.costs import architecture_of
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.spaces import open_space, split_reference
from hwnas.pipeline.workspace import open_run
from hwnas.report.scores import ProxyScore, Scored, ScoredNetwork, ranked
from hwnas.search.fronts import write_whole
from hwnas.search.halving import draw
from hwnas.search.lock import RunLock
from hwnas.search.store import Score, ScoreStore
from hwnas.shipped import find_file
from hwnas.space import AnySpace, Architecture
from hwnas.yaml_file import read_yaml

if TYPE_CHECKING:
    from hwnas.data import Dataset
    from hwnas.proxies.training_free.scorer import TrainingFree

NOISE = "noise"
"""In place of a data set: images are drawn, and labels."""


@dataclass(frozen=True)
class _Target:
    """What is scored, on what data, and where scores are kept."""

    space: AnySpace
    dataset: Dataset | None
    folder: Path
    seed: int
    device: str


def score(
    target: str | Path,
    proxies: Sequence[str] = ("synflow",),
    *,
    sample: int = 20,
    architectures: Path | None = None,
    data: str | None = None,
    seed: int | None = None,
    batch: int | None = None,
    resolution: int | None = None,
    processes: int = 1,
    csv: Path | None = None,
    runs: Path = Path("runs"),
    narrator: Narrator | None = None,
) -> Scored:
    """Score networks without training; ranks are by the first proxy. What was scored before is not scored again.

    Args:
        target: a space, whose scores go to `runs/<space>-scores`, or an experiment, whose scores go to its run.
        proxies: names in `TRAINING_FREE`.
        sample: so many random networks; fewer where the space has no more.
        architectures: a file with those to score instead: a JSON list, such as a front, or one a line.
        data: a data set's name, `file.py:function`, a YAML mapping as in an experiment, or `noise`. If left out, the
            experiment's data; of a space, noise.
        seed: of weights, noise and the sample; the experiment's, or 0, if left out.
        batch, resolution: of the images, instead of the proxies' own.
        processes: how many score at once; the scores are the same.
        csv: a file for all rows.

    Raises:
        ConfigError: an unknown proxy, one that does not hold for the space, or data that do not fit.
    """
    from hwnas.proxies.training_free.population import score_population

    narrator = narrator or Silent()
    with _opened(target, data, seed, runs) as given:
        scorers = _scorers(given, proxies, batch, resolution)
        if architectures is None:
            wanted = draw(given.space, sample, given.seed, lambda architecture: True)
        else:
            wanted = read_architectures(given.space, architectures)
        store = ScoreStore.open(given.folder / "scores.jsonl")
        for notice in store.notices:
            narrator.say(notice)
        with narrator.bar(f"scoring {given.space.name}") as bar:
            columns = score_population(wanted, scorers, store, processes=processes, progress=bar.update)
    scored = _scored(given.space, scorers, wanted, columns)
    if csv is not None:
        write_whole(csv, scored.as_csv())
    return scored


def _scorers(given: _Target, proxies: Sequence[str], batch: int | None, resolution: int | None) -> list[TrainingFree]:
    from hwnas.proxies.training_free.scorer import check_holds, training_free_scorer

    lowered, ends = partial(lower, given.space), (given.space.smallest(), given.space.largest())
    scorers = [
        training_free_scorer(
            name, lowered, given.dataset, seed=given.seed, batch=batch, resolution=resolution, device=given.device
        )
        for name in dict.fromkeys(proxies)
    ]
    for scorer in scorers:
        check_holds(scorer, ends)
    return scorers


def _scored(
    space: AnySpace, scorers: Sequence[TrainingFree], wanted: Sequence[Architecture], columns: list[list[Score]]
) -> Scored:
    names = [scorer.name for scorer in scorers]
    ranks = ranked([score.value for score in columns[0]])
    networks = [
        ScoredNetwork(
            architecture.key,
            architecture.as_dict(),
            rank,
            {n: ProxyScore(s.value, s.failed, 1000 * s.elapsed_s) for n, s in zip(names, scores, strict=True)},
        )
        for architecture, rank, scores in zip(wanted, ranks, zip(*columns, strict=True), strict=True)
    ]
    networks.sort(key=lambda network: (network.rank is None, network.rank or 0))  # stable: equal ones keep their order
    return Scored(space.name, {scorer.name: scorer.producer for scorer in scorers}, tuple(networks))


@contextmanager
def _opened(target: str | Path, data: str | None, seed: int | None, runs: Path) -> Iterator[_Target]:
    """The target, its folder locked."""
    if _is_experiment(target):
        from hwnas.pipeline.training import torch_device

        run = open_run(target, runs=runs)
        seed = run.experiment.seed if seed is None else seed
        with run.opened():
            dataset = run.dataset.without_test() if data is None else _data(data, seed)
            yield _Target(run.space, dataset, run.folder, seed, torch_device(run.experiment.device))
        return
    space, _ = open_space(target)
    folder, seed = runs / f"{space.name}-scores", seed or 0
    dataset = None if data is None else _data(data, seed)
    with RunLock(folder):
        yield _Target(space, dataset, folder, seed, "cpu")


def _is_experiment(target: str | Path) -> bool:
    """Whether a reference stands for an experiment or a run; the file of either says which it is."""
    if (Path(target) / "experiment.yaml").is_file():
        return True
    if split_reference(target)[1] is not None:
        return False
    try:
        path = find_file(target, "search_spaces")
    except ConfigError as error:
        try:
            path = find_file(target, "experiments")
        except ConfigError:
            raise error from None
    return path.suffix != ".py" and "space" in read_yaml(path)


def _data(text: str, seed: int) -> Dataset | None:
    """The data set of a name, or of a mapping in YAML; None for noise."""
    from hwnas.data import load_data

    if text == NOISE:
        return None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"`{text}` is no data set",
            where="--data",
            allowed="A name, `file.py:function`, `noise`, or a mapping such as `{name: cifar10, path: images.npz}`",
            do="Correct it",
        ) from error
    return load_data(found if isinstance(found, dict) else text, seed=seed).without_test()


def read_architectures(space: AnySpace, path: Path) -> list[Architecture]:
    """A JSON list, or one a line; each as `hwnas cost --architecture` takes it from a file, or a string."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(
            f"the file cannot be read ({error})",
            where=str(path),
            allowed="It holds a JSON list of architectures, such as a front, or one architecture a line",
            do="Correct the path",
        ) from error
    found = [architecture_of(space, raw, where=where) for raw, where in _entries(text, path)]
    if not found:
        raise SpaceError(
            "the file holds no architecture",
            where=str(path),
            allowed="A JSON list of architectures, such as a front, or one architecture a line",
            do="Name another file, or leave it out and draw with --sample",
        )
    return list(dict.fromkeys(found))


def _entries(text: str, path: Path) -> Iterator[tuple[Any, str]]:
    whole = _json(text)
    if isinstance(whole, list):
        yield from ((raw, f"{path}: entry {number}") for number, raw in enumerate(whole, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            raw = _json(line)
            yield (raw if isinstance(raw, dict | list) else line.strip()), f"{path}:{number}"


def _json(text: str) -> Any:
    """What a text says as JSON; None where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None
