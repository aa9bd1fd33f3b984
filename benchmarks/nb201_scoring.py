"""Networks of a published table, scored by training-free proxies: how long it will take, and how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nb201_networks import Cache, Published, distinct

from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES, EnsembleMember
from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree, training_free_scorer
from hwnas.data import Dataset
from hwnas.space import Architecture

TRIED = 2
"""So many networks tell how long the others will take."""
EVERY_S = 30.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True, eq=False)
class Task:
    """One proxy and the networks that it scores, each with the places among the rows where it stands."""

    scorer: TrainingFree
    cache: Cache
    networks: Sequence[tuple[Architecture, list[int]]]

    @property
    def todo(self) -> list[Architecture]:
        """What is not in the cache."""
        return [architecture for architecture, _ in self.networks if architecture not in self.cache]


@dataclass(frozen=True, eq=False)
class Scorers:
    """Makes tasks. A proxy that is asked for alone and in an ensemble has one cache, so it is scored once."""

    published: Published
    dataset: Dataset | None
    seed: int
    folder: Path
    _caches: dict[str, Cache] = field(default_factory=dict)

    def tasks(self, name: str, rows: Sequence[int]) -> list[Task]:
        """One of a proxy, or one for each member of an ensemble."""
        networks = list(distinct(self.published, rows))
        members = ENSEMBLES[name].members if name in ENSEMBLES else (EnsembleMember(name),)
        return [self._task(member, networks) for member in members]

    def _task(self, member: EnsembleMember, networks: Sequence[tuple[Architecture, list[int]]]) -> Task:
        scorer = training_free_scorer(
            member.name,
            self.published.lower,
            None if member.noise else self.dataset,
            seed=self.seed,
            batch=member.batch,
            resolution=member.resolution,
        )
        if scorer.producer not in self._caches:
            self._caches[scorer.producer] = Cache(self.folder, self.published.name, scorer)
        return Task(scorer, self._caches[scorer.producer], networks)


def announce(asked: Sequence[Task]) -> None:
    """Score the first networks by each proxy, and say how long all others will take."""
    seconds = dict[str, float]()
    for task in asked:
        todo = task.todo
        started = time.perf_counter()
        for architecture in todo[:TRIED]:
            task.cache.score(architecture)
        taken = time.perf_counter() - started
        left = taken / TRIED * len(todo[TRIED:])
        seconds[task.scorer.producer] = max(left, seconds.get(task.scorer.producer, 0.0))
    total = sum(seconds.values())
    if total > EVERY_S:
        dear = sorted(seconds, key=lambda producer: -seconds[producer])[:3]
        told = ", ".join(f"{producer.split()[0]} {_minutes(seconds[producer])}" for producer in dear)
        _say(
            f"about {_minutes(total)} on this machine as it is ({told}); `--proxies` names fewer, `--sample` and "
            "`--only` take fewer rows, `--cache` keeps what is scored"
        )


def scored(task: Task) -> list[dict[str, Any]]:
    """For each row its score, or the reason why there is none, and milliseconds."""
    found: list[dict[str, Any]] = [{}] * sum(len(places) for _, places in task.networks)
    todo, started = len(task.todo), time.perf_counter()
    told, done = started, 0
    for architecture, places in task.networks:
        done += architecture not in task.cache
        entry = {"producer": task.scorer.producer, "reason": None, **task.cache.score(architecture)}
        for place in places:
            found[place] = entry
        if (now := time.perf_counter()) - told > EVERY_S:
            told = now
            left = _minutes((now - started) / max(1, done) * (todo - done))
            _say(f"{task.scorer.name}: {done} of {todo} networks, about {left} left")
    return found


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)
