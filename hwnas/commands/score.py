"""Training-free scores of a space's networks, or of an experiment's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.data import check_data, load_data
from hwnas.errors import ConfigError
from hwnas.io.atomic import write_file
from hwnas.io.locks import RunLock
from hwnas.io.yaml import parse_yaml
from hwnas.problem.zero_cost import NOISE_DATA, ScoringTarget, check_proxy, make_proxy_column
from hwnas.report.scores import ProxyScore, Scored, ScoredNetwork, ranked
from hwnas.search.score_store import ScoreStore
from hwnas.search.successive_halving import sample_initial
from hwnas.space import AnySpace, Architecture
from hwnas.workspace.architectures import check_readable, read_architectures
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.spaces import is_space, open_space
from hwnas.workspace.workspace import open_run

if TYPE_CHECKING:
    from hwnas.data import Dataset


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
    reporter: Reporter | None = None,
) -> Scored:
    """Score networks without training; ranks are by the first proxy. What was scored before is not scored again.

    Args:
        target: a space, whose scores go to `runs/<space>-scores`, or an experiment, whose scores go to its run.
        proxies: names in `TRAINING_FREE` or `ENSEMBLES`; the latter rank the networks that are scored together.
        sample: number of random networks; fewer where the space has no more.
        architectures: a file with those to score instead: a JSON list, such as a front, or one a line.
        data: a data set's name, `file.py:function`, a YAML mapping as in an experiment, or `noise`. If left out, the
            experiment's data; of a space, noise.
        seed: of weights, noise and the sample; the experiment's, or 0, if left out.
        batch: number of images, instead of the proxies' own.
        resolution: pixels of a side of the images, instead of the proxies' own.
        processes: number that score at once; the scores are the same.
        csv: a file for all rows.
        runs: folder of run folders.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The networks by falling score of the first proxy; those without one at the end.

    Raises:
        ConfigError: an unknown proxy, one that does not hold for the space, or data that do not fit.

    Example:
        >>> from hwnas import pipeline
        >>> scored = pipeline.score("space.yaml", ["synflow"], sample=3)
        >>> [network.rank for network in scored.networks]
        [1, 2, 3]
    """
    for name in proxies:
        check_proxy(name)
    if architectures is not None:
        check_readable(architectures)
    if data is not None and data != NOISE_DATA:
        check_data(_spec(data), where="--data")
    reporter = default_reporter(reporter)
    with _opened(target, data, seed, runs) as opened:
        from hwnas.accuracy.zero_cost_proxies.population import score_population

        requested = [make_proxy_column(opened, name, batch, resolution) for name in dict.fromkeys(proxies)]
        if architectures is None:
            wanted = sample_initial(opened.space, sample, opened.seed, lambda architecture: True)
        else:
            wanted = read_architectures(opened.space, architectures)
        store = ScoreStore.open(opened.folder / "scores.jsonl")
        for notice in store.notices:
            reporter.info(notice)
        with reporter.bar(f"scoring {opened.space.name}") as bar:
            scorers = [scorer for one in requested for scorer in one.scorers]
            scores = iter(score_population(wanted, scorers, store, processes=processes, progress=bar.update))
    columns = {one.name: one.column([next(scores) for _ in one.scorers]) for one in requested}
    scored = _scored(opened.space, {one.name: one.producer for one in requested}, wanted, columns)
    if csv is not None:
        write_file(csv, scored.as_csv())
    return scored


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
def _opened(target: str | Path, data: str | None, seed: int | None, runs: Path) -> Iterator[ScoringTarget]:
    """Yield the target, its folder locked."""
    if is_space(target) is False:
        from hwnas.workspace.training.supernets import torch_device

        run = open_run(target, runs=runs)
        seed = run.experiment.seed if seed is None else seed
        with locked(run):
            dataset = run.dataset.without_test() if data is None else _data(data, seed)
            yield ScoringTarget(run.space, dataset, run.folder, seed, torch_device(run.experiment.device))
        return
    space, _ = open_space(target)
    folder, seed = runs / f"{space.name}-scores", seed or 0
    dataset = None if data is None else _data(data, seed)
    with RunLock(folder):
        yield ScoringTarget(space, dataset, folder, seed, "cpu")


def _data(text: str, seed: int) -> Dataset | None:
    """Return the data set of a name, or of a mapping in YAML; None for noise."""
    return None if text == NOISE_DATA else load_data(_spec(text), seed=seed).without_test()


def _spec(text: str) -> str | dict[str, Any]:
    try:
        parsed = parse_yaml(text, where="--data")
    except ConfigError as error:
        raise ConfigError(
            f"`{text}` is no data set: {error.met}",
            where="--data",
            allowed="A name, `file.py:function`, `noise`, or a mapping such as `{name: cifar10, path: images.npz}`",
            do="Correct it",
        ) from error
    return parsed if isinstance(parsed, dict) else text
