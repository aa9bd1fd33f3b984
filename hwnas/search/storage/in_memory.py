"""The working copy of a study: an Optuna storage of one study, in which trials come and go whole."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn, final

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

IN_MEMORY = "memory"


@final
class InMemoryStorage(BaseStorage):
    """Storage of the trials that samplers look at; the content of a told trial is never copied.

    Optuna's own storage in memory copies a trial for each of its parameters and attributes. And a genetic sampler reads
    all trials for every proposal, of which it uses the last generations: with `generations_of`, it is handed no others,
    so that the 100,000th proposal costs what the hundredth did.
    """

    def __init__(self, directions: Sequence[StudyDirection], generations_of: type[BaseGASampler] | None = None) -> None:
        self._directions = list(directions)
        self._attributes: dict[str, Any] = {}
        self._trials: list[FrozenTrial] = []
        self._window = _Window(generations_of) if generations_of is not None else None

    # --- trials, whole ---

    def begin(self) -> FrozenTrial:
        """Add and return a new trial without parameters."""
        trial = FrozenTrial(len(self._trials), TrialState.RUNNING, None, datetime.now(), None, {}, {}, {}, {}, {}, -1)
        return self.pop(trial)

    def pop(self, trial: FrozenTrial) -> FrozenTrial:
        """Add a trial from elsewhere and return it, under the next number."""
        taken = copy.copy(trial)
        taken.number = taken._trial_id = len(self._trials)
        self._trials.append(taken)
        return taken

    def push(self, trial: FrozenTrial) -> None:
        """Replace the trial of this number."""
        self._trials[trial.number] = trial

    # --- what samplers ask for ---

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return all trials, or those of the last generations."""
        trials = self._trials if self._window is None else self._window.of(self._trials, self._attributes)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else list(trials)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return the trial of a number."""
        return self._trials[trial_id]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note a sampler's attribute on a trial."""
        self._trials[trial_id].system_attrs[key] = value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note a user's attribute on a trial."""
        self._trials[trial_id].user_attrs[key] = value

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes that samplers noted on the study."""
        return self._attributes

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Note a sampler's attribute on the study."""
        self._attributes[key] = value

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of the tier's objectives."""
        return self._directions

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return 0: there is one study."""
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of the one study."""
        return IN_MEMORY

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return an empty dictionary: the working copy keeps none."""
        return {}

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the one study."""
        return [FrozenStudy(IN_MEMORY, None, {}, self._attributes, 0, directions=self._directions)]

    # --- what nobody asks of a working copy ---

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See `begin` and `pop`."""
        _never("create_new_trial")

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """There is one study."""
        _never("create_new_study")

    def delete_study(self, study_id: int) -> None:
        """There is one study."""
        _never("delete_study")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """There are none."""
        _never("set_study_user_attr")

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """See `push`."""
        _never("set_trial_param")

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """See `push`."""
        _never("set_trial_state_values")

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """There are none."""
        _never("set_trial_intermediate_value")


@final
class _Window:
    """The trials that a genetic sampler can look at: those of its last two generations, and the parents of these."""

    def __init__(self, sampler: type[BaseGASampler]) -> None:
        self._generation, self._parents = sampler._get_generation_key(), sampler._get_parent_cache_key_prefix()
        self._seen: list[int] = []
        self._next = 0
        self._last = 0

    def of(self, trials: Sequence[FrozenTrial], attributes: Mapping[str, Any]) -> list[FrozenTrial]:
        self._seen.extend(range(self._next, len(trials)))
        self._next = len(trials)
        shown = [trials[number] for number in self._seen]
        last = max((self._of(trial, 0) for trial in shown if trial.state == TrialState.COMPLETE), default=0)
        if last > self._last:
            self._last = last
            parents = {
                number
                for generation in (last - 1, last)
                for number in attributes.get(f"{self._parents}{generation}", ())
            }
            shown = [
                trial
                for trial in shown
                if not trial.state.is_finished() or trial.number in parents or self._of(trial, last) >= last - 1
            ]
            self._seen = [trial.number for trial in shown]
        return shown

    def _of(self, trial: FrozenTrial, unknown: int) -> int:
        generation: int = trial.system_attrs.get(self._generation, unknown)
        return generation


def _never(what: str) -> NoReturn:
    raise AssertionError(f"`{what}` is not asked of a working copy")
