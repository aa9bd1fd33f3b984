"""Between a study and workers elsewhere: batches that are handed out and come back, or are lost with their worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hwnas.errors import HwnasError, raised
from hwnas.search.evaluate import Evaluation
from hwnas.search.precision.candidate import Producers, stored_as
from hwnas.search.progress import Progress
from hwnas.search.score_store import Score, ScoreStore
from hwnas.search.study import Study, Trial
from hwnas.search.workers.score_cache import ScoreBuffer
from hwnas.space import Architecture

Scoring = Callable[[Architecture, ScoreBuffer], Evaluation]
"""Function by which a worker scores an architecture; the buffer holds what the store knows of it."""
MAX_WORKER_DEATHS = 3
"""Workers that may die of one architecture, scored alone; then it counts as failed."""


@dataclass(frozen=True)
class ScoringTask:
    """An architecture, and what the store knows of it."""

    architecture: Architecture
    known: tuple[Score, ...] = ()


@dataclass(frozen=True)
class Done:
    """Result of a worker's batch: a part of it if an error occurred that stops the search."""

    scored: tuple[tuple[Evaluation, tuple[Score, ...]], ...]
    raised: Exception | None = None


@dataclass
class Dispatcher:
    """Dispatcher of a study's batches: it takes results in, and gives a batch lost with its worker to another one."""

    study: Study
    trials: int
    batch: int
    """Architectures that a worker is handed at a time; they are told together, when all are scored."""
    progress: Callable[[Progress], None] | None = None
    store: ScoreStore | None = None
    producers: Producers = field(default_factory=dict)
    raised: Exception | None = None
    _open: dict[str, list[Trial]] = field(default_factory=dict)
    _alone: list[Trial] = field(default_factory=list)
    _deaths: dict[str, int] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)

    def has(self, worker: str) -> bool:
        """Return whether a batch is in the worker's hands."""
        return worker in self._open

    def dispatch(self, worker: str) -> list[ScoringTask] | None:
        """Return the worker's next batch; an empty one when there will be none; None while one may come up."""
        if self.raised is not None or self.study.n_trials >= self.trials:
            return []
        batch = [self._alone.pop()] if self._alone else self._asked()
        if batch:
            self._open[worker] = batch
            return [ScoringTask(trial.architecture, self._known(trial.architecture)) for trial in batch]
        return None if self._open or self.study.waits else []

    def complete(self, worker: str, done: Done) -> None:
        """Take in the result of the batch in the worker's hands; all of it is on the disk when this returns."""
        batch = self._open.pop(worker)
        pairs = list(zip(batch, done.scored, strict=False))
        if self.store is not None:
            self.store.add_all(score for _, (_, scores) in pairs for score in scores)
        self.study.tell_all([(trial, evaluation) for trial, (evaluation, _) in pairs])
        self.raised = self.raised or done.raised
        if self.progress is not None:
            self.progress(self.study.progress(self.trials, time.monotonic() - self._started))

    def requeue(self, worker: str) -> None:
        """Queue each architecture of a dead worker's batch to be tried alone, to identify the one that kills."""
        batch = self._open[worker]
        if len(batch) > 1:
            self._alone.extend(reversed(self._open.pop(worker)))
            return
        key = batch[0].architecture.key
        self._deaths[key] = deaths = self._deaths.get(key, self.study.deaths(key)) + 1
        if deaths < MAX_WORKER_DEATHS:
            self._alone.extend(self._open.pop(worker))
        else:
            failed = f"{deaths} workers died while they scored it"
            self.complete(worker, Done(((Evaluation(batch[0].architecture, {}, failed=failed, deaths=deaths), ()),)))

    def _asked(self) -> list[Trial]:
        trials: list[Trial] = []
        while len(trials) < self.batch and (trial := self.study.ask(most=self.trials)) is not None:
            trials.append(trial)
        return trials

    def _known(self, architecture: Architecture) -> tuple[Score, ...]:
        if self.store is None:
            return ()
        stored = ((metric, *stored_as(architecture, producer)) for metric, producer in self.producers.items())
        scores = (self.store.get(network, metric, producer) for metric, network, producer in stored)
        return tuple(score for score in scores if score is not None)


def score_all(scoring: Scoring, tasks: Sequence[ScoringTask]) -> Done:
    """Score a batch, as far as no error stops it."""
    scored: list[tuple[Evaluation, tuple[Score, ...]]] = []
    for task in tasks:
        ledger = ScoreBuffer(task.known)
        try:
            evaluation = scoring(task.architecture, ledger)
        except HwnasError as error:
            return Done(tuple(scored), error)
        except Exception as error:  # whatever it is, it must be able to travel
            return Done(tuple(scored), RuntimeError(raised(error)))
        scored.append((evaluation, tuple(ledger.new)))
    return Done(tuple(scored))
