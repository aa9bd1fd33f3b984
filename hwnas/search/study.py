"""A study: ask, evaluate, tell; kept so that the next process goes on where this one stopped."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

import optuna
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.trial import FrozenTrial, TrialState

from hwnas.errors import RunError, SpaceError
from hwnas.rows import frame
from hwnas.search.evaluate import Evaluation, evaluation_rows
from hwnas.search.fronts import Archive
from hwnas.search.genome import Genome, Proposer, SearchSpace, SpaceExhausted, trial_seed
from hwnas.search.progress import Finished, Progress
from hwnas.search.samplers import make_sampler
from hwnas.search.storage.exclusive import (
    ExclusiveStorage,
    TrialStorage,
    deaths_of,
    directions,
    evaluation_of,
    open_trials,
)
from hwnas.search.storage.in_memory import IN_MEMORY, InMemoryStorage
from hwnas.search.storage.shared import HEARTBEAT_GRACE_S, MAX_DEATHS, SharedStorage, proposal_of
from hwnas.search.storage.trials import check_trial, finished_trial
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture
from hwnas.words import brief, counted

if TYPE_CHECKING:
    from pandas import DataFrame

POLL_S = 0.2
"""Seconds between two looks for what other processes have told."""


@brief
@dataclass(frozen=True)
class Trial:
    """An architecture to evaluate, to be told with its evaluation."""

    number: int
    architecture: Architecture
    proposal: FrozenTrial = field(repr=False, compare=False)
    """The genome, with the sampler's notes on it."""


@final
class Study:
    """Study that asks and tells; made by `open_study`.

    Proposals are made by a working copy in memory. What is kept gets each trial once, whole, when it is told: a killed
    process leaves nothing half-done behind. Each trial has its own sampler, seeded by the plan's seed and the trial's
    number, so a study that was continued is the study that was never interrupted; with several trials open at
    a time, only if they are told in the order in which they were asked. A study that is shared with other processes
    takes over what these told before it asks, and claims what it asks for.
    """

    def __init__(self, plan: StudySpec, storage: TrialStorage | None = None, notices: tuple[str, ...] = ()) -> None:
        self.plan = plan
        self.notices = notices
        self.ended = ""
        """Reason why no more is tried; empty while there is none."""
        self._kept = storage
        self._genome = Genome(plan.space)
        self._count = _count(plan.space)
        self._archive = Archive(plan.tier)
        self._told: dict[str, Evaluation] = {}
        self._open: set[str] = set()
        self._worst: dict[str, float] = {}
        self._died: dict[str, FrozenTrial] = {}
        """Kept trials that failed because workers died, by key."""
        self._again: dict[str, FrozenTrial] = {}
        """Those of them that are tried once more."""
        sampler = self._sampler(0)
        genetic = type(sampler) if isinstance(sampler, BaseGASampler) else None
        self._genetic = genetic is not None
        self._memory = InMemoryStorage(directions(plan.tier), genetic)
        self._generation = 0
        self.sync()
        self._before = len(self._told)

    def __repr__(self) -> str:
        return f"Study(tier={self.plan.tier.name!r:.99}, {counted(self.n_trials, 'trial')}, front of {len(self.front)})"

    def frame(self, origin: Mapping[str, str] | None = None) -> DataFrame:
        """Return a row for each evaluation as a pandas frame, with the origins of metrics that are given."""
        return frame(evaluation_rows(self.evaluations, origin or {}))

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """All that was told, in order."""
        return tuple(self._told.values())

    @property
    def n_trials(self) -> int:
        """Number of evaluations it holds."""
        return len(self._told)

    @property
    def front(self) -> tuple[Evaluation, ...]:
        """The evaluations that no other one beats."""
        return tuple(self._archive.front)

    def ask(self, most: int | None = None) -> Trial | None:
        """Return an architecture that was neither told nor asked before; None if there is none, `ended` says why.

        With `most`, also None while that many are told or being scored, here or elsewhere.
        """
        while True:
            self.sync()
            if most is not None and self._number >= most:
                return None
            if reached := self.plan.rules.reached(self._told.values(), self.plan.tier):
                self.ended = reached
                return None
            proposal = self._orphan() or self._propose()
            if proposal is None:
                return None
            architecture = self._genome.decode(proposal.params)
            proposal.user_attrs = {"key": architecture.key, "architecture": architecture.as_dict()}
            if self._kept is not None and not self._kept.claim(proposal, most):
                proposal.state = TrialState.FAIL  # another process was faster
                continue
            trial = Trial(self._number, architecture, proposal)
            self._open.add(architecture.key)
            if self._kept is None or (deaths := self._kept.failures_of(architecture.key)) < MAX_DEATHS:
                return trial
            self.tell(
                trial,
                Evaluation(
                    architecture, {}, failed=f"{counted(deaths, 'process', 'processes')} died while they scored it"
                ),
            )

    def tell(self, trial: Trial, evaluation: Evaluation) -> None:
        """Take in the evaluation of an asked trial; it is kept when this returns.

        An evaluation that a limit ended early lacks its dear objectives, but Optuna wants a number for each: it gets
        the worst one told so far, named in the trial's attribute `unscored`. Constrained domination never looks at
        it, and it enters neither evaluations nor fronts.

        Raises:
            RunError: the evaluation is another architecture's or incomplete, or cannot be kept.
        """
        self._check(trial, evaluation)
        told = finished_trial(trial.proposal, evaluation, self.plan.tier, self._worst)
        self._memory.push(told)
        self._open.discard(evaluation.architecture.key)
        if self._kept is None or self._kept.append(told):
            self._index(evaluation)
        else:  # this process was taken for dead, and another one has the trial now
            told.state = TrialState.FAIL
            self.sync()

    def tell_all(self, results: Iterable[tuple[Trial, Evaluation]]) -> None:
        """Take in several evaluations, in this order; they are on the disk when this returns.

        Raises:
            RunError: as of `tell`; those before are taken in.
        """
        with self._kept.transaction() if self._kept is not None else nullcontext():
            for trial, evaluation in results:
                self.tell(trial, evaluation)

    def run(
        self,
        evaluate: Callable[[Architecture], Evaluation],
        trials: int,
        progress: Callable[[Progress], None] | None = None,
    ) -> Finished:
        """Ask, evaluate, tell, until `trials` are told (of earlier processes included), or `ended` says why not."""
        started = time.monotonic()
        self.retry()
        while len(self._told) < trials:
            trial = self.ask(most=trials)
            if trial is not None:
                self.tell(trial, evaluate(trial.architecture))
            elif self.waits:
                time.sleep(POLL_S)
            else:
                break
            if progress is not None:
                progress(self.progress(trials, time.monotonic() - started))
        return self.finished(trials)

    def retry(self) -> None:
        """Ask anew what earlier commands told as failed because their workers died: that may not be the network's
        fault."""
        self._again, self._died = {key: trial for key, trial in self._died.items() if key in self._told}, {}
        for key in self._again:
            del self._told[key]
        if self._kept is not None:
            self._kept.reopen(self._again.keys())

    def deaths(self, key: str) -> int:
        """Return how many workers of earlier commands died while they scored this architecture."""
        return deaths_of(self._again[key]) if key in self._again else 0

    @property
    def waits(self) -> bool:
        """True while other processes score something: it will be told, or they die and it is asked again here."""
        return self._kept is not None and bool(self._kept.claimed)

    def finished(self, trials: int) -> Finished:
        """Return how a search for `trials` trials ended."""
        failed = sum(evaluation.failed is not None for evaluation in self._told.values())
        return Finished(len(self._told), failed, self.ended or f"{trials} trials were asked for")

    def progress(self, total: int, elapsed_s: float) -> Progress:
        """Return the progress of the study, of `total` trials after `elapsed_s` seconds."""
        objective, front = self.plan.tier.quality, self._archive.front
        best = min((e.scores[objective.metric] for e in front), key=objective.cost, default=None)
        return Progress(
            len(self._told), total, len(front), self._archive.volume, best, elapsed_s, len(self._told) - self._before
        )

    def sync(self) -> None:
        """Take over stored trials that are not known here: of earlier processes, or of others on the same study."""
        fresh = self._kept.new_trials() if self._kept is not None else ()
        for kept in fresh:
            evaluation = evaluation_of(kept)
            if evaluation is None:
                continue
            check_trial(kept, self.plan.tier, self._genome.distributions, len(fresh) + len(self._told))
            key = evaluation.architecture.key
            if key in self._died:  # it was tried again
                del self._told[key], self._died[key]
            if key not in self._told:
                self._select_parents(kept)
                self._memory.pop(kept)
                self._index(evaluation)
                if evaluation.deaths:
                    self._died[key] = kept

    def close(self) -> None:
        """Give back what was asked and not told. A study that is not shared needs no closing."""
        if self._kept is not None:
            self._kept.close()

    # --- inside ---

    @property
    def _number(self) -> int:
        """Number of the next trial: how many were told, or are being scored here or elsewhere."""
        claimed = len(self._kept.claimed) if self._kept is not None else 0
        return len(self._told) + len(self._open) + claimed

    def _orphan(self) -> FrozenTrial | None:
        """Return a proposal whose process or workers died, to be tried again."""
        orphans = self._kept.orphans.values() if self._kept is not None else ()
        failed = (trial for key, trial in self._again.items() if not self._knows(key))
        for orphan in (*orphans, *failed):
            proposal = proposal_of(orphan, self._memory.begin())
            self._memory.push(proposal)
            return proposal
        return None

    def _propose(self) -> FrozenTrial | None:
        number = self._number
        if self._count is not None and number >= self._count:
            self.ended = f"all {self._count:,} architectures of the space were tried"
            return None
        seed, first = trial_seed(self.plan.seed, number), self.plan.first
        sampler = Proposer(
            self._genome,
            self._sampler(number),
            random.Random(seed),
            self._knows,
            next((architecture for architecture in first if not self._knows(architecture.key)), None),
        )
        proposal, genes = self._memory.begin(), self._genome.distributions
        try:
            proposal.params = sampler.sample_relative(self._optuna_view(sampler), proposal, genes)
        except SpaceExhausted as nothing:
            proposal.state = TrialState.FAIL
            self.ended = str(nothing)
            return None
        proposal.distributions = genes
        return proposal

    def _sampler(self, number: int) -> BaseSampler:
        plan = self.plan
        return make_sampler(plan.sampler, trial_seed(plan.seed, number), plan.population, plan.guide)

    def _knows(self, key: str) -> bool:
        return key in self._told or key in self._open or (self._kept is not None and key in self._kept.claimed)

    def _optuna_view(self, sampler: BaseSampler) -> optuna.Study:
        """Return the working copy as samplers see it: a new study each time, which has no stale list of the trials."""
        return optuna.Study(IN_MEMORY, self._memory, sampler)

    def _index(self, evaluation: Evaluation) -> None:
        self._told[evaluation.architecture.key] = evaluation
        self._archive.add(evaluation)
        for objective in self.plan.tier.objectives:
            if (value := evaluation.scores.get(objective.metric)) is not None:
                worst = self._worst.get(objective.metric, value)
                self._worst[objective.metric] = max(worst, value, key=objective.cost)

    def _check(self, trial: Trial, evaluation: Evaluation) -> None:
        problem, key = "", trial.architecture.key
        if evaluation.architecture != trial.architecture:
            problem = f"architecture {key} was asked, {evaluation.architecture.key} was told"
        elif key not in self._open:
            problem = f"architecture {key} was told before"
        elif not (evaluation.failed or evaluation.broken):
            missing = [o.metric for o in self.plan.tier.objectives if o.metric not in evaluation.scores]
            problem = f"architecture {key} has no score for {', '.join(missing)}" if missing else ""
        if problem:
            raise RunError(
                problem,
                where=f"study of tier `{self.plan.tier.name}`",
                allowed="Each asked trial is told once, with all objectives unless it failed or broke a limit",
                do="Tell what `evaluate` returned for the trial's architecture",
            )

    def _select_parents(self, kept: FrozenTrial) -> None:
        """Have a genetic sampler choose its parents for a stored trial again, before more trials are known."""
        if not self._genetic or not self._genome.distributions:
            return
        sampler = self._sampler(len(self._told))
        if isinstance(sampler, BaseGASampler) and sampler._get_generation_key() in kept.system_attrs:
            generation = sampler.get_trial_generation(self._optuna_view(sampler), kept)
            if generation > self._generation:
                sampler.get_parent_population(self._optuna_view(sampler), generation)
                self._generation = generation


def open_study(
    plan: StudySpec,
    storage: Path | str | None = None,
    *,
    name: str | None = None,
    shared: bool = False,
    heartbeat_timeout_s: float = HEARTBEAT_GRACE_S,
) -> Study:
    """Open the study of a plan, with all trials that were told to it before.

    `storage` is a journal file (a Path), an Optuna storage URL (a str), or None for a study that is not kept. `name`
    begins the study's name in the storage (default: the tier's). Several processes may work on a study that all of them
    open as `shared`; one of them elsewhere that is silent for `heartbeat_timeout_s` seconds is taken for dead. A study
    that is not shared belongs to one process at a time; see `RunLock`.

    Raises:
        RunError: the storage is damaged or cannot be used.
    """
    if storage is None:
        return Study(plan)
    study, notices = open_trials(plan, storage, name or plan.tier.name)
    return Study(plan, SharedStorage(study, heartbeat_timeout_s) if shared else ExclusiveStorage(study), notices)


def _count(space: SearchSpace) -> int | None:
    try:
        return space.count
    except SpaceError:
        return None
