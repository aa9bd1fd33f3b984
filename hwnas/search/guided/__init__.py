"""The sampler `guided`: costs are known of all networks, accuracy is learned; what promises most is evaluated."""

from __future__ import annotations

from hwnas.search.guided.brood import best_within
from hwnas.search.guided.candidates import Candidates, candidates_of, grid
from hwnas.search.guided.guide import Guide
from hwnas.search.guided.sampler import GuidedSampler

__all__ = ["Candidates", "Guide", "GuidedSampler", "best_within", "candidates_of", "grid"]
