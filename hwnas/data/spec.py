"""A data set as experiments and command lines name it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.errors import ConfigError


def named_spec(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a data set, and its options.

    Raises:
        ConfigError: it has no name.
    """
    if isinstance(spec, str):
        return ("function", {"function": spec}) if ":" in spec else (spec, {})
    requested = {key: value for key, value in spec.items() if key != "name"}
    name = spec.get("name", "function" if "function" in spec else None)
    if not isinstance(name, str):
        raise ConfigError(
            "the data set has no `name`",
            where="data",
            allowed="Write `data: NAME` or `data: {name: NAME, option: value}`",
            do="Add the name",
        )
    return name, requested


def check_count(key: str, value: object) -> None:
    """Refuse an option that is neither None nor a whole number from 1 on.

    Raises:
        ConfigError: it is neither.
    """
    if value is not None and not is_count(value):
        raise bad_value(key, value, "a whole number from 1 on")


def is_count(value: object) -> bool:
    """Return True for a whole number from 1 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def bad_value(key: str, value: object, allowed: str) -> ConfigError:
    """Return the error of an option; `allowed` is what it may be."""
    return ConfigError(f"`{key}` is {value!r}", where="data", allowed=f"`{key}` is {allowed}", do="Correct it")
