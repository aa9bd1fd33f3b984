"""`guided` as a sampler of Optuna's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hwnas.errors import ConfigError
from hwnas.population import Codes
from hwnas.search.surrogate.acquisition import DESIGN, Acquisition, Observations
from hwnas.search.surrogate.candidates import Candidates, Integers, PerNetwork, Table, grid

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

CostOf = Callable[[Mapping[str, Any]], float]
FeaturesOf = tuple[Callable[[Codes], Table], Integers]
UNSCORED = "unscored"
"""Attribute by which hwnas's studies mark values of a trial that are not scores."""


@final
class GuidedSampler(BaseSampler):
    """Sampler of what promises the most hypervolume: the values of all objectives but one are known beforehand.

    >>> sampler = GuidedSampler(known={1: lambda params: latency_ms(params)}, seed=0)
    >>> study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    Parameters must be categorical; others are drawn at random. Proposals were not told before, and are not open.
    """

    def __init__(
        self,
        known: Mapping[int, CostOf] | None = None,
        *,
        features: FeaturesOf | None = None,
        seed: int | None = None,
        design: int = DESIGN,
        guide: Acquisition | None = None,
        exhausted: Callable[[str], Exception] | None = None,
    ) -> None:
        """Set up the sampler with what is known beforehand.

        Args:
            known: by the objective's number, its value as a function of the parameters.
            features: of codes, which are indices into the parameters' choices, and the group of each column.
            seed: with equal seeds, equal studies get equal proposals.
            design: how many networks are evaluated before anything is learned.
            guide: one that was made for the space, in place of the first two.
            exhausted: what to raise when there is nothing new within the limits; a draw at random if left out.
        """
        self._known, self._features, self._design = dict(known or {}), features, design
        self._guide, self._exhausted = guide, exhausted
        self._seed = int(np.random.default_rng(seed).integers(2**31))
        self._random = RandomSampler(seed=self._seed)
        self._space = IntersectionSearchSpace()
        self._made: tuple[dict[str, BaseDistribution], Acquisition] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the categorical parameters that all trials have."""
        shared = self._space.calculate(study)
        return {name: kind for name, kind in shared.items() if isinstance(kind, CategoricalDistribution)}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the network that promises the most.

        Raises:
            ConfigError: not all objectives but one are known.
        """
        if not search_space:
            return {}
        guide = self._guide or self._guide_of(search_space, study.directions)
        learned = _learned(len(study.directions), len(guide.known), self._known)
        sign = 1.0 if study.directions[learned] == StudyDirection.MINIMIZE else -1.0
        trials = study.get_trials(deepcopy=False)
        ended = [t for t in trials if t.state.is_finished() and t.params.keys() >= search_space.keys()]
        open_ = [t for t in trials if t.state == TrialState.RUNNING and t.number != trial.number]
        open_ = [t for t in open_ if t.params.keys() >= search_space.keys()]
        scored = [t.state == TrialState.COMPLETE and UNSCORED not in t.user_attrs for t in ended]
        observations = Observations(
            guide.candidates.encode([t.params for t in ended]),
            np.array([sign * t.values[learned] if ok else np.nan for t, ok in zip(ended, scored, strict=True)]),
            np.array([ok and _holds(t) for t, ok in zip(ended, scored, strict=True)], dtype=np.bool_),
        )
        opened = guide.candidates.encode([t.params for t in open_])
        proposed = guide.propose(observations, opened, (self._seed, trial.number))
        if proposed is not None:
            return guide.candidates.decode(proposed)
        if self._exhausted is not None:
            raise self._exhausted("every network within the limits was tried")
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw at random: for the first trial, and for parameters that are not categorical."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Make draws differ from process to process; proposals do not depend on them."""
        self._random.reseed_rng()

    def _guide_of(self, search_space: dict[str, BaseDistribution], directions: Sequence[StudyDirection]) -> Acquisition:
        if self._made is None or self._made[0] != search_space:
            options = {n: d.choices for n, d in search_space.items() if isinstance(d, CategoricalDistribution)}
            candidates = grid(options, self._features)  # type: ignore[arg-type]  # None is no option of a network
            signs = {number: 1.0 if d == StudyDirection.MINIMIZE else -1.0 for number, d in enumerate(directions)}
            known = [_by_params(cost, signs[number], candidates) for number, cost in sorted(self._known.items())]
            self._made = search_space, Acquisition(candidates, known, design=self._design)
        return self._made[1]


def _learned(objectives: int, known: int, costs: Mapping[int, CostOf]) -> int:
    """Return the number of the objective that is learned; of a guide that was handed in, the first."""
    if known != objectives - 1 or not set(costs) <= set(range(objectives)):
        raise ConfigError(
            f"{known} of {objectives} objectives are known: {', '.join(map(str, sorted(costs))) or 'none by number'}",
            where="sampler `guided`",
            allowed="It learns one objective; of all others the values are known beforehand",
            do="Hand in `known`, a function for each other objective's number, or use another sampler",
        )
    return next((number for number in range(objectives) if number not in costs), 0) if costs else 0


def _by_params(cost: CostOf, sign: float, candidates: Candidates) -> PerNetwork:
    """Return a function of parameters as one of codes; each network is computed once."""
    signed: dict[bytes, float] = {}

    def costs(codes: Codes) -> Any:
        for row in codes:
            if (key := row.tobytes()) not in signed:
                signed[key] = sign * float(cost(candidates.decode(row)))
        return np.array([signed[row.tobytes()] for row in codes])

    return costs


def _holds(trial: FrozenTrial) -> bool:
    return all(excess <= 0 for excess in trial.constraints.values())
