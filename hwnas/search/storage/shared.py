"""A study that several processes work on at once, through any storage of Optuna's, without a leader."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from hwnas.search.storage.backends import transaction
from hwnas.search.storage.exclusive import deaths_of, entry_of, writing
from hwnas.search.storage.heartbeat import Heartbeat
from hwnas.search.storage.retry import retry

HEARTBEAT_GRACE_S = 60.0
"""Seconds of silence after which a process elsewhere is taken for dead."""
MAX_DEATHS = 5
"""Processes that may die while they score one architecture; then it counts as failed."""
DIED, BEATEN, RETURNED = "its process died", "another process was faster", "given back"
_WORKER = "worker:"


@final
class SharedStorage:
    """Storage of a study that others work on too: a trial is claimed when it is asked, and finished when it is told.

    A claim is a running trial in the storage. Of two claims of one architecture the lower number counts, and storages
    number one after the other, so both processes see the same winner. A claim whose process died is failed by whoever
    sees it first, and its proposal is tried again.
    """

    def __init__(self, study: optuna.Study, heartbeat_timeout_s: float = HEARTBEAT_GRACE_S) -> None:
        self.claimed: Mapping[str, FrozenTrial] = {}
        self._study, self._storage, self._id = study, study._storage, study._study_id
        self._presence = Heartbeat(self._publish, heartbeat_timeout_s)
        self._next = 0
        self._unfinished: list[int] = []
        self._found: list[FrozenTrial] = []
        self._told: set[str] = set()
        self._claims: dict[str, int] = {}
        self._abandoned: dict[str, FrozenTrial] = {}
        self._died: set[str] = set()
        """Keys of trials told as failed because workers died; they may be told anew."""
        self._deaths: dict[str, int] = {}

    @property
    def orphans(self) -> Mapping[str, FrozenTrial]:
        """Proposals by key that were claimed, were never told, and belong to nobody now."""
        taken = self._told | self.claimed.keys() | self._claims.keys()
        return {key: trial for key, trial in self._abandoned.items() if key not in taken}

    def failures_of(self, key: str) -> int:
        """Return how many processes died while they scored this architecture."""
        return self._deaths.get(key, 0)

    def new_trials(self) -> Sequence[FrozenTrial]:
        """Return the trials that others told since the last call; at first, all that were told."""
        self._look()
        trials, self._found = self._found, []
        return trials

    def claim(self, proposal: FrozenTrial, most: int | None) -> bool:
        """Write a claim, look for claims of others, and take it back if one of those came first."""
        self._presence.begin()
        entry = entry_of(proposal)
        entry.user_attrs = {**proposal.user_attrs, "worker": self._presence.name}
        key, number = proposal.user_attrs["key"], self._create(entry)
        before = len(self._claims)
        self._claims[key] = number
        self._look()
        before += len(self._told) + sum(trial.number < number for trial in self.claimed.values())
        first = key not in self.claimed or self.claimed[key].number > number
        if first and key not in self._told and (most is None or before < most):
            return True
        self._fail_trial(number, BEATEN)
        return False

    def append(self, trial: FrozenTrial) -> bool:
        """Finish the claim. What was finished by another process meanwhile stays as that one left it."""
        key = trial.user_attrs["key"]
        number, entry = self._claims[key], entry_of(trial)

        def finish() -> None:
            trial_id = self._trial_id(number)
            for name, value in entry.user_attrs.items():
                if name not in ("key", "architecture"):
                    self._storage.set_trial_user_attr(trial_id, name, value)
            for name, value in entry.system_attrs.items():
                if name.startswith("constraints"):
                    self._storage.set_trial_system_attr(trial_id, name, value)
            self._storage.set_trial_state_values(trial_id, entry.state, entry.values)

        with writing(self._study, trial):
            try:
                retry(finish)
            except UpdateFinishedTrialError:
                stored = self._trials()[number]
                if "abandoned" in stored.user_attrs and stored.state == TrialState.FAIL:
                    del self._claims[key]
                    return False
        self._told.add(key)
        del self._claims[key]
        return True

    def reopen(self, keys: Collection[str]) -> None:
        """Forget that these architectures were told."""
        self._told.difference_update(keys)
        self._died.difference_update(keys)

    def transaction(self) -> AbstractContextManager[None]:
        """See `hwnas.search.storage.backends.transaction`."""
        return transaction(self._storage)

    def close(self) -> None:
        """Give back what was claimed and not told: others need not wait until this process is taken for dead."""
        for key in list(self._claims):
            with contextlib.suppress(Exception):  # a storage that is away learns it from the beat that stopped
                self._fail_trial(self._claims[key], RETURNED)
        self._presence.end()

    # --- inside ---

    def _trials(self) -> list[FrozenTrial]:
        trials = retry(lambda: self._storage.get_all_trials(self._id, deepcopy=False))
        return sorted(trials, key=lambda trial: trial.number)

    def _look(self) -> None:
        """Sort the trials that changed in the storage since the last look into told, claimed and abandoned."""
        trials = self._trials()
        numbers = [*self._unfinished, *range(self._next, len(trials))]
        self._next, self._unfinished = len(trials), []
        claimed: dict[str, FrozenTrial] = {}
        for trial in (trials[number] for number in numbers):
            key = trial.user_attrs.get("key")
            if not isinstance(key, str):
                continue  # a trial of other hands
            if trial.state.is_finished():
                self._finished(key, trial)
            else:
                self._unfinished.append(trial.number)
                if key not in self._claims or self._claims[key] != trial.number:
                    claimed.setdefault(key, trial)
        self.claimed = claimed
        if claimed:
            self._reap_stale_trials(claimed)

    def _finished(self, key: str, trial: FrozenTrial) -> None:
        reason = trial.user_attrs.get("abandoned") if trial.state == TrialState.FAIL else None
        if reason is not None:
            self._abandoned[key] = trial
            self._deaths[key] = self._deaths.get(key, 0) + (reason == DIED)
        elif key not in self._told or key in self._died:
            self._told.add(key)
            self._found.append(trial)
            (self._died.add if deaths_of(trial) else self._died.discard)(key)

    def _reap_stale_trials(self, claimed: dict[str, FrozenTrial]) -> None:
        """Fail the claims of processes that died."""
        cards = retry(lambda: self._storage.get_study_user_attrs(self._id))
        for key, trial in list(claimed.items()):
            worker = str(trial.user_attrs.get("worker"))
            if not self._presence.is_alive(worker, cards.get(f"{_WORKER}{worker}")):
                del claimed[key]
                self._fail_trial(trial.number, DIED)

    def _fail_trial(self, number: int, reason: str) -> None:
        def fail() -> None:
            trial_id = self._trial_id(number)
            self._storage.set_trial_user_attr(trial_id, "abandoned", reason)
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

        with contextlib.suppress(UpdateFinishedTrialError):  # it was told, or failed by another process
            retry(fail)
        trial = self._trials()[number]
        self._claims = {key: claimed for key, claimed in self._claims.items() if claimed != number}
        self._unfinished = [one for one in self._unfinished if one != number]
        self._finished(trial.user_attrs["key"], trial)

    def _create(self, entry: FrozenTrial) -> int:
        """Create a trial and return its number; one that was written although the answer was lost is reused."""
        tried = False

        def create() -> int:
            nonlocal tried
            if tried and (number := self._own(self._trials(), entry)) is not None:
                return number
            tried = True
            return self._number(self._storage.create_new_trial(self._id, template_trial=entry))

        with writing(self._study, entry):
            return retry(create)

    def _own(self, trials: Iterable[FrozenTrial], entry: FrozenTrial) -> int | None:
        same = ("key", "worker")
        for trial in trials:
            if not trial.state.is_finished() and all(
                trial.user_attrs.get(name) == entry.user_attrs[name] for name in same
            ):
                return trial.number
        return None

    def _number(self, trial_id: int) -> int:
        return self._storage.get_trial_number_from_id(trial_id)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _publish(self, name: str, card: Mapping[str, Any]) -> None:
        self._storage.set_study_user_attr(self._id, f"{_WORKER}{name}", dict(card))


def proposal_of(trial: FrozenTrial, begun: FrozenTrial) -> FrozenTrial:
    """Return a trial that is just begun with an abandoned trial's genome and its sampler's notes."""
    again = copy.copy(begun)
    again.params, again.distributions = dict(trial.params), dict(trial.distributions)
    again.system_attrs = {k: v for k, v in trial.system_attrs.items() if not k.startswith("constraints")}
    return again
