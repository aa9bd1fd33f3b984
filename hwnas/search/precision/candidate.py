"""Candidates of a search that chooses precisions: an architecture with one pick more. Architectures know no precision,
nor do the scores that are stored of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from hwnas.space import Architecture

PRECISION_GENE = "precision"
"""Name of the gene beside the choices of a space."""
Producers: TypeAlias = Mapping[str, str | Mapping[str, str]]
"""Producers by metric; where candidates have precisions, by metric and precision."""


def candidate_of(architecture: Architecture, precision: str | None) -> Architecture:
    """Return the candidate of an architecture in a precision; the architecture itself where there is none."""
    if precision is None:
        return architecture
    return replace(architecture, picks=tuple(sorted([*architecture.picks, (PRECISION_GENE, precision)])))


def split_candidate(candidate: Architecture) -> tuple[Architecture, str | None]:
    """Return the architecture of a candidate and its precision, None where it has none."""
    precision = next((str(value) for name, value in candidate.picks if name == PRECISION_GENE), None)
    if precision is None:
        return candidate, None
    return replace(candidate, picks=tuple(pick for pick in candidate.picks if pick[0] != PRECISION_GENE)), precision


def candidate_label(candidate: Architecture) -> str:
    """Return the key of the candidate's architecture, followed by the precision if it has one."""
    architecture, precision = split_candidate(candidate)
    return architecture.key if precision is None else f"{architecture.key} in {precision}"


def stored_as(candidate: Architecture, producer: str | Mapping[str, str]) -> tuple[Architecture, str]:
    """Return the architecture and the producer under which a candidate's score is stored.

    An accuracy is of an architecture; its precision stands in the name of what made the accuracy.
    """
    if isinstance(producer, str):
        return candidate, producer
    architecture, precision = split_candidate(candidate)
    return architecture, producer[str(precision)]
