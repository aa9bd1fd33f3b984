"""Runners that score a tier's architectures: in this process, or on Ray's actors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hwnas.accuracy import Accuracy
from hwnas.problem.accuracy import accuracy_of
from hwnas.problem.cost_models import CostModels, cost_metric_scorers, load_cost_models
from hwnas.problem.live import live_times
from hwnas.search.evaluate import Evaluation, Scorer, evaluate
from hwnas.search.progress import Finished, Progress
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import Study
from hwnas.search.workers.score_cache import ScoreBuffer
from hwnas.space import Architecture
from hwnas.workspace.progress import NullReporter, Reporter
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import Workspace, open_run


@dataclass(frozen=True)
class SearchJob:
    """A tier to be searched: its study, and the scorers of the networks that the study proposes."""

    run: Workspace
    name: str
    study: Study
    scorers: Mapping[str, Scorer]
    producers: Mapping[str, str]
    store: ScoreStore
    trials: int


def cost_scorers(
    run: Workspace, tier: str, cost_models: Mapping[str, CostModels], reporter: Reporter
) -> dict[str, Scorer]:
    """Return a tier's scorers except that of accuracy; those that time networks live come last."""
    known = cost_metric_scorers(run, tier, cost_models)
    if not run.objectives.is_live(tier):
        return known
    times = live_times(run, tier, reporter)
    return {**known, run.objectives.latency(tier): lambda a: times.latency_ms(run.network(a))}


def scorers_of(
    run: Workspace, tier: str, proxy: Accuracy, cost_models: Mapping[str, CostModels], reporter: Reporter
) -> dict[str, Scorer]:
    """Return all scorers of a tier's networks, from cheap to expensive."""
    return {**cost_scorers(run, tier, cost_models, reporter), run.accuracy: proxy}


def search_in_process(job: SearchJob, show: Callable[[Progress], None]) -> Finished:
    """Score one network after the other, in this process."""

    def score(architecture: Architecture) -> Evaluation:
        return evaluate(architecture, job.scorers, job.study.plan.tier, job.store, job.producers)

    return job.study.run(score, job.trials, show)


def search_on_ray(job: SearchJob, show: Callable[[Progress], None]) -> Finished:
    """Score networks on Ray's actors; each opens the run's folder, which every node must see under the same path."""
    from hwnas.search.workers.ray_tune import Workers, run_on_ray

    config = job.run.experiment.search.ray
    workers = Workers(config.workers, config.cpus, config.gpus, config.address, config.batch)
    make = partial(_scoring, str(job.run.folder.absolute()), job.name)
    return run_on_ray(job.study, make, job.trials, workers, show, store=job.store, producers=job.producers)


def _scoring(folder: str, tier: str) -> Callable[[Architecture, ScoreBuffer], Evaluation]:
    """Return the function that an actor scores with."""
    run = open_run(Path(folder))
    proxy = accuracy_of(run, supernet_of(run, NullReporter()))
    scorers = scorers_of(run, tier, proxy, load_cost_models(run), NullReporter())
    wanted, producers = run.objectives.tier(tier), {run.accuracy: proxy.producer}
    return lambda architecture, ledger: evaluate(architecture, scorers, wanted, ledger, producers)


RUNNERS: Mapping[str, Callable[[SearchJob, Callable[[Progress], None]], Finished]] = {
    "serial": search_in_process,
    "ray": search_on_ray,
}
