"""The plan of a study: all that decides which architectures it tries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hwnas.pareto import Tier
from hwnas.search.early_stopping import NO_EARLY_STOPPING, EarlyStopping
from hwnas.search.genome import SearchSpace
from hwnas.space import Architecture
from hwnas.words import brief

if TYPE_CHECKING:
    from hwnas.search.surrogate import Acquisition


@brief
@dataclass(frozen=True)
class StudySpec:
    """Plan of a study. Equal plans try equal architectures in equal order; the number of trials is not part of it."""

    space: SearchSpace
    tier: Tier
    sampler: str = "nsga2"
    population: int = 20
    seed: int = 0
    producers: Mapping[str, str] = field(default_factory=dict)
    """Origin of each score, by metric: scores of different origins do not mix in one study."""
    first: tuple[Architecture, ...] = ()
    """Architectures that are tried before the sampler proposes any, such as the smallest and the largest network."""
    guide: Acquisition | None = field(default=None, compare=False)
    """Knowledge of all networks beforehand, for samplers that use it; worked out from the rest of the plan,
    except for its confidence."""

    rules: EarlyStopping = field(default=NO_EARLY_STOPPING, compare=False)
    """Rules that end the study before the number of trials is reached; not part of the plan either."""

    @property
    def identity(self) -> dict[str, str]:
        """Each part as text, for telling plans apart."""
        choices = json.dumps([(choice.name, choice.options) for choice in self.space.choices])
        return {
            "space": f"{self.space.name} {hashlib.sha256(choices.encode()).hexdigest()[:8]}",
            "objectives": ", ".join(f"{o.metric} {o.goal}" for o in self.tier.objectives),
            "limits": ", ".join(map(str, self.tier.limits)),
            "sampler": self.sampler + (self.guide.description if self.guide is not None else ""),
            "population": str(self.population),
            "seed": str(self.seed),
            "producers": ", ".join(f"{metric}: {producer}" for metric, producer in sorted(self.producers.items())),
            "first": ", ".join(architecture.key for architecture in self.first),
        }

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of the identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:8]
