"""Late imports: a family's member from its table, an optional package from its extra."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
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


def named(reference: str, *, base: Path, where: str) -> Any:
    """The object that a user names as `module:name` or `path.py:name`; a path is taken from here, then from `base`.

    Raises:
        ConfigError: the reference has another form, or leads nowhere.
    """
    source, _, name = reference.rpartition(":")
    if not source or not name:
        raise ConfigError(
            f"`{reference}` names no function",
            where=where,
            allowed="The form is `module:function` or `path.py:function`",
            do="Correct it",
        )
    try:
        module = _module_of_file(Path(source), base) if source.endswith(".py") else importlib.import_module(source)
        return getattr(module, name)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        raise ConfigError(
            f"`{reference}` cannot be imported ({error})",
            where=where,
            allowed="The module must be importable from here, and define the name",
            do="Correct the reference or the module",
        ) from error


def _module_of_file(path: Path, base: Path) -> ModuleType:
    path = next((place for place in (path.expanduser(), base / path) if place.is_file()), path).resolve()
    label = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(label, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module  # dataclasses look their module up while it is being run
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[label]
        raise
    return module
