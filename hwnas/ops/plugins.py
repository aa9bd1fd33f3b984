"""Operators of a user's own: the classes of the files that a space or an experiment names."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from hwnas.errors import ConfigError, raised
from hwnas.ops import OPERATORS
from hwnas.ops.operator import Operator
from hwnas.registry import Family, distribution_of
from hwnas.user_code import SourceFile, load_source, place_of, read_source

ALLOWED = "An operator is a class `@dataclass(frozen=True)` of `hwnas.Operator` with knobs and a method `module(self)`"
PLAIN_TYPES = (bool, int, float, str, type(None))
"""Types that a knob's default can have: those that YAML writes and a row of a latency table keeps."""


@cache
def operators_with(plugins: tuple[SourceFile, ...]) -> Mapping[str, str]:
    """The built-in operators and those of the plugins: a table like `OPERATORS`. The files are run if they were not.

    Raises:
        ConfigError: a file raises, holds no operator, or one that is none; two operators have one name.
    """
    table = dict(OPERATORS.own)
    own: dict[str, type[Operator]] = {}
    for source in plugins:
        for operator in operators_of_file(source):
            kind = operator.__name__.lower()
            if kind in table or kind in OPERATORS:
                other = f"one in {line_of(own[kind])}" if kind in own else _owner(kind)
                raise ConfigError(
                    f"the operator `{kind}` has the name of {other}",
                    where=line_of(operator),
                    allowed="An operator's name is its class's in lower case, and no two operators have the same",
                    do="Rename the class",
                )
            own[kind] = operator
            table[kind] = f"{source.module_name}:{operator.__name__}"
    return Family("operators", table, OPERATORS.fault)


def fault_of_member(name: str, kind: object) -> str | None:
    """Return the reason why an installed distribution's member is no operator of that name; None if it is one."""
    if not isinstance(kind, type) or not issubclass(kind, Operator):
        return "is no class of `hwnas.Operator`"
    if kind.__name__.lower() != name:
        return f"is the class `{kind.__name__}`, whose rows and weights are of `{kind.__name__.lower()}`"
    return fault_of(kind)


@cache
def installed_code(kind: type[Operator]) -> str:
    """Return the distribution that adds an operator, its version and the digest of the operator's module, which change
    with its code; empty for all others."""
    point = None if kind.__module__.startswith("hwnas.") else OPERATORS.installed.get(kind.__name__.lower())
    if point is None or kind.__module__ != point.module:
        return ""
    return f"{distribution_of(point)} {read_source(Path(str(inspect.getsourcefile(kind)))).digest}"


def _owner(kind: str) -> str:
    point = OPERATORS.installed.get(kind)
    return "a built-in one" if point is None else f"one of {distribution_of(point)}"


def operators_of_file(source: SourceFile) -> Sequence[type[Operator]]:
    """The operators that a user's file defines.

    Raises:
        ConfigError: the file raises, holds none, or one that breaks a rule that can be seen without building it.
    """
    kinds = classes_of_file(source)
    for kind in kinds:
        if fault := fault_of(kind):
            raise ConfigError(
                f"`{kind.__name__}` {fault}",
                where=line_of(kind),
                allowed=ALLOWED,
                do=f"Correct the class; `hwnas test-operator {source.path}` tells more",
            )
    return kinds


def classes_of_file(source: SourceFile) -> Sequence[type[Operator]]:
    """The classes of a user's file that are meant as operators; those that begin with `_` are its own affair.

    Raises:
        ConfigError: the file raises, or holds none.
    """
    try:
        module = load_source(source)
    except (Exception, SystemExit) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"the file raised {raised(error)}",
            where=place_of(error, source.path),
            allowed=ALLOWED,
            do="Correct the file",
        ) from error
    kinds = [
        kind
        for kind in dict.fromkeys(value for value in vars(module).values() if isinstance(value, type))
        if issubclass(kind, Operator) and kind.__module__ == module.__name__ and not kind.__name__.startswith("_")
    ]
    if not kinds:
        raise ConfigError("the file defines no operator", where=str(source.path), allowed=ALLOWED, do="Add one")
    return kinds


def fault_of(kind: type[Operator]) -> str | None:
    """Return the reason why a class is not an operator, without building one; None if it is one."""
    if "__dataclass_fields__" not in vars(kind):
        return "is no dataclass of its own"
    if object.__hash__ is kind.__hash__ or not callable(kind.__hash__):
        return "has no hash by its knobs, so its costs cannot be kept"
    if inspect.isabstract(kind):
        return "has no method `module`"
    module = inspect.getattr_static(kind, "module")
    if not inspect.isfunction(module):
        return f"has `module` as {type(module).__name__}, not as a method"
    needed = [p.name for p in list(inspect.signature(module).parameters.values())[1:] if p.default is p.empty]
    if needed:
        return f"has a method `module` that wants `{needed[0]}`; it is called without arguments"
    for name in ("kind", "knobs", "describe"):
        if inspect.getattr_static(kind, name) is not inspect.getattr_static(Operator, name):
            return f"replaces `{name}`, which follows from the class"
    for field in dataclasses.fields(kind):
        if not field.init or field.default_factory is not dataclasses.MISSING:
            return f"has a knob `{field.name}` that is not given by value: a list or a dictionary can be no knob"
        if field.default is not dataclasses.MISSING and not isinstance(field.default, PLAIN_TYPES):
            return f"has a knob `{field.name}` with a default that is {type(field.default).__name__}, no number or word"
    return None


def line_of(kind: type) -> str:
    """`FILE:LINE` of a class."""
    return f"{inspect.getsourcefile(kind)}:{inspect.getsourcelines(kind)[1]}"
