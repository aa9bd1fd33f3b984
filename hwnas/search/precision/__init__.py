"""Precision as a gene of a tier: candidates are an architecture and a precision."""

from __future__ import annotations

from hwnas.search.precision.candidate import (
    Producers,
    candidate_label,
    candidate_of,
    split_candidate,
    stored_as,
)
from hwnas.search.precision.space import PrecisionSpace

__all__ = [
    "PrecisionSpace",
    "Producers",
    "candidate_label",
    "candidate_of",
    "split_candidate",
    "stored_as",
]
