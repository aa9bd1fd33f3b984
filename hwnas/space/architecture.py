"""Choices and architectures: what is open in a space, and one way to decide it."""

from __future__ import annotations

import hashlib
import json
import math
import random
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from types import NoneType
from typing import Any

from hwnas.errors import SpaceError
from hwnas.words import brief, counted

Value = int | float | str | bool
MOST_OPTIONS = 1000
"""Most options of a choice: each is built once before a run, in about 10 ms, and is a row of each latency table."""
MOST_LETTERS = 200
"""Of an option that is a word."""
LARGEST = 1_000_000_000
"""The largest number allowed in a space: no tensor of PyTorch has longer axes in practice."""


def ascends(options: Sequence[Value]) -> bool:
    """Return whether options that are all numbers, or true and false, stand from small to large; words always do."""
    if not all(isinstance(option, int | float) for option in options):
        return True
    return all(before < after for before, after in pairwise(options))  # type: ignore[operator]


@brief
@dataclass(frozen=True)
class Choice:
    """One open decision: a name and its options.

    Args:
        name: the choice's name, unique in its space.
        options: values that it can take, numbers from small to large.
        weights: for each option, the number of architectures that it leads to, up to a common factor; None if all are
            alike. Drawing by weight at every choice is uniform over architectures.

    Example:
        >>> choice = Choice("stem.width", (8, 16))
        >>> choice.option(16, where="example")
        16
    """

    name: str
    options: tuple[Value, ...]
    weights: tuple[int, ...] | None = field(default=None, compare=False)

    def option(self, value: Value, *, where: str) -> Value:
        """Return the option that equals the value; raise SpaceError if none does."""
        try:
            return self._option[value]
        except (KeyError, TypeError):  # a list, from a file
            raise SpaceError(
                f"`{value}` is no option of choice `{self.name}`",
                where=where,
                allowed=f"Options: {', '.join(map(str, self.options))}",
                do="Pick one of the options",
            ) from None

    @cached_property
    def _option(self) -> dict[Value, Value]:
        return {option: option for option in self.options}

    def draw(self, rng: random.Random) -> Value:
        """Draw an option, each with a probability in proportion to its weight; exact for weights of any size."""
        if self.weights is None:
            return rng.choice(self.options)
        drawn = rng.randrange(sum(self.weights))
        return next(option for option, upto in zip(self.options, accumulate(self.weights), strict=True) if drawn < upto)


Suggest = Callable[[Choice], Value]


@dataclass(frozen=True)
class Architecture:
    """One value for every active choice of a space.

    Args:
        space: name of the space.
        picks: (choice, value) pairs, sorted by name.

    Example:
        >>> architecture = Architecture("few", (("stem.1.kernel", 3), ("stem.width", 16)))
        >>> architecture.key
        '58371969dc1b'
        >>> Architecture.from_dict(architecture.as_dict()) == architecture
        True
    """

    space: str
    picks: tuple[tuple[str, Value], ...]

    def __repr__(self) -> str:
        return f"Architecture({self.key}, space={reprlib.repr(self.space)}, {counted(len(self.picks), 'pick')})"

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits, the same in every process and on every machine."""
        return hashlib.sha256(json.dumps([self.space, self.picks]).encode()).hexdigest()[:12]

    @property
    def columns(self) -> dict[str, Value]:
        """Its picks as columns of a row."""
        return {f"choice {name}": value for name, value in self.picks}

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form that `Architecture.from_dict` reads back."""
        return {"space": self.space, "picks": dict(self.picks)}

    @classmethod
    def from_dict(cls, raw: object, *, where: str = "architecture") -> Architecture:
        """Read `{"space": name, "picks": {choice: value}}`; whether it fits is checked when it is lowered.

        Raises:
            SpaceError: it has another form.
        """
        if not isinstance(raw, Mapping):
            raise _no_architecture(f"{_JSON_TYPES.get(type(raw), 'an object')} describes no architecture", where)
        space, picks = raw.get("space"), raw.get("picks")
        if not isinstance(picks, Mapping) or not isinstance(space, str):
            raise _no_architecture(f"keys {sorted(map(str, raw))} do not describe an architecture", where)
        for name, value in picks.items():
            if not isinstance(name, str) or not _is_value(value):
                raise _no_architecture(f"the pick `{name}` is {reprlib.repr(value)}", where)
        return cls(space, tuple(sorted(picks.items())))


_JSON_TYPES = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    NoneType: "null",
}


def _is_value(value: object) -> bool:
    return value is None or isinstance(value, int | str) or (isinstance(value, float) and math.isfinite(value))


def _no_architecture(met: str, where: str) -> SpaceError:
    return SpaceError(
        met,
        where=where,
        allowed='The form is {"space": name, "picks": {choice: value}}, a value being a number, a word or true/false',
        do="Take one from fronts/TIER.json, or print one: `hwnas cost SPACE --architecture random:0 --json`",
    )
