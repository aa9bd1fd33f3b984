"""Settings beside an experiment's file, `KEY=VALUE`, as `--set` takes them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hwnas.errors import ConfigError
from hwnas.io.yaml import parse_yaml

SET_OPTION = "--set"


def with_settings(raw: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Return the content of an experiment's file with settings in it; sections that it lacks are added.

    Args:
        raw: content of the file.
        settings: `KEY=VALUE`: the keys that lead to the value, with dots between them, and the value as YAML has it.

    Raises:
        ConfigError: one of them is no `KEY=VALUE`, is no YAML, is set twice, or lies within what is no section.
    """
    changed, known = copy.deepcopy(raw), set[str]()
    for setting in settings:
        key, equals, text = setting.partition("=")
        trail = key.strip().split(".")
        if not equals or not all(trail):
            raise _refused(
                f"`{key}` is set to nothing" if all(trail) else f"`{key}` names no key",
                "A key and its value: search.trials=50",
                "Write KEY=VALUE, with dots between the keys of sections",
            )
        if key.strip() in known:
            raise _refused(f"`{key.strip()}` is set twice", "Each key is set once", "Leave one of them out")
        known.add(key.strip())
        section = changed
        for depth, step in enumerate(trail[:-1], 1):
            section[step] = inner = {} if section.get(step) is None else section[step]
            if not isinstance(inner, dict):
                raise _refused(
                    f"`{'.'.join(trail[:depth])}` is a value of its own, so that `{key.strip()}` is no key of it",
                    "The keys before the last one are those of sections",
                    f"Set the whole: {'.'.join(trail[:depth])}={{...}}",
                )
            section = inner
        section[trail[-1]] = parse_yaml(text, where=f"{SET_OPTION} {key.strip()}")
    return changed


def named_in(settings: Sequence[str]) -> str:
    """Return the keys that settings set, as errors name them; values may be secrets."""
    return "".join(f" {SET_OPTION} {setting.partition('=')[0].strip()}" for setting in settings)


def _refused(problem: str, allowed: str, do: str) -> ConfigError:
    return ConfigError(problem, where=SET_OPTION, allowed=allowed, do=do)
