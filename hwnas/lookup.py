"""Late imports: a family's member from its table, an optional package from its extra."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from hwnas.errors import ConfigError, MissingExtra, did_you_mean


def member(table: Mapping[str, str], name: str, *, what: str, where: str) -> Any:
    """The object that `table` (name -> "module:attribute") holds under `name`, imported now."""
    if name not in table:
        raise ConfigError(
            f"unknown {what} `{name}`", where=where, allowed=did_you_mean(name, table), do=f"Use a known {what}"
        )
    module, attribute = table[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def optional(name: str, *, extra: str, why: str) -> ModuleType:
    """Import an optional package, or say which pip command installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"the package `{name}` cannot be imported ({error})",
            where=why,
            allowed=f'It comes with the extra "{extra}"',
            do=f'Run: pip install "hwnas[{extra}]"',
        ) from error
