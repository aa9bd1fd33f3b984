"""Checks that the stored parts of a search agree: studies, the score store, fronts. They write nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hwnas.errors import HwnasError, RunError, reason
from hwnas.io.fields import FieldError, Fields
from hwnas.io.storage_url import driver_message, storage_url
from hwnas.pareto import Tier
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import read_front, tier_front
from hwnas.search.precision.assignment import is_mixed
from hwnas.search.precision.candidate import split_candidate
from hwnas.search.score_store import Score, ScoreStore
from hwnas.search.storage.backends import probe, quiet, replayed, shown
from hwnas.search.storage.exclusive import evaluation_of
from hwnas.search.storage.heartbeat import is_alive_here
from hwnas.words import brief

Severity = Literal["error", "note"]


@dataclass(frozen=True)
class Issue:
    """One inconsistency; a note is one that the next command settles by itself."""

    severity: Severity
    problem: str
    where: str
    allowed: str
    do: str

    @classmethod
    def of(cls, error: HwnasError) -> Issue:
        """Return an error as an issue."""
        return cls("error", error.met, error.where, error.allowed, error.do)


@brief
@dataclass(frozen=True)
class StoredStudy:
    """A study as its storage has it."""

    name: str
    where: str
    trials: Sequence[FrozenTrial]
    workers: Mapping[str, Mapping[str, object]]
    plan: Mapping[str, str] = field(default_factory=dict)
    """The parts of its plan, as `StudySpec.identity` gives them."""

    @cached_property
    def evaluated(self) -> list[tuple[FrozenTrial, Evaluation]]:
        """The trials that hwnas evaluated, each with its evaluation."""
        return [(trial, evaluation) for trial in self.trials if (evaluation := evaluation_of(trial)) is not None]


def stored_studies(storage: Path | str, prefix: str) -> list[StoredStudy]:
    """Return the studies of a storage whose names begin with `prefix`; a journal is read as it is.

    Raises:
        RunError: it cannot be read.
    """
    where = shown(storage)
    try:
        with quiet():
            backend: BaseStorage | None
            backend = replayed(storage) if isinstance(storage, Path) else probe(storage)
            if backend is None:
                return []
            return [
                StoredStudy(
                    study.study_name,
                    where,
                    backend.get_all_trials(study._study_id, deepcopy=False),
                    {k.partition(":")[2]: v for k, v in study.user_attrs.items() if k.startswith("worker:")},
                    study.user_attrs.get("plan", {}),
                )
                for study in backend.get_all_studies()
                if study.study_name.startswith(prefix)
            ]
    except HwnasError:
        raise
    except Exception as error:  # a database's own errors have no common base
        words = driver_message(error, storage_url(storage)) if isinstance(storage, str) else reason(error)
        raise RunError(
            f"the study cannot be read ({words})",
            where=where,
            allowed="A study is a log that Optuna wrote, or lies in a database that answers",
            do="Restore it, or remove it and search again; scores that are stored are not computed again",
        ) from error


def check_study(study: StoredStudy, tier: Tier) -> Iterator[Issue]:
    """Yield issues of trials: damaged, told twice, told with values other than scores, or left by dead processes."""
    first: dict[str, int] = {}
    replaced: set[int] = set()
    """Trials that may be told anew, for they failed because workers died."""
    for trial in study.trials:
        where = f"{study.where}, study {study.name}, trial {trial.number}"
        try:
            evaluation = evaluation_of(trial)
        except HwnasError as error:
            yield Issue("error", error.met, where, error.allowed, error.do)
            continue
        if evaluation is None:
            yield from _left(trial, study, where)
            continue
        key = evaluation.architecture.key
        if key in first and first[key] not in replaced:
            yield Issue(
                "error",
                f"architecture {key} was told before, in trial {first[key]}",
                where,
                "Each architecture of a study is told once: something else wrote here",
                "Restore the file, or search under a new name; scores that are stored are not computed again",
            )
        first[key] = first[key] if key in first and first[key] not in replaced else trial.number
        if evaluation.deaths:
            replaced.add(trial.number)
        unscored = set(trial.user_attrs.get("unscored", ()))
        for objective, value in zip(tier.objectives, trial.values or (), strict=False):
            score = evaluation.scores.get(objective.metric)
            if objective.metric not in unscored and score != value:
                yield Issue(
                    "error",
                    f"its value of {objective.metric} is {value}, its score {score}",
                    where,
                    "The values of a trial are its scores",
                    "Search under a new name: something else wrote here",
                )


def _left(trial: FrozenTrial, study: StoredStudy, where: str) -> Iterator[Issue]:
    worker = str(trial.user_attrs.get("worker"))
    if trial.state == TrialState.RUNNING and worker in study.workers:
        alive = _lives(study.workers[worker])
        if alive is not True:
            state = "has died" if alive is False else "is on another machine"
            yield Issue(
                "note",
                f"it was claimed and not told; its process {state}",
                where,
                "A claim is told, or taken over once its process is dead",
                "Search again: it is asked anew",
            )


def _lives(card: object) -> bool | None:
    """Return whether the process with this card lives; None where it cannot be known."""
    try:
        fields = Fields(card)
        fields.text("place")
        fields.integer("pid")
        return is_alive_here(fields.raw)
    except FieldError:
        return None


def check_store(store: ScoreStore, study: StoredStudy, metric: str, *, whole: bool) -> Iterator[Issue]:
    """Yield issues of trials whose accuracy differs from the store's, and if it is `whole`, of those that it lacks."""
    by_key: dict[str, list[Score]] = {}
    for score in store.scores:
        if score.metric == metric:
            by_key.setdefault(score.architecture.key, []).append(score)
    lost = []
    for trial, evaluation in study.evaluated:
        value, key = evaluation.scores.get(metric), split_candidate(evaluation.architecture)[0].key
        known = [score.value for score in by_key.get(key, ())]
        if value is not None and not known:
            lost.append(trial.number)
        elif value is not None and value not in known:
            yield Issue(
                "error",
                f"{metric} of architecture {key} is {value} here, {', '.join(map(str, known))} in the store",
                f"{study.where}, study {study.name}, trial {trial.number}",
                f"{store.path} holds what a trial was told with",
                "Restore the file that is older, or search under a new name",
            )
    if lost and whole:
        yield Issue(
            "error",
            f"{metric} of {len(lost)} of {len(study.evaluated)} trials, the first of them {lost[0]}: "
            "there is nothing in the store",
            f"{study.where}, study {study.name}",
            f"{store.path} holds what a trial was told with",
            "Search again: those of the study that it continues are put back; or restore the file",
        )


def check_front(path: Path, studies: Iterable[StoredStudy], tier: Tier, *, cut: bool = False) -> Iterator[Issue]:
    """Yield an issue if a front's file is damaged, or is the front of none of the studies as they are now; `cut` if one
    has lost its last line. One that was decided by estimates may lack what a study was told since."""
    try:
        points = read_front(path)
    except HwnasError as error:
        yield Issue.of(error)
        return
    shown = {point.candidate.key: dict(point.scores) for point in points if not is_mixed(point.precision)}
    evaluations = [[evaluation for _, evaluation in study.evaluated] for study in studies]
    of = [{point.candidate.key: dict(point.scores) for point in tier_front(each, tier)} for each in evaluations]
    by_estimates = any(point.estimates for point in points)
    solved = len(shown) < len(points)  # networks with a precision for each operator come after the study
    if shown not in of:
        scored = [{e.architecture.key: dict(e.scores) for e in each} for each in evaluations]
        known = any(all(each.get(key) == scores for key, scores in shown.items()) for each in scored)
        if known and (by_estimates or solved):
            return
        yield Issue(
            "note" if known or cut else "error",
            "the study has gone on since it was written" if known else "it holds networks or scores that no study has",
            str(path),
            "A front holds the best of what its study was told",
            "Search again: the front is written anew, and nothing is scored twice",
        )
