"""Late imports: a family's member from its table, an optional package from its extra.

A family is a table of hwnas's own members together with those that installed distributions declare as entry points
of the group `hwnas.FAMILY` (`importlib.metadata`): `[project.entry-points."hwnas.operators"]` and
`swish = "my_package.swish:Swish"`. The object that an entry point names has the form of the family's own rows.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Callable, Union

from hwnas.errors import ConfigError, HwnasError, MissingExtra, did_you_mean, raised, reason

Fault = Callable[[str, Any], Union[str, None]]


@dataclass(frozen=True)
class InstanceOf:
    """The fault of a member that is no instance of a class, which may be given as "module:Class"."""

    kind: type | str

    def __call__(self, name: str, value: Any) -> str | None:
        kind: type = _attribute(self.kind) if isinstance(self.kind, str) else self.kind
        return None if isinstance(value, kind) else f"is a {type(value).__name__}, and a {kind.__name__} is needed"


def no_function(name: str, value: Any) -> str | None:
    """Return the fault of a member that cannot be called; None if it can."""
    return None if callable(value) else f"is a {type(value).__name__}, and a function is needed"


class Family(Mapping[str, Any]):
    """Members of a family by name: hwnas's own in their order, then those of installed distributions by name.

    A value is "module:attribute", imported when `member` asks for it, or the object itself. The metadata of installed
    distributions is read when a name is not hwnas's own, or when all names are listed.

    Args:
        name: the family's name, in the plural; `hwnas.NAME` is its group of entry points.
        own: hwnas's own members. A distribution cannot replace one of them.
        fault: (name, object) -> what is wrong with a member of a distribution, None if nothing is; a function, or
            "module:function", which is imported on use. Without it every object is taken.

    Example:
        >>> COLORS = Family("colors", {"red": "hwnas.colors:Red"})
        >>> COLORS.group, list(COLORS), COLORS["red"]
        ('hwnas.colors', ['red'], 'hwnas.colors:Red')
    """

    def __init__(self, name: str, own: Mapping[str, Any], fault: str | Fault | None = None) -> None:
        self.group = f"hwnas.{name}"
        self.own = own
        self.fault = fault

    @cached_property
    def installed(self) -> Mapping[str, EntryPoint]:
        """Entry points of the group by name; of one name declared twice, the first by the names of distributions."""
        return {point.name: point for point in reversed(entry_points_of(self.group)) if point.name not in self.own}

    def __getitem__(self, name: str) -> Any:
        return self.own[name] if name in self.own else self.installed[name].value

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.installed

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from sorted(self.installed)

    def __len__(self) -> int:
        return len(self.own) + len(self.installed)

    def __repr__(self) -> str:
        return f"Family({self.group!r}, {', '.join(self.own)})"


def installed_members() -> list[EntryPoint]:
    """Return the entry points of all families, sorted by family, distribution and name; none of them is imported."""
    groups = sorted(group for group in entry_points().groups if group.startswith("hwnas."))
    return [point for group in groups for point in entry_points_of(group)]


def entry_points_of(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, sorted by distribution and name."""
    points = entry_points()
    chosen = points.select(group=group) if hasattr(points, "select") else points.get(group, ())  # a dict in Python 3.9
    return sorted(chosen, key=lambda point: (distribution_of(point), point.name))


def distribution_of(point: EntryPoint) -> str:
    """Return the name and version of the distribution that declares an entry point."""
    source = getattr(point, "dist", None)  # Python 3.9 does not tell
    try:
        return f"{source.metadata['Name']} {source.metadata['Version']}" if source else "an installed distribution"
    except Exception:  # its metadata is damaged, in whatever way
        return "an installed distribution without metadata"


def member(table: Mapping[str, Any], name: str, *, what: str, where: str) -> Any:
    """Return the object that `table` holds under `name`; one that is written "module:attribute" is imported now.

    Args:
        table: a family, or any other table of such values.
        name: the member's name.
        what: the word for a member, in errors.
        where: the place that named it, in errors.

    Raises:
        ConfigError: there is no such name, or the member of an installed distribution cannot be imported or is of
            another form.
    """
    if name not in table:
        raise ConfigError(
            f"unknown {what} `{name}`", where=where, allowed=did_you_mean(name, table), do=f"Use a known {what}"
        )
    value = table[name]
    if not isinstance(table, Family) or name in table.own:
        return _attribute(value) if isinstance(value, str) else value
    point = table.installed[name]
    where = f"{where}: entry point `{point.value}` of the group `{table.group}`, {distribution_of(point)}"
    value = imported(point.value, what=f"{what} `{name}`", where=where)
    fault = table.fault and imported(table.fault, what="check", where=where)(name, value)
    if fault:
        raise ConfigError(
            f"the {what} `{name}` {fault}",
            where=where,
            allowed="A member from outside has the form of hwnas's own (docs/how-to/plugins.md)",
            do=f"Repair or uninstall that distribution, or use another {what}",
        )
    return value


def imported(reference: Any, *, what: str, where: str) -> Any:
    """Return the object that a row names as "module:attribute", imported now; any other object as it is.

    Raises:
        ConfigError: a module from outside cannot be imported, or has no such attribute.
    """
    if not isinstance(reference, str):
        return reference
    if reference.startswith("hwnas."):
        return _attribute(reference)
    try:
        return _attribute(reference)
    except HwnasError:
        raise
    except (Exception, SystemExit) as error:  # a distribution's module is run, and may raise anything
        raise ConfigError(
            f"the {what} cannot be imported ({raised(error)})",
            where=where,
            allowed=f"`{reference}` is a module that can be imported, and what it defines",
            do="Repair or uninstall that distribution, or use another member",
        ) from error


def _attribute(value: str) -> Any:
    module, _, attribute = value.partition(":")
    result: Any = importlib.import_module(module.strip())
    for part in attribute.strip().split("."):
        result = getattr(result, part)
    return result


def optional(name: str, *, extra: str, why: str) -> ModuleType:
    """Import an optional package, or say which pip command installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"the package `{name}` cannot be imported ({reason(error)})",
            where=why,
            allowed=f'It comes with the extra "{extra}"',
            do=f'Run: pip install "hwnas[{extra}]"',
        ) from error
