"""Architectures in the notations of their projects. A space file names its notation; a new one is one file, one row.

The common part of forms is in `lists` (entries by key) and in `blocks` (one word a layer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hwnas.errors import SpaceError
from hwnas.ops import Operator, Shape
from hwnas.registry import Family, InstanceOf, member
from hwnas.space import AnySpace, Architecture, Space

NOTATIONS = Family(
    "notations",
    {  # name in a space file -> where it lives; imported on use
        "ofa": "hwnas.notation.ofa:OFA",
        "ofa_resnet": "hwnas.notation.ofa_resnet:OFA_RESNET",
        "attentive_nas": "hwnas.notation.attentive_nas:ATTENTIVE_NAS",
        "fbnet": "hwnas.notation.fbnet:FBNET",
        "autoformer": "hwnas.notation.autoformer:AUTOFORMER",
        "nas_bench_macro": "hwnas.notation.nas_bench_macro:NAS_BENCH_MACRO",
        "nas_bench_201": "hwnas.notation.nas_bench_201:NAS_BENCH_201",
    },
    InstanceOf("hwnas.notation:Notation"),
)


@dataclass(frozen=True)
class Notation:
    """Form in which one project writes down an architecture."""

    read: Callable[[Space, Any, str], Architecture]
    """(space, what JSON or the command line holds, where it stands) -> architecture.

    Raises:
        SpaceError: a key, an entry or a value that does not fit the space, by its name.
    """
    write: Callable[[Space, Architecture], Any]
    """(space, architecture) -> JSON-ready form that `read` reads back."""
    as_written: Callable[[Any, Iterable[tuple[Operator, Shape]]], Mapping[str, int]] | None = None
    """(the form, links of its network) -> costs in the project's own tables, where it counts otherwise than hwnas."""


def read_architecture(space: AnySpace, raw: Any, *, where: str) -> Architecture:
    """The architecture that `raw` describes in the notation of its space.

    Raises:
        SpaceError: the space has no notation, or `raw` does not fit.
    """
    pair = _notation_of(space)
    if pair is None:
        raise SpaceError(
            f"a {type(raw).__name__} without `picks` describes no architecture of space `{space.name}`",
            where=where,
            allowed='The space has no notation of its own: the form is {"space": name, "picks": {choice: value}}',
            do="Print one: `hwnas cost SPACE --architecture random:0 --json`",
        )
    return pair[1].read(pair[0], raw, where)


def write_architecture(space: AnySpace, architecture: Architecture) -> Any:
    """The architecture in the notation of its space, ready for JSON; None where the space has none."""
    pair = _notation_of(space)
    return None if pair is None else pair[1].write(pair[0], architecture)


def counted_as_written(space: AnySpace, raw: Any, links: Iterable[tuple[Operator, Shape]]) -> Mapping[str, int] | None:
    """Return a form's costs as in the project's own tables, by its links; None where hwnas counts the same."""
    pair = _notation_of(space)
    return None if pair is None or pair[1].as_written is None else pair[1].as_written(raw, links)


def _notation_of(space: AnySpace) -> tuple[Space, Notation] | None:
    if not isinstance(space, Space) or not space.notation:
        return None
    return space, member(NOTATIONS, space.notation, what="notation", where=f"space `{space.name}`")
