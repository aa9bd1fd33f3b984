"""The workers of a search as its driver sees them: those that wait for a batch or died with one, and the end of all."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hwnas.errors import HwnasError, RunError
from hwnas.search.workers.dispatcher import Dispatcher, Done, ScoringTask

MAX_ACTOR_DEATHS = 3
"""Actors, and desks, that may die in a row with nothing done; and times that Tune starts a worker's actor before
another worker takes its place."""


class Desk(Protocol):
    """A place where batches are laid for actors."""

    def put(self, actor: str, number: int, tasks: Sequence[ScoringTask]) -> None:
        """Lay a batch there, in place of one that lies there for this actor; an actor that had its number skips it."""

    def renew(self, lost: str | None) -> bool:
        """Make another desk if this is the one that was lost, and return whether it was."""


@dataclass
class WorkerPool:
    """The workers as the driver sees them: those that wait for a batch, and how many there are."""

    source: Dispatcher
    count: int
    desk: Desk
    _over: bool = False
    _hired: set[str] = field(default_factory=set)
    _waiting: dict[str, str] = field(default_factory=dict)
    """Workers without a batch, and the name that their actor goes by at the desk."""
    _laid: dict[str, tuple[str, int, Sequence[ScoringTask]]] = field(default_factory=dict)
    """By worker, the batch laid on the desk last: its actor, its number, its tasks. It may have been taken by now."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _idle_deaths: int = 0
    """Actors in a row that died with nothing in hand."""
    _desks: int = 0
    """Desks in a row that died before a batch came back."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as None, so that Tune writes nothing of it into its own files: the study is kept elsewhere."""
        return (type(None), ())

    @property
    def ended(self) -> bool:
        """True if nothing more is handed out."""
        return self._over or self.source.raised is not None

    @property
    def hopeless(self) -> bool:
        """True if workers cannot even be informed that it has ended."""
        return self._desks > MAX_ACTOR_DEATHS

    def wants_worker(self, worker: str) -> bool:
        """Return whether one more is wanted; workers that wait for a batch get one, if there is one by now."""
        self._serve()
        if self.ended or len(self._hired) >= self.count:
            return False
        self._hired.add(worker)
        return True

    def on_result(self, worker: str, actor: str, done: Done | None) -> None:
        """Take note that an actor is up, or take in the batch that it gives back."""
        if done is not None and self.source.has(worker):
            self._idle_deaths = self._desks = 0
            with self._kept():
                self.source.complete(worker, done)
        elif done is not None and done.raised is not None:
            self.source.raised = self.source.raised or done.raised
        self._waiting[worker] = actor
        self._laid.pop(worker, None)
        self._serve()

    def stranded(self, worker: str, actor: str, desk: str | None) -> None:
        """Lay the batches of a desk that an actor cannot reach on another one; no network has failed."""
        if self.desk.renew(desk):
            self._desks += 1
            for laid in self._laid.values():
                self.desk.put(*laid)
        if self._desks > MAX_ACTOR_DEATHS:
            self.source.raised = self.source.raised or RunError(
                f"the actor that hands out batches died {self._desks} times in a row",
                where="search.runner: ray",
                allowed="It runs beside the driver and needs next to no memory",
                do="Look at Ray's log, and run the same command again: nothing is lost, no network counts as failed",
            )
        if worker not in self._laid:
            self._waiting[worker] = actor
            self._serve()

    def on_worker_died(self, worker: str) -> None:
        """Give others what a worker's dead actor had in hand; its successor is on the way."""
        self._waiting.pop(worker, None)
        self._laid.pop(worker, None)
        if self.source.has(worker):
            with self._kept():
                self.source.requeue(worker)
        else:
            self._idle_deaths += 1
        if self._idle_deaths >= MAX_ACTOR_DEATHS and self.source.raised is None:
            self.source.raised = RunError(
                f"{self._idle_deaths} workers in a row died before they were handed anything",
                where="search.runner: ray",
                allowed="A worker opens the run and scores; what it may use stands in search.ray",
                do="Look at Ray's log of the workers (memory is the usual reason), and run the same command again",
            )
        self._serve()

    def on_worker_exit(self, worker: str, *, died: bool) -> None:
        """Remove a worker that ended, or whose actors died so often that Tune gave it up."""
        self._hired.discard(worker)
        self._waiting.pop(worker, None)
        self._laid.pop(worker, None)
        if died:
            self.on_worker_died(worker)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Note errors of the study or the store, so that they end the search in order, not in the middle of Tune."""
        try:
            yield
        except HwnasError as error:
            self.source.raised = self.source.raised or error

    def _serve(self) -> None:
        for worker, actor in list(self._waiting.items()):
            tasks: list[ScoringTask] | None = []
            with self._kept():
                tasks = self.source.dispatch(worker)
            if tasks is not None:
                del self._waiting[worker]
                self._over = self._over or not tasks
                self._laid[worker] = (actor, next(self._numbers), tuple(tasks))
                self.desk.put(*self._laid[worker])
