"""An operator of a class, made of knobs that a person or a table wrote down."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from hwnas.errors import HwnasError, SpaceError, did_you_mean, raised, reason
from hwnas.ops.operator import Operator
from hwnas.user_code import place_of, source_of

_KEYS_BESIDE_KNOBS = ("depth", "per", "stride", "width")  # what a stage understands besides its operator's knobs


def operator_of(kind: type[Operator], knobs: Mapping[str, Any], *, where: str) -> Operator:
    """The operator of a class with these knobs.

    Raises:
        SpaceError: unknown or missing knob, or the operator refuses its knobs.
    """
    name = kind.__name__.lower()
    knobs = {knob: tuple(value) if isinstance(value, list) else value for knob, value in knobs.items()}
    known, needed = _fields(kind)
    for knob in knobs:
        if knob not in known:
            raise SpaceError(
                f"`{name}` has no knob `{knob}`",
                where=where,
                allowed=did_you_mean(knob, {*known, *_KEYS_BESIDE_KNOBS} - {"in_channels", "out_channels"}),
                do="Correct or remove it",
            )
    if missing := sorted(needed - set(knobs)):
        written = sorted("width" if knob == "out_channels" else knob for knob in needed - {"in_channels"})
        knob = "width" if missing[0] == "out_channels" else missing[0]
        raise SpaceError(
            f"`{name}` lacks its knob `{knob}`",
            where=where,
            allowed=f"It needs {', '.join(written)}",
            do=f"Write `{knob}: VALUE` or `{knob}: [OPTION, OPTION]` in the stage",
        )
    forms = _forms(kind)
    if isinstance(channels := knobs.get("in_channels"), tuple) and "in_channels" in forms:
        raise SpaceError(
            f"`{name}` takes one input, and the networks have {len(channels)}",
            where=where,
            allowed="The first operator takes all inputs: its class has `in_channels: tuple[int, ...]`",
            do="Begin with an operator that takes them, or give the networks one input",
        )
    for knob, value in knobs.items():
        if knob in forms and not forms[knob].holds(value):
            raise SpaceError(
                f"`{knob}` of `{name}` is {value!r}", where=where, allowed=f"It is {forms[knob].told}", do="Correct it"
            )
    try:
        return kind(**knobs)
    except SpaceError as error:
        raise SpaceError(error.met, where=f"{where}: {error.where}", allowed=error.allowed, do=error.do) from error
    except HwnasError:
        raise
    except Exception as error:  # a user's `__post_init__` may raise anything
        source = source_of(kind)
        raise SpaceError(
            f"`{name}` refuses its knobs ({raised(error) if source else reason(error)})",
            where=f"{where} in {place_of(error, source.path)}" if source else where,
            allowed=f"Given: {json.dumps(knobs, default=repr)}",
            do="Correct the knobs, or the operator",
        ) from error


@cache
def _fields(kind: type[Operator]) -> tuple[frozenset[str], frozenset[str]]:
    fields = dataclasses.fields(kind)
    needed = frozenset(f.name for f in fields if f.default is dataclasses.MISSING)
    return frozenset(f.name for f in fields), needed


@dataclass(frozen=True)
class _Form:
    """Types that a knob may hold, as far as its annotation says so plainly."""

    kinds: tuple[type, ...]
    told: str

    def holds(self, value: Any) -> bool:
        return type(value) in self.kinds


_FORMS: Mapping[Any, _Form] = {
    bool: _Form((bool,), "true or false"),
    int: _Form((int,), "a whole number"),
    float: _Form((int, float), "a number"),
    str: _Form((str,), "a word"),
}


@cache
def _forms(kind: type[Operator]) -> Mapping[str, _Form]:
    """Return the forms by knob; one whose annotation is not among these, or cannot be resolved, may hold anything."""
    try:
        hints = get_type_hints(kind)
    except Exception:  # a user's annotation may name what is not there
        return {}
    return {knob: _FORMS[hint] for knob, hint in hints.items() if hint in _FORMS}
