"""Scoring on many processes and machines by Ray Tune: one study asks and is told, actors score.

A Tune trial is a worker that lasts as long as the search: it reports batch after batch, and is handed the next one by
way of a desk. To begin a trial takes Tune a tenth of a second, and where scores are quicker than an actor's start it
gives every trial to the actor that is up already. Nothing that matters is kept by Tune: the study and the store are,
so that whatever dies, the same command goes on.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, RunError, raised
from hwnas.registry import optional
from hwnas.search.precision.candidate import Producers
from hwnas.search.progress import Finished, Progress
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import Study
from hwnas.search.workers.cluster import Watched, cluster
from hwnas.search.workers.coordinator import Desks, take
from hwnas.search.workers.dispatcher import Dispatcher, Done, Scoring, score_all
from hwnas.search.workers.pool import MAX_ACTOR_DEATHS, WorkerPool

QUIET = {  # Tune writes nothing and installs no handler of signals; actors stay in the driver's folder
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Workers:
    """How many actors score, and what each may use."""

    count: int = 2
    cpus: float = 1.0
    gpus: float = 0.0
    """A fraction lets several actors share a GPU."""
    address: str | None = None
    """A cluster that runs already (`auto`, or `host:port`); None begins one on this machine."""
    batch: int = 1
    """Architectures that a worker is handed at a time; they are told together, when all are scored."""


def run_on_ray(
    study: Study,
    make: Callable[[], Scoring],
    trials: int,
    workers: Workers,
    progress: Callable[[Progress], None] | None = None,
    *,
    store: ScoreStore | None = None,
    producers: Producers | None = None,
) -> Finished:
    """Run a study as `study.run` does, on actors; `make` is called once in each of them, and so must be known there.

    With one worker and a batch of one the study is asked and told as by `study.run`. With more, an architecture is
    asked before those in hand are told, and tells come as actors end: then the order depends on time alone.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: the cluster cannot be reached, or is too small for one worker.
        RunError: no cluster can be begun here, or no worker set up.
        HwnasError: what a score raised; all that was scored before is told.
    """
    tune = optional("ray.tune", extra="ray", why="search.runner: ray")
    study.retry()
    if study.n_trials >= trials:
        return study.finished(trials)
    source = Dispatcher(study, trials, workers.batch, progress, store, producers or {})
    environment = QUIET | {"TUNE_MAX_PENDING_TRIALS_PG": str(workers.count + 1)}  # else one actor starts at a time
    with (
        _environment(environment),
        _silent_logger("ray.tune"),  # which prints a traceback for each worker that dies
        cluster(workers.address, math.ceil(workers.count * workers.cpus), QUIET) as watched,
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")  # Tune warns of what it is told on purpose
        desks = Desks()
        crew = WorkerPool(source, workers.count, desks)
        actor = tune.with_parameters(_actor(tune), made=_pickled(make), folder=str(Path.cwd()), desk=desks.name)
        tuner = tune.Tuner(
            tune.with_resources(actor, _resources(workers)),
            tune_config=tune.TuneConfig(search_alg=_searcher(crew), num_samples=-1),
            run_config=tune.RunConfig(
                name="search",
                storage_path=folder,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MAX_ACTOR_DEATHS - 1),
                callbacks=[_watch(tune, crew, watched)],
            ),
        )
        _fit(tuner, source, watched)
    if source.raised is not None:
        raise source.raised
    return study.finished(trials)


def _searcher(crew: WorkerPool) -> Any:
    from ray.tune.search import Searcher

    class StudySearcher(Searcher):
        """Tune's view of the crew: a trial is a worker."""

        def __init__(self) -> None:
            super().__init__(metric=None, mode=None)

        def suggest(self, trial_id: str) -> Any:
            hired = crew.wants_worker(trial_id)
            return {} if hired else Searcher.FINISHED if crew.ended else None

        def on_trial_result(self, trial_id: str, result: Any) -> None:
            if "stranded" in result:
                crew.stranded(trial_id, result["actor"], result["stranded"])
            else:
                crew.on_result(trial_id, result["actor"], result["given_back"])

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            crew.on_worker_exit(trial_id, died=error)

        def save(self, checkpoint_path: str) -> None:
            """Do nothing: the study is what is kept."""

        def restore(self, checkpoint_path: str) -> None:
            """Do nothing."""

    return StudySearcher()


def _fit(tuner: Any, source: Dispatcher, watched: Watched) -> None:
    """Let Tune work to the end, and where it cannot, have the search end for the reason behind it.

    Raises:
        RunError: Tune failed by itself.
    """
    try:
        tuner.fit()
    except _Ended:
        source.raised = source.raised or watched.gone
    except Exception as error:  # Tune wraps what is raised within it
        if source.raised is None:
            raise RunError(
                f"Ray ended the search ({(str(error).strip().splitlines() or [type(error).__name__])[-1]})",
                where="search.runner: ray",
                allowed="What was told is kept; no network counts as failed for it",
                do="Look at Ray's log, and run the same command again: it continues",
            ) from error


class _Ended(BaseException):
    """Exception that passes through Tune, which after any other one tidies up first, and waits for what is gone."""


def _watch(tune: Any, crew: WorkerPool, watched: Watched) -> Any:
    class Watch(tune.Callback):  # type: ignore[misc]  # Ray has no types
        """Callback that reports an actor's death to the crew at once, for its successor may have to wait for a place;
        and ends a search that cannot go on."""

        def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
            if watched.gone is not None or crew.hopeless:
                raise _Ended

        def __getstate__(self) -> dict[str, Any]:
            return {}

        def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            crew.on_worker_died(trial.trial_id)

    return Watch()


def _pickled(make: Callable[[], Scoring]) -> bytes:
    from ray import cloudpickle

    pickled: bytes = cloudpickle.dumps(make)  # type: ignore[no-untyped-call]
    return pickled


def _actor(tune: Any) -> Any:
    class Actor(tune.Trainable):  # type: ignore[misc]  # Ray has no types
        """Actor that first reports that it is up; from then on each step gives back a batch and takes the next one."""

        def setup(self, config: Any, made: bytes, folder: str, desk: str) -> None:
            self.name, self.desk = uuid.uuid4().hex, desk
            self.given_back, self.scoring = _set_up(made, folder)
            self.last = 0
            self.up = False

        def step(self) -> dict[str, Any]:
            if not self.up:
                self.up = True
                return {"actor": self.name, "given_back": self.given_back}
            batch, desk = take(self.desk, self.name, self.last)
            if batch is None:
                return {"actor": self.name, "stranded": desk}
            self.last, tasks = batch
            return {"actor": self.name, "given_back": score_all(self.scoring, tasks), "done": not tasks}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Do nothing: a batch is scored whole, or again."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Do nothing."""

    return Actor


def _set_up(made: bytes, folder: str) -> tuple[Done | None, Scoring]:
    """Return the scoring; if it fails, a result to give back in its place, which stops the search."""
    from ray import cloudpickle

    with contextlib.suppress(OSError):  # on another machine the driver's folder may not be there
        os.chdir(folder)
    try:
        return None, cloudpickle.loads(made)()  # what the driver sent, here and not by Ray, so that errors are told
    except HwnasError as error:
        return Done((), error), _never
    except Exception as error:  # whatever it is, other workers would meet it too
        unready = RunError(
            f"a worker cannot be set up ({raised(error)})",
            where=f"Ray worker on {socket.gethostname()}",
            allowed="What scores is importable on every machine, and the run's folder is there under the same path",
            do="Correct that, and run the same command again",
        )
        return Done((), unready), _never


def _never(*_: Any) -> Any:
    raise AssertionError("a worker that was not set up scores nothing")


def _resources(workers: Workers) -> dict[str, float]:
    return {"cpu": workers.cpus, **({"gpu": workers.gpus} if workers.gpus else {})}


@contextlib.contextmanager
def _silent_logger(name: str) -> Iterator[None]:
    """Let a logger pass nothing for the block: what happened is told in hwnas's words."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
