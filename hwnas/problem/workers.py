"""Runners that score a tier's architectures: in this process, or on Ray's actors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hwnas.accuracy import Accuracy
from hwnas.accuracy.by_precision import producers_of
from hwnas.errors import HostAway
from hwnas.problem.accuracy import accuracy_of
from hwnas.problem.cost_models import CostModels, cost_metric_scorers, load_cost_models
from hwnas.problem.live import live_times
from hwnas.problem.pairs.problem import PairProblem
from hwnas.problem.precision.tier import tier_accuracy
from hwnas.problem.warm_start import restore_scores
from hwnas.report import units
from hwnas.search.evaluate import Evaluation, Scorer, evaluate
from hwnas.search.precision import Producers
from hwnas.search.progress import Finished, Progress
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import Study
from hwnas.search.workers.score_cache import ScoreBuffer
from hwnas.space import Architecture
from hwnas.words import counted
from hwnas.workspace.progress import NullReporter, Reporter
from hwnas.workspace.training.search_logs import search_logs
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import Workspace, open_run


@dataclass(frozen=True)
class SearchJob:
    """A tier to be searched: its study, and the scorers of the networks that the study proposes."""

    run: Workspace
    name: str
    study: Study
    scorers: Mapping[str, Scorer]
    producers: Producers
    store: ScoreStore
    trials: int


def cost_scorers(
    run: Workspace, tier: str, cost_models: Mapping[str, CostModels], reporter: Reporter
) -> dict[str, Scorer]:
    """Return a tier's scorers except that of accuracy; those that time networks live come last. Of a pair, the scorer
    of requests."""
    if tier in run.experiment.pairs:
        problem = PairProblem(run, tier, cost_models)
        return {problem.metric: problem.score}
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
    trained = supernet_of(run, NullReporter())
    proxy = tier_accuracy(run, tier, trained, accuracy_of(run, trained))
    scorers = scorers_of(run, tier, proxy, load_cost_models(run), NullReporter())
    wanted, producers = run.objectives.tier(tier), {run.accuracy: producers_of(proxy)}
    return lambda architecture, ledger: evaluate(architecture, scorers, wanted, ledger, producers)


RUNNERS: Mapping[str, Callable[[SearchJob, Callable[[Progress], None]], Finished]] = {
    "serial": search_in_process,
    "ray": search_on_ray,
}


def run_study(job: SearchJob, proxy: Accuracy, reporter: Reporter) -> tuple[Finished, HostAway | None]:
    """Score networks until the study ends or the tier's device goes away; a trial that this interrupts is asked for
    again. What the study, the store and the search have to say is reported."""
    run, name, study = job.run, job.name, job.study
    for notice in study.notices:
        reporter.info(notice)
    if lost := restore_scores(run, study, job.store, proxy):
        reporter.info(f"{name}: {lost:,} accuracies that the store had lost are put back from the study")
    with reporter.bar(f"searching {name}") as bar, search_logs(run, name) as log:

        def show(progress: Progress) -> None:
            best = "" if progress.best is None else f", best {run.units.scored(run.accuracy, progress.best)}"
            pace = "" if progress.per_second is None else f", {units.pace(progress.per_second, progress.left_s or 0.0)}"
            text = f"front {progress.front_size}, hypervolume {progress.hypervolume:.4g}{best}{pace}"
            bar.update(progress.trials, progress.total, text)
            log(progress)

        with closing(study):
            finished, paused = _until_away(job, show)
    if paused is None and finished.trials < job.trials:
        reporter.info(f"{name} ends after {counted(finished.trials, 'trial')}: {finished.stopped}")
    if paused is not None:
        reporter.info(f"{name} pauses after {counted(finished.trials, 'trial')}: {paused.where}: {paused.met}")
    return finished, paused


def _until_away(job: SearchJob, show: Callable[[Progress], None]) -> tuple[Finished, HostAway | None]:
    """Search until it ends or the tier's device goes away."""
    try:
        return RUNNERS[job.run.experiment.search.runner](job, show), None
    except HostAway as error:
        return replace(job.study.finished(job.trials), stopped=f"{error.where} did not answer any more"), error
