"""Training-free scores of a space's networks, or of an experiment's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError, did_you_mean
from hwnas.network import lower
from hwnas.pipeline.architectures import check_readable, read_architectures
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.spaces import is_space, open_space
from hwnas.pipeline.workspace import open_run
from hwnas.report.scores import ProxyScore, Scored, ScoredNetwork, ranked
from hwnas.search.fronts import write_whole
from hwnas.search.halving import draw
from hwnas.search.lock import RunLock
from hwnas.search.store import Score, ScoreStore
from hwnas.space import AnySpace, Architecture
from hwnas.yaml_file import parse_yaml

if TYPE_CHECKING:
    from hwnas.data import Dataset
    from hwnas.proxies.training_free.ensembles import Ensemble
    from hwnas.proxies.training_free.scorer import TrainingFree

NOISE = "noise"
"""In place of a data set: images are drawn, and labels."""


@dataclass(frozen=True)
class Target:
    """What is scored, on what data, and where scores are kept."""

    space: AnySpace
    dataset: Dataset | None
    folder: Path
    seed: int
    device: str


@dataclass(frozen=True)
class Asked:
    """A column that is asked for: a proxy, or an ensemble with its members."""

    name: str
    ensemble: Ensemble | None
    scorers: tuple[TrainingFree, ...]

    @property
    def producer(self) -> str:
        """What made the column's scores."""
        producers = [scorer.producer for scorer in self.scorers]
        if self.ensemble is None:
            return producers[0]
        members = "; ".join(self.ensemble.parts(producers))
        return f"{self.name}: {'log ranks' if self.ensemble.log else 'ranks'} among these networks of {members}"

    def column(self, found: Sequence[Sequence[Score]]) -> list[ProxyScore]:
        """The column from each scorer's scores; an ensemble fails where a member does, and takes as long as all."""
        from hwnas.proxies.training_free.rank_sums import rank_sums

        values = [[score.value for score in scores] for scores in found]
        joined = values[0] if self.ensemble is None else rank_sums(self.ensemble, values)
        return [
            ProxyScore(
                value,
                next((score.failed for score in scores if score.failed is not None), None),
                1000 * sum(score.elapsed_s for score in scores),
            )
            for value, scores in zip(joined, zip(*found, strict=True), strict=True)
        ]


def score(
    target: str | Path,
    proxies: Sequence[str] = ("ensemble",),
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
        proxies: names in `TRAINING_FREE` or `ENSEMBLES`; the latter rank the networks that are scored together.
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
    for name in proxies:
        _check_name(name)
    if architectures is not None:
        check_readable(architectures)
    narrator = narrator or Silent()
    with _opened(target, data, seed, runs) as given:
        from hwnas.proxies.training_free.population import score_population

        asked = [asked_for(given, name, batch, resolution) for name in dict.fromkeys(proxies)]
        if architectures is None:
            wanted = draw(given.space, sample, given.seed, lambda architecture: True)
        else:
            wanted = read_architectures(given.space, architectures)
        store = ScoreStore.open(given.folder / "scores.jsonl")
        for notice in store.notices:
            narrator.say(notice)
        with narrator.bar(f"scoring {given.space.name}") as bar:
            scorers = [scorer for one in asked for scorer in one.scorers]
            found = iter(score_population(wanted, scorers, store, processes=processes, progress=bar.update))
    columns = {one.name: one.column([next(found) for _ in one.scorers]) for one in asked}
    scored = _scored(given.space, {one.name: one.producer for one in asked}, wanted, columns)
    if csv is not None:
        write_whole(csv, scored.as_csv())
    return scored


def _check_name(name: str) -> None:
    from hwnas.proxies.training_free import TRAINING_FREE
    from hwnas.proxies.training_free.ensembles import ENSEMBLES

    if name not in ENSEMBLES and name not in TRAINING_FREE:
        raise ConfigError(
            f"unknown proxy `{name}`",
            where="training-free proxies",
            allowed=did_you_mean(name, [*TRAINING_FREE, *ENSEMBLES]),
            do="Use a known proxy",
        )


def asked_for(given: Target, name: str, batch: int | None, resolution: int | None) -> Asked:
    """The column of a name, on the target's data.

    Raises:
        ConfigError: there is no such proxy, or it does not hold for the space.
    """
    from hwnas.proxies.training_free.ensembles import ENSEMBLES, Member
    from hwnas.proxies.training_free.scorer import check_holds, training_free_scorer

    _check_name(name)
    ensemble = ENSEMBLES.get(name)
    members = (Member(name),) if ensemble is None else ensemble.members
    lowered, ends = partial(lower, given.space), (given.space.smallest(), given.space.largest())
    scorers = tuple(
        training_free_scorer(
            member.name, lowered, given.dataset, seed=given.seed, batch=batch or member.batch,
            resolution=resolution or member.resolution, device=given.device, space=given.space,
        )
        for member in members
    )  # fmt: skip
    for scorer in scorers:
        check_holds(scorer, ends)
    return Asked(name, ensemble, scorers)


def _scored(
    space: AnySpace,
    producers: Mapping[str, str],
    wanted: Sequence[Architecture],
    columns: Mapping[str, Sequence[ProxyScore]],
) -> Scored:
    ranks = ranked([score.value for score in next(iter(columns.values()))])
    networks = [
        ScoredNetwork(a.key, a.as_dict(), rank, dict(zip(columns, scores, strict=True)))
        for a, rank, scores in zip(wanted, ranks, zip(*columns.values(), strict=True), strict=True)
    ]
    networks.sort(key=lambda network: (network.rank is None, network.rank or 0))  # stable: equal ones keep their order
    return Scored(space.name, producers, tuple(networks))


@contextmanager
def _opened(target: str | Path, data: str | None, seed: int | None, runs: Path) -> Iterator[Target]:
    """The target, its folder locked."""
    if is_space(target) is False:
        from hwnas.pipeline.training import torch_device

        run = open_run(target, runs=runs)
        seed = run.experiment.seed if seed is None else seed
        with run.opened():
            dataset = run.dataset.without_test() if data is None else _data(data, seed)
            yield Target(run.space, dataset, run.folder, seed, torch_device(run.experiment.device))
        return
    space, _ = open_space(target)
    folder, seed = runs / f"{space.name}-scores", seed or 0
    dataset = None if data is None else _data(data, seed)
    with RunLock(folder):
        yield Target(space, dataset, folder, seed, "cpu")


def _data(text: str, seed: int) -> Dataset | None:
    """The data set of a name, or of a mapping in YAML; None for noise."""
    from hwnas.data import load_data

    if text == NOISE:
        return None
    try:
        found = parse_yaml(text, where="--data")
    except ConfigError as error:
        raise ConfigError(
            f"`{text}` is no data set: {error.met}",
            where="--data",
            allowed="A name, `file.py:function`, `noise`, or a mapping such as `{name: cifar10, path: images.npz}`",
            do="Correct it",
        ) from error
    return load_data(found if isinstance(found, dict) else text, seed=seed).without_test()
