"""YAML files, read with the safe loader; a key given twice is an error instead of a silent overwrite."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from hwnas.errors import ConfigError, reason
from hwnas.io.regular import read_regular


class _UniqueKeys(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<: *anchor` may be overridden, that is what it is for
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key `{key}` stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is no YAML, repeats a key, or holds something else than a mapping.
    """
    try:
        text = read_regular(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the file cannot be read ({reason(error)})",
            where=str(path),
            allowed="A readable UTF-8 YAML file is needed",
            do="Check the path, or run `hwnas init DIR` for a folder with working examples",
        ) from error
    try:
        loaded = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader with one more check
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(
            f"this is not valid YAML ({getattr(error, 'problem', None) or str(error).splitlines()[0]})",
            where=at,
            allowed="Keys are unique and nested by indentation",
            do="Correct the line and run the same command again",
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise ConfigError(
            "the file is empty" if loaded is None else f"the file holds {type(loaded).__name__} instead of named keys",
            where=str(path),
            allowed="The top level is a mapping `key: value`",
            do="Run `hwnas init DIR` for a folder with working examples",
        )
    return loaded
