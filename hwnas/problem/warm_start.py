"""First architectures of a search: of earlier runs, of files, or as the user writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from hwnas.accuracy import Accuracy
from hwnas.accuracy.by_precision import producers_of
from hwnas.config import ZeroCostInitConfig
from hwnas.errors import ConfigError, SpaceError
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.pareto import Objective, best
from hwnas.problem.cost_models import CostModels, feasible_scores
from hwnas.problem.zero_cost import ProxyColumn, ScoringTarget, make_proxy_column
from hwnas.quantities import Metric
from hwnas.search.evaluate import standard_error_of
from hwnas.search.fronts import read_front
from hwnas.search.precision import stored_as
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import Study
from hwnas.search.successive_halving import sample_initial
from hwnas.space import Architecture
from hwnas.workspace.architectures import architecture_of, read_json
from hwnas.workspace.progress import Reporter
from hwnas.workspace.workspace import Workspace

DEFAULT_PROXIES = ("ensemble", "synflow", "params")
"""Training-free scores where an experiment names none: the first that holds for the space."""


def initial_architectures(run: Workspace) -> tuple[Architecture, ...]:
    """Return the architectures that `search.warm_start` names, each once.

    Raises:
        ConfigError: an entry names nothing.
        SpaceError: an architecture does not fit the space; the entry is named.
    """
    by_key: dict[str, Architecture] = {}
    for entry in run.experiment.search.warm_start:
        for architecture in _named(run, entry):
            lower(run.space, architecture)
            by_key[architecture.key] = architecture
    return tuple(by_key.values())


def import_scores(run: Workspace, store: ScoreStore, producer: str) -> int:
    """Take over the accuracies that earlier runs have of the same producer and return how many were new here."""
    taken = 0
    for entry in run.experiment.search.warm_start:
        path = run.paths.resolve(entry) / "scores.jsonl"
        if not path.is_file():
            continue
        for score in ScoreStore.open(path).scores:
            known = store.get(score.architecture, score.metric, score.producer) is not None
            if known or score.value is None or (score.metric, score.producer) != (run.accuracy, producer):
                continue
            store.record(
                score.architecture,
                score.metric,
                score.value,
                producer=producer,
                elapsed_s=score.elapsed_s,
                error=score.error,
            )
            taken += 1
    return taken


def restore_scores(run: Workspace, study: Study, store: ScoreStore, accuracy: Accuracy) -> int:
    """Restore accuracies that a store has lost from its study and return how many it lacked."""
    if run.experiment.search.storage is not None:
        return 0  # others may have told them, whose stores are elsewhere
    lost = [
        (evaluation, architecture, producer)
        for evaluation in study.evaluations
        for architecture, producer in [stored_as(evaluation.architecture, producers_of(accuracy))]
        if run.accuracy in evaluation.scores and store.get(architecture, run.accuracy, producer) is None
    ]
    for evaluation, architecture, producer in lost:
        value = evaluation.scores[run.accuracy]
        store.record(
            architecture,
            run.accuracy,
            value,
            producer=producer,
            elapsed_s=evaluation.elapsed_s,
            error=standard_error_of(accuracy, value),
        )
    return len(lost)


def zero_cost_candidates(
    run: Workspace, tier: str, cost_models: Mapping[str, CostModels], store: ScoreStore, reporter: Reporter
) -> list[Architecture]:
    """Return the best of random networks within the tier's known limits, by training-free scores and known costs.

    Scores are kept in the store, so the same networks are returned again without scoring any.

    Raises:
        ConfigError: a proxy does not hold for the space.
    """
    from hwnas.accuracy.zero_cost_proxies.population import score_population

    config = run.experiment.search.zero_cost_init
    if config is None:
        return []
    columns = _columns(run, config, reporter)
    known = feasible_scores(run, tier, cost_models)
    drawn = sample_initial(
        run.space, config.networks, run.experiment.seed, lambda architecture: known(architecture) is not None
    )
    scorers = [scorer for column in columns for scorer in column.scorers]
    with reporter.bar(f"scoring untrained networks of {tier}") as bar:
        all_scores = iter(score_population(drawn, scorers, store, progress=bar.update))
    scored = [column.column([next(all_scores) for _ in column.scorers]) for column in columns]
    candidates, rows = list[Architecture](), list[dict[str, float]]()
    for architecture, scores in zip(drawn, zip(*scored, strict=True), strict=True):
        values = {
            str(Metric("score", c.name)): s.value for c, s in zip(columns, scores, strict=True) if s.value is not None
        }
        if len(values) == len(columns):
            candidates.append(architecture)
            rows.append({**(known(architecture) or {}), **values})
    if failed := len(drawn) - len(rows):
        reporter.info(f"{tier}: {failed} of {len(drawn)} untrained networks could not be scored")
    costs = [
        o for o in run.objectives.tier(tier).objectives if rows and o.metric in rows[0] and o.metric != run.accuracy
    ]
    objectives = [*(Objective(str(Metric("score", column.name)), "max") for column in columns), *costs]
    return [candidates[index] for index in best(rows, objectives, config.keep)]


def _columns(run: Workspace, config: ZeroCostInitConfig, reporter: Reporter) -> list[ProxyColumn]:
    """Return the columns of the named scores; if none are named, the first of the usual ones that fits the space."""
    from hwnas.workspace.training.supernets import torch_device

    dataset = run.dataset.without_test() if run.experiment.data is not None else None
    target = ScoringTarget(run.space, dataset, run.folder, run.experiment.seed, torch_device(run.experiment.device))
    if config.proxies:
        return [make_proxy_column(target, name, None, None) for name in dict.fromkeys(config.proxies)]
    for name, other in pairwise(DEFAULT_PROXIES):
        try:
            return [make_proxy_column(target, name, None, None)]
        except ConfigError as error:
            reporter.info(f"untrained networks are scored by `{other}`, not by `{name}`: {error.met}")
    return [make_proxy_column(target, DEFAULT_PROXIES[-1], None, None)]


def _named(run: Workspace, entry: str) -> Iterator[Architecture]:
    path, where = run.paths.resolve(entry), f"search.warm_start: {entry}"
    if path.is_dir():
        fronts = sorted((path / "fronts").glob("*.json"))
        if not fronts:
            raise ConfigError(
                "the folder holds no fronts",
                where=where,
                allowed="A run that was searched has fronts/<tier>.json",
                do="Search that run first, or leave it out",
            )
        yield from (point.architecture for front in fronts for point in read_front(front))
    elif path.is_file():
        raw = read_json(
            path, where=f"{where}: {path}", allowed="It holds an architecture, or a list of them", do="Correct the file"
        )
        yield from (architecture_of(run.space, one, where=where) for one in (raw if isinstance(raw, list) else [raw]))
    else:
        try:
            yield read_architecture(run.space, entry, where=where)
        except SpaceError as error:
            raise ConfigError(
                f"there is no run and no file of that name, and as an architecture: {error.met}",
                where=where,
                allowed="A run's folder, a JSON file of architectures, or a string in the space's notation",
                do="Correct it",
            ) from error
