"""The sampler `guided`: costs are known of all networks, accuracy is learned; what promises most is evaluated."""

from __future__ import annotations

from hwnas.search.surrogate.acquisition import Acquisition
from hwnas.search.surrogate.batch_proposal import best_within
from hwnas.search.surrogate.candidates import Candidates, candidates_of, grid
from hwnas.search.surrogate.sampler import GuidedSampler

__all__ = ["Acquisition", "Candidates", "GuidedSampler", "best_within", "candidates_of", "grid"]
