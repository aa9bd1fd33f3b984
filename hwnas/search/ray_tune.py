"""Scoring on many processes and machines by Ray Tune: one study asks and is told, actors score.

A Tune trial carries a batch of architectures, because Tune takes tens of milliseconds a trial. Nothing that matters
is kept by Tune: the study and the store are, so that whatever dies, the same command goes on.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, HwnasError
from hwnas.lookup import optional
from hwnas.search.evaluate import Evaluation
from hwnas.search.ledger import Ledger
from hwnas.search.progress import Finished, Progress
from hwnas.search.store import Score, ScoreStore
from hwnas.search.study import Study, Trial
from hwnas.space import Architecture

Scoring = Callable[[Architecture, Ledger], Evaluation]
"""What an actor does with an architecture; the ledger holds what the store knows of it."""
TRIES = 3
"""So often a batch is given to an actor before those that it killed are tried alone, and then as often again."""
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
    """Architectures that a Tune trial carries; they are told together, when all are scored."""


@dataclass(frozen=True)
class Task:
    """An architecture, and what the store knows of it."""

    architecture: Architecture
    known: tuple[Score, ...] = ()


@dataclass(frozen=True)
class Done:
    """What an actor gives back: a part of its batch if it met an error that stops the search."""

    scored: tuple[tuple[Evaluation, tuple[Score, ...]], ...]
    raised: Exception | None = None


def run_on_ray(
    study: Study,
    make: Callable[[], Scoring],
    trials: int,
    workers: Workers,
    progress: Callable[[Progress], None] | None = None,
    *,
    store: ScoreStore | None = None,
    producers: Mapping[str, str] | None = None,
) -> Finished:
    """As `study.run`, on actors; `make` is called once in each of them, and so must be known there.

    With one worker and a batch of one the study is asked and told as by `study.run`. With more, an architecture is
    asked before those in hand are told, and tells come as actors end: then the order hangs on time, and nothing else.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: the cluster cannot be reached, or is too small for one worker.
        HwnasError: what a score raised; all that was scored before is told.
    """
    tune = optional("ray.tune", extra="ray", why="search.runner: ray")
    source = Source(study, trials, workers, progress, store, producers or {})
    with _environment(), _cluster(workers), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # Tune warns of what it is told on purpose
        trainable = tune.with_resources(
            tune.with_parameters(_actor(tune), make=make, folder=str(Path.cwd())), _resources(workers)
        )
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(search_alg=_searcher(source), num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="search", storage_path=folder, verbose=0, failure_config=tune.FailureConfig(max_failures=TRIES - 1)
            ),
        )
        tuner.fit()
    if source.raised is not None:
        raise source.raised
    return study.finished(trials)


@dataclass
class Source:
    """Between Tune and the study: hands out batches, takes results in, and gives what killed its actors a last try."""

    study: Study
    trials: int
    workers: Workers
    progress: Callable[[Progress], None] | None
    store: ScoreStore | None
    producers: Mapping[str, str]
    raised: Exception | None = None
    _open: dict[str, list[Trial]] = field(default_factory=dict)
    _alone: list[Trial] = field(default_factory=list)
    _last: set[str] = field(default_factory=set)
    """Batches that were tried before: when all actors that have one die again, it failed."""
    _started: float = field(default_factory=time.monotonic)

    def __reduce__(self) -> tuple[Any, ...]:
        """Nothing of it goes into the files that Tune writes of its parts: the study is kept elsewhere."""
        return (type(None), ())

    def batch(self, name: str) -> list[Task] | None:
        """The next batch; an empty one when there will be none; None if Tune should ask again."""
        if self.raised is not None or self.study.told >= self.trials:
            return []
        if len(self._open) >= self.workers.count:
            return None
        again = bool(self._alone)
        asked = [self._alone.pop()] if again else self._asked()
        if asked:
            if again:
                self._last.add(name)
            self._open[name] = asked
            return [Task(trial.architecture, self._known(trial.architecture)) for trial in asked]
        return None if self._open or self.study.waits else []

    def take(self, name: str, done: Done | None) -> None:
        """What came of a batch; None if all actors that had it died."""
        batch = self._open.pop(name)
        if done is None and name not in self._last:
            self._alone.extend(reversed(batch))
            return
        if done is None:
            failed = f"{2 * TRIES} workers died while they scored it"
            done = Done(((Evaluation(batch[0].architecture, {}, failed=failed), ()),))
        for trial, (evaluation, scores) in zip(batch, done.scored, strict=False):
            if self.store is not None:
                for score in scores:
                    self.store.add(score)
            self.study.tell(trial, evaluation)
        self.raised = self.raised or done.raised
        if self.progress is not None:
            self.progress(self.study.progress(self.trials, time.monotonic() - self._started))

    def _asked(self) -> list[Trial]:
        asked: list[Trial] = []
        while len(asked) < self.workers.batch and (trial := self.study.ask(most=self.trials)) is not None:
            asked.append(trial)
        return asked

    def _known(self, architecture: Architecture) -> tuple[Score, ...]:
        if self.store is None:
            return ()
        found = (self.store.get(architecture, metric, producer) for metric, producer in self.producers.items())
        return tuple(score for score in found if score is not None)


def _searcher(source: Source) -> Any:
    from ray.tune.search import Searcher

    class StudySearcher(Searcher):
        """Tune's view of the source."""

        def __init__(self) -> None:
            super().__init__(metric=None, mode=None)

        def suggest(self, trial_id: str) -> Any:
            tasks = source.batch(trial_id)
            return Searcher.FINISHED if tasks == [] else None if tasks is None else {"tasks": tuple(tasks)}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            source.take(trial_id, None if error or result is None else result["done_tasks"])

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the study is what is kept."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing."""

    return StudySearcher()


def _actor(tune: Any) -> Any:
    class Actor(tune.Trainable):  # type: ignore[misc]  # Ray has no types
        """Scores one batch a step, and is handed the next one without being made anew."""

        def setup(self, config: Any, make: Callable[[], Scoring], folder: str) -> None:
            with contextlib.suppress(OSError):  # on another machine the driver's folder may not be there
                os.chdir(folder)
            self.scoring, self.tasks = make(), config["tasks"]

        def reset_config(self, new_config: Any) -> bool:
            self.tasks = new_config["tasks"]
            return True

        def step(self) -> dict[str, Any]:
            return {"done_tasks": score_all(self.scoring, self.tasks), "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing: a batch is scored whole, or again."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Nothing."""

    return Actor


def score_all(scoring: Scoring, tasks: Sequence[Task]) -> Done:
    """A batch, as far as no error stops it."""
    scored: list[tuple[Evaluation, tuple[Score, ...]]] = []
    for task in tasks:
        ledger = Ledger(task.known)
        try:
            evaluation = scoring(task.architecture, ledger)
        except HwnasError as error:
            return Done(tuple(scored), error)
        except Exception as error:  # whatever it is, it must be able to travel
            return Done(tuple(scored), RuntimeError(f"{type(error).__name__}: {error}"))
        scored.append((evaluation, tuple(ledger.new)))
    return Done(tuple(scored))


def _resources(workers: Workers) -> dict[str, float]:
    return {"cpu": workers.cpus, **({"gpu": workers.gpus} if workers.gpus else {})}


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _cluster(workers: Workers) -> Iterator[None]:
    """A cluster for the block: the one that this process uses already, the one at the address, or one of its own."""
    import ray

    if ray.is_initialized():
        yield
        return
    given: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if workers.address is None:
        cpus = max(os.cpu_count() or 1, math.ceil(workers.count * workers.cpus))
        given |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}  # without, it joins any that runs
    else:
        given |= {"address": workers.address, "runtime_env": {"env_vars": QUIET}}
    try:
        _reach(workers.address)  # Ray itself waits for minutes, and then ends the process
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**given)
    except Exception as error:  # Ray's errors have no common base
        raise ConfigError(
            f"no Ray cluster can be used ({type(error).__name__}: {error})",
            where=f"search.ray: address {workers.address}",
            allowed="`auto` and `host:port` need a running cluster; without an address one is begun here",
            do="Start one with `ray start --head`, or leave the address out",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """OSError if nobody listens at a host and port."""
    host, _, port = (address or "").rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()
