"""Cases that an operator is tested with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hwnas.errors import ConfigError, HwnasError
from hwnas.ops import Operator, Shape
from hwnas.ops.costs import operator_costs
from hwnas.ops.make import operator_of
from hwnas.ops.plugins import line_of

Knobs = Mapping[str, Any]
TRIED_WIDTHS = (
    ({"in_channels": 16, "out_channels": 24}, {"in_channels": 8, "out_channels": 16}),
    ({"in_channels": 16, "out_channels": 16}, {"in_channels": 8, "out_channels": 8}),
)
"""Channels of a larger and a smaller operator, which is tested as a slice of it: unequal ones, and equal ones, where
some operators add a shortcut."""
DEFAULT_SIZES = (8, 8)


@dataclass(frozen=True)
class Case:
    """Operators that differ in sizes alone, the largest first, and the input's axes after the channels."""

    operators: tuple[Operator, ...]
    sizes: tuple[int, ...] = DEFAULT_SIZES

    def __post_init__(self) -> None:
        if not self.operators or len({type(operator) for operator in self.operators}) > 1:
            raise ConfigError(
                f"{len(self.operators)} operators of different kinds, or none, are no case",
                where="contract",
                allowed="A case holds operators of one kind, the largest first",
                do="Give at least one",
            )

    @property
    def kind(self) -> type[Operator]:
        """Their class."""
        return type(self.operators[0])

    @cached_property
    def links(self) -> tuple[tuple[Operator, Shape], ...]:
        """The operators with their input shapes."""
        return tuple((operator, (operator.in_channels, *self.sizes)) for operator in self.operators)


def cases_of(
    kind: type[Operator], given: Sequence[Knobs | Sequence[Knobs]] = (), sizes: tuple[int, ...] | None = None
) -> list[Case]:
    """Return the cases that a class is tested with.

    Args:
        kind: the class.
        given: knobs of a case, or of each of its operators, the largest first. Where a case's single knobs hold no
            channels, `TRIED_WIDTHS` are used. If left out: `examples` of the class, of the same form, or its defaults.
        sizes: the input's axes after the channels. If left out: 8x8, or for operators that do not run on images 8, as
            of a signal, or none, as of a vector.

    Raises:
        ConfigError: a knob without a default is not given.
        SpaceError: a knob is unknown.
    """
    cases = []
    for knobs in given or getattr(kind, "examples", ({},)):
        for line in _lines(knobs):
            _refuse_gaps(kind, line[0])
            operators = tuple(operator_of(kind, one, where=f"what `{kind.__name__}` is tried with") for one in line)
            cases.append(Case(operators, _sizes_for(operators[0]) if sizes is None else sizes))
    return list(dict.fromkeys(cases))


def _sizes_for(operator: Operator) -> tuple[int, ...]:
    for sizes in (DEFAULT_SIZES, DEFAULT_SIZES[:1], ()):
        with suppress(HwnasError):
            operator_costs(operator, (operator.in_channels, *sizes))
            return sizes
    return DEFAULT_SIZES  # where it fails, the checks say how


def _lines(knobs: Knobs | Sequence[Knobs]) -> Iterator[Sequence[Knobs]]:
    if not isinstance(knobs, Mapping):
        yield knobs
    elif {"in_channels", "out_channels"} <= set(knobs):
        yield [knobs]
    else:
        yield from ([{**widths, **knobs} for widths in line] for line in TRIED_WIDTHS)


def _refuse_gaps(kind: type[Operator], knobs: Knobs) -> None:
    needed = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    if lacking := [name for name in needed if name not in knobs]:
        example = "{" + ", ".join(f'"{name}": VALUE' for name in lacking) + "}"
        raise ConfigError(
            f"`{kind.__name__}` has no default for `{lacking[0]}`, and nothing says what to try",
            where=line_of(kind),
            allowed="Knobs are tried with what is given, else with `examples` of the class, else with their defaults",
            do=f"Give --knobs '{example}', or write `examples: ClassVar = ({example},)` in the class",
        )
