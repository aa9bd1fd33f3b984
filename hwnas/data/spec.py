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
