"""Scoring many architectures with many proxies: kept as it goes, in several processes, with a reason where it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import final

from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree
from hwnas.io.process_pool import Ended, Unloadable, map_in_processes
from hwnas.search.evaluate import safe_score
from hwnas.search.score_store import Score, ScoreStore, timestamp
from hwnas.space import Architecture

Progress = Callable[[int, int, str], None]
"""(scores there, scores wanted, the proxy that comes next)."""
_Task = tuple[int, Architecture]
"""Index of the scorer, and the architecture that it scores."""
_Answer = tuple[float | None, str | None, float]
"""A value or the reason why there is none, and the seconds that it took."""


@final
@dataclass(frozen=True)
class _Scoring:
    """Work of the processes. It is sent to each of them once, with the scorers' images."""

    scorers: tuple[TrainingFree, ...]

    def __call__(self, task: _Task) -> _Answer:
        number, architecture = task
        started = time.perf_counter()
        value, failed = safe_score(self.scorers[number], architecture)
        return value, failed, round(time.perf_counter() - started, 6)  # as the store keeps it


def score_population(
    architectures: Sequence[Architecture],
    scorers: Sequence[TrainingFree],
    store: ScoreStore,
    *,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[list[Score]]:
    """Return a column of scores for each scorer, in the order of the architectures.

    What the store holds is not computed again, failures included. A score is in the store before the next one begins,
    so that the same call continues after a kill at any moment. Several processes give what one gives, bit for bit;
    where they cannot import a scorer's code, this one does the work. A network over which a process was killed, as when
    memory is short, fails in what this returns, and is tried again by the next call.

    Raises:
        ConfigError: the data do not go with the networks, or another error that all networks would meet.
    """
    tasks = [(number, a) for a in dict.fromkeys(architectures) for number in range(len(scorers))]
    keys = {(scorers[number].metric, scorers[number].producer, a.key): (number, a) for number, a in tasks}
    todo = [
        (number, a) for (metric, producer, _), (number, a) in keys.items() if store.get(a, metric, producer) is None
    ]
    lost: dict[tuple[str, str], Score] = {}
    done = len(keys) - len(todo)

    def begin(task: _Task) -> None:
        if progress is not None:
            progress(done, len(keys), scorers[task[0]].name)

    with closing(_answers(_Scoring(tuple(scorers)), todo, processes, begin)) as answers:
        for (number, architecture), answer in answers:
            scorer = scorers[number]
            if isinstance(answer, Ended):
                lost[scorer.producer, architecture.key] = _lost(scorer, architecture, answer)
            else:
                _keep(store, scorer, architecture, answer)
            done += 1
    if progress is not None:
        progress(done, len(keys), "")
    return [[store.get(a, s.metric, s.producer) or lost[s.producer, a.key] for a in architectures] for s in scorers]


def _answers(
    scoring: _Scoring, todo: Sequence[_Task], processes: int, begin: Callable[[_Task], None]
) -> Generator[tuple[_Task, _Answer | Ended], None, None]:
    """Yield tasks with their answers, from several processes if requested; from this one what they cannot import."""
    here = list[_Task]()
    if processes > 1 and len(todo) > 1:
        with closing(map_in_processes(scoring, todo, processes, begin)) as answers:
            for task, answer in answers:
                if isinstance(answer, Unloadable):
                    here.append(task)
                else:
                    yield task, answer
    else:
        here = list(todo)
    for task in here:
        begin(task)
        yield task, scoring(task)


def _keep(store: ScoreStore, scorer: TrainingFree, architecture: Architecture, answer: _Answer) -> None:
    value, failed, elapsed_s = answer
    if value is None:
        store.record_failure(architecture, scorer.metric, str(failed), producer=scorer.producer, elapsed_s=elapsed_s)
    else:
        store.record(architecture, scorer.metric, value, producer=scorer.producer, elapsed_s=elapsed_s)


def _lost(scorer: TrainingFree, architecture: Architecture, ended: Ended) -> Score:
    return Score(
        architecture, scorer.metric, scorer.producer, None, f"the process that scored it {ended.how}", 0.0, timestamp()
    )
