"""Storage of a study: an Optuna study for each plan, an entry for each trial, written when it is told."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, final

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hwnas.errors import HwnasError, RunError, reason
from hwnas.io.fields import FieldError, Fields
from hwnas.io.storage_url import driver_message, storage_url
from hwnas.pareto import Tier
from hwnas.search.evaluate import Evaluation
from hwnas.search.storage.backends import damaged, open_storage, quiet, shown, transaction
from hwnas.search.storage.retry import retry
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture

_DIED = re.compile(r"(\d+) workers died while they scored it")
_TRANSIENT = ("gp:relative_params", "tpe:relative_params")
"""Attributes by which Optuna's samplers share open trials; of no use once a trial is told."""


def open_trials(plan: StudySpec, storage: Path | str, name: str) -> tuple[optuna.Study, tuple[str, ...]]:
    """Open the stored study of a plan, made if it is not there, and notices; a path is a journal file, a text is a URL.

    A changed plan is another study in the same storage, so trials under other limits or scores never mix.

    Raises:
        RunError: the storage is damaged or cannot be used.
    """
    backend: BaseStorage
    try:
        backend, notices = open_storage(storage)
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # metric names are experimental; they label the dashboard
            study = optuna.create_study(
                storage=backend,
                study_name=f"{name}-{plan.digest}",
                directions=directions(plan.tier),
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(),
            )
            if study.directions != directions(plan.tier):
                raise damaged(shown(storage), FieldError("its `directions` are not those of its objectives"))
            if "plan" not in study.user_attrs:
                study.set_metric_names([objective.metric for objective in plan.tier.objectives])
                study.set_user_attr("plan", plan.identity)
                notices += _others(study, plan, storage, name)
    except HwnasError:
        raise
    except (OSError, KeyError, TypeError, ValueError, optuna.exceptions.OptunaError, ImportError) as error:
        raise damaged(shown(storage), error) from error
    except Exception as error:  # a database's own errors have no common base
        words = driver_message(error, storage_url(storage)) if isinstance(storage, str) else reason(error)
        raise RunError(
            f"the study cannot be kept here ({words})",
            where=shown(storage),
            allowed="A path, or a URL: sqlite:///study.db, postgresql+psycopg://user@host/name, grpc://host:13000",
            do="Correct the URL, or leave it out",
        ) from error
    return study, notices


class TrialStorage(Protocol):
    """Storage of the trials of a study, for later processes, or for others that work on it now."""

    @property
    def claimed(self) -> Collection[str]:
        """Keys of architectures that other processes score now."""

    @property
    def orphans(self) -> Mapping[str, FrozenTrial]:
        """Proposals by key that were claimed, were never told, and belong to nobody now."""

    def failures_of(self, key: str) -> int:
        """Return how many processes died while they scored this architecture."""

    def new_trials(self) -> Sequence[FrozenTrial]:
        """Return the trials told here or elsewhere since the last call, in the order of the storage; at first, all."""

    def claim(self, proposal: FrozenTrial, most: int | None) -> bool:
        """Return whether this process may score the proposal; False if another one, or `most` others, were faster."""

    def append(self, trial: FrozenTrial) -> bool:
        """Keep a told trial; False if it was taken away from this process, which was taken for dead.

        Raises:
            RunError: it cannot be written.
        """

    def reopen(self, keys: Collection[str]) -> None:
        """Let these architectures be claimed and kept anew, although they were told."""

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context manager: all that is stored within its block is on the disk at its end."""

    def close(self) -> None:
        """Give back what is claimed and not told."""


@final
class ExclusiveStorage:
    """A study of one process: a trial is written when it is told, as one entry, so that none is ever half-written."""

    claimed: Collection[str] = ()
    orphans: Mapping[str, FrozenTrial] = {}

    def __init__(self, study: optuna.Study) -> None:
        self._study, self._read = study, False

    def new_trials(self) -> Sequence[FrozenTrial]:
        """Return all trials at the first call, none later."""
        if self._read:
            return ()
        self._read = True
        return self._study.get_trials(deepcopy=False)

    def failures_of(self, key: str) -> int:
        """Return 0: deaths are not recorded here."""
        return 0

    def claim(self, proposal: FrozenTrial, most: int | None) -> bool:
        """Return True: no other process competes."""
        return True

    def append(self, trial: FrozenTrial) -> bool:
        """Write the trial as one entry."""
        entry, before = entry_of(trial), False

        def append() -> None:
            nonlocal before
            if before and any(same(stored, trial) for stored in self._study.get_trials(False)):
                return  # it was written, and only the answer was lost
            before = True
            self._study.add_trial(entry)

        with writing(self._study, trial):
            retry(append)
        return True

    def reopen(self, keys: Collection[str]) -> None:
        """Do nothing: a study of one process keeps no claims."""

    def transaction(self) -> AbstractContextManager[None]:
        """See `hwnas.search.storage.backends.transaction`."""
        return transaction(self._study._storage)

    def close(self) -> None:
        """Do nothing: a study of one process keeps no claims to give back."""


def same(trial: FrozenTrial, finished: FrozenTrial) -> bool:
    """Return whether a stored trial is the told one, and not an earlier one of the same architecture."""
    ours, theirs = finished.user_attrs, trial.user_attrs
    return theirs.get("key") == ours["key"] and theirs.get("deaths") == ours.get("deaths")


@contextmanager
def writing(study: optuna.Study, trial: FrozenTrial) -> Iterator[None]:
    """Turn a storage's errors into one that says which trial is lost."""
    try:
        yield
    except HwnasError:  # the storage stayed away
        raise
    except Exception as error:  # a database's own errors have no common base
        raise RunError(
            f"trial {trial.number} cannot be kept ({reason(error)})",
            where=f"study `{study.study_name}`",
            allowed="The storage must be there, writable and not full",
            do="Correct that and run the same command again; only this trial is lost",
        ) from error


def entry_of(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial without the attributes that are of no use once it is told."""
    entry = copy.copy(trial)
    entry.system_attrs = {k: v for k, v in trial.system_attrs.items() if not k.startswith(_TRANSIENT)}
    return entry


def directions(tier: Tier) -> list[StudyDirection]:
    """Return the natural directions of the tier's objectives."""
    return [StudyDirection.MINIMIZE if o.goal == "min" else StudyDirection.MAXIMIZE for o in tier.objectives]


def attributes(evaluation: Evaluation, unscored: Sequence[str]) -> dict[str, Any]:
    """Return an evaluation as attributes of a trial."""
    result: dict[str, Any] = {
        "key": evaluation.architecture.key,
        "architecture": evaluation.architecture.as_dict(),
        "scores": dict(evaluation.scores),
        "broken": list(evaluation.broken),
        "elapsed_s": evaluation.elapsed_s,
    }
    if evaluation.failed is not None:
        result["reason"] = evaluation.failed
        if evaluation.deaths:
            result["deaths"] = evaluation.deaths
    elif unscored:
        result["unscored"] = list(unscored)
    return result


def evaluation_of(trial: FrozenTrial) -> Evaluation | None:
    """Return the evaluation that a stored trial was told with; None for a trial that hwnas did not tell.

    Raises:
        RunError: the attributes are damaged.
    """
    raw = trial.user_attrs
    failed = trial.state == TrialState.FAIL and "abandoned" not in raw
    if "key" not in raw or not (failed or trial.state == TrialState.COMPLETE):
        return None
    where = f"trial {trial.number}"
    try:
        fields = Fields(raw)
        architecture = _architecture(fields.object("architecture"), where)
        if architecture.key != fields.text("key"):
            raise FieldError(f"`key` is {fields.text('key')}, the architecture's is {architecture.key}")
        if "unscored" in fields:
            fields.texts("unscored")
        return Evaluation(
            architecture,
            fields.number_map("scores"),
            fields.texts("broken"),
            fields.number("elapsed_s"),
            fields.text("reason") if "reason" in fields else None,
            deaths_of(trial),
        )
    except (FieldError, HwnasError) as error:
        raise damaged(where, error) from error


def _architecture(raw: Fields, where: str) -> Architecture:
    """Parse the architecture, whose picks must be plain values."""
    raw.text("space")
    for name, value in (picks := raw.object("picks")).raw.items():
        if not isinstance(value, int | float | str):
            picks.text(name)
    return Architecture.from_dict(raw.raw, where=where)


def deaths_of(trial: FrozenTrial) -> int:
    """Return how many workers died while scoring a trial that failed because of it; hwnas 0.x wrote it in words."""
    if trial.state != TrialState.FAIL:
        return 0
    words = _DIED.match(str(trial.user_attrs.get("reason", "")))
    deaths = trial.user_attrs.get("deaths", int(words[1]) if words else 0)
    return deaths if type(deaths) is int and deaths > 0 else 0


def _others(study: optuna.Study, plan: StudySpec, storage: Path | str, name: str) -> tuple[str, ...]:
    """Return a notice if the storage holds a study of this name that was made by another plan."""
    summaries = optuna.get_all_study_summaries(study._storage, include_best_trial=False)
    others = [s for s in summaries if s.study_name.startswith(f"{name}-") and s.study_name != study.study_name]
    if not others:
        return ()
    before = others[-1].user_attrs.get("plan", {})
    changed = [part for part, text in plan.identity.items() if before.get(part) != text]
    return (
        f"{shown(storage)}: a new study begins, for {' and '.join(changed)} changed; the {others[-1].n_trials} trials "
        "before stay as they are, and scores that are stored are not computed again",
    )
