"""YAML files, read with the safe loader, and strictly: a key given twice, a number that YAML readers disagree about, a
value that is none of its kind, anchors that hold themselves are errors with their line."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from hwnas.errors import ConfigError, reason
from hwnas.io.regular import read_regular

DEEPEST = 50
"""Levels of nesting; no key of hwnas stands deeper than ten, and Python reads a thousand at most."""
MOST_VALUES = 100_000
"""Of a file, with its anchors written out: they take seconds to read, and no space or experiment has so many."""
MAX_YAML_BYTES = 10_000_000
MOST_DIGITS = 30
_TAG = "tag:yaml.org,2002:"
_YAML_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "timestamp": "a date",
}
_OTHER_KINDS = ("binary", "omap", "pairs", "set")
_ELSEWHERE_A_NUMBER = re.compile(r"[-+]?0(?:[0-9]+|[oO][0-7]+)")
"""Pattern of scalars that YAML 1.1 reads as text and YAML 1.2 as a number, such as 08 and 0o17."""


class _Refused(yaml.MarkedYAMLError):
    """YAML that is valid and not accepted."""

    def __init__(self, problem: str, allowed: str, mark: yaml.Mark) -> None:
        super().__init__(problem=problem, problem_mark=mark)
        self.allowed = allowed


class _Strict(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._parents: list[yaml.Node | None] = []
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._parents.append(parent)
        if len(self._parents) > DEEPEST:
            raise _Refused("this is nested too deeply", f"Lists and sections stand {DEEPEST} deep at most", mark)
        node: Any = super().compose_node(parent, index)
        if any(node is one for one in self._parents):
            raise _Refused("an anchor holds itself", "An anchor stands for what is complete before it is used", mark)
        self._parents.pop()
        if max(len(self._sizes), self._size(node)) > MOST_VALUES:
            allowed = f"A file holds {MOST_VALUES:,} values at most, anchors written out"
            raise _Refused("the file holds too many values", allowed, mark)
        return node

    def _size(self, node: yaml.Node) -> int:
        """Return how many values a node holds once its anchors are written out."""
        if node not in self._sizes:
            inner = node.value if isinstance(node, yaml.CollectionNode) else ()
            parts = [part for pair in inner for part in pair] if isinstance(node, yaml.MappingNode) else inner
            self._sizes[node] = 1 + sum(self._sizes[part] for part in parts)
        return self._sizes[node]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            _check_scalar(node)
        try:
            made = super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # PyYAML's constructors raise several types on what is none of their kind
            kind = node.tag.removeprefix(_TAG)
            raise _Refused(
                f"`{_short(node)}` is not {_YAML_TYPES.get(kind, kind)}",
                "A number, a date, true or false is written plainly; a text of that look stands in quotes",
                node.start_mark,
            ) from error
        if type(made) is int and abs(made) >= 10**MOST_DIGITS:
            raise _Refused(
                f"`{_short(node)}` is too large", f"A whole number has {MOST_DIGITS} digits at most", node.start_mark
            )
        return made

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value if type(node.value) is list else ():  # `!!map x` is a scalar
            if key_node.tag == f"{_TAG}merge":
                continue  # `<<: *anchor` may be overridden, that is what it is for
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _Refused(
                    f"key `{_short(key_node)}` is {_YAML_TYPES.get(key_node.tag.removeprefix(_TAG), 'no text')}",
                    "A key is a text; one that YAML reads as something else, such as no or 1, stands in quotes",
                    key_node.start_mark,
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key `{key}` stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refuse_tag(loader: _Strict, node: yaml.Node) -> None:
    tag = node.tag.replace(_TAG, "!!")
    raise yaml.constructor.ConstructorError(None, None, f"the tag `{tag[:60]}` is not taken", node.start_mark)


for _tag in (None, *(_TAG + kind for kind in _OTHER_KINDS)):
    _Strict.add_constructor(_tag, _refuse_tag)


def _check_scalar(node: yaml.ScalarNode) -> None:
    """Refuse characters that escapes bring in, and numbers that readers of YAML disagree about."""
    if (odd := yaml.reader.Reader.NON_PRINTABLE.search(node.value)) is not None:
        character = f"U+{ord(odd.group()):04X}"
        raise _Refused(f"a text holds the character {character}", "Texts are printable characters", node.start_mark)
    if node.style is None and (fault := _ambiguity(node.value, node.tag.removeprefix(_TAG))) is not None:
        raise _Refused(*fault, node.start_mark)


def _ambiguity(text: str, kind: str) -> tuple[str, str] | None:
    """Return why a plain scalar is not a clear number, and what to write instead; None if it is clear."""
    digits, quoted = text.lstrip("+-"), "A text of that look stands in quotes"
    if kind in ("int", "float"):
        if "_" in digits:
            return f"`{text[:40]}` has `_` among its digits", f"A number is its digits alone. {quoted}"
        if ":" in digits:
            return f"`{text[:40]}` counts in sixties in YAML", f"A number is its decimal digits alone. {quoted}"
        if digits.isdecimal() and digits[0] == "0" != digits and len(digits) < MOST_DIGITS:
            octal, decimal = int(text, 8), int(text)
            instead = f"Write {octal} or {decimal}" if octal != decimal else f"Write {decimal}"
            return f"`{text}` is {octal} in YAML 1.1 and {decimal} in YAML 1.2", f"{instead}. {quoted}"
        if digits[:2] in ("0b", "0B") and len(digits) < MOST_DIGITS:
            return f"`{text}` is a number in YAML 1.1 alone", f"Write {int(text, 2)}. {quoted}"
    if kind == "str" and digits[:2] in ("0o", "0O") and _ELSEWHERE_A_NUMBER.fullmatch(text):
        instead = f"Write {int(text, 8)}" if len(digits) < MOST_DIGITS else "Write it in decimal digits"
        return f"`{text[:40]}` is a number in YAML 1.2 alone", f"{instead}. {quoted}"
    return None


def _short(node: yaml.Node) -> str:
    return reprlib.repr(node.value).strip("'\"") if isinstance(node, yaml.ScalarNode) else "..."


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, repeats a key, or holds something other than a mapping.
    """
    loaded = parse_yaml(_text(path), where=str(path))
    if not isinstance(loaded, dict):
        raise ConfigError(
            "the file is empty" if loaded is None else f"the file holds {type(loaded).__name__} instead of named keys",
            where=str(path),
            allowed="The top level is a mapping `key: value`",
            do="Run `hwnas init DIR` for a folder with working examples",
        )
    return loaded


def parse_yaml(text: str, *, where: str) -> Any:
    """Return the content of a text of YAML; `where` stands in its errors, before the line.

    Raises:
        ConfigError: it is not YAML, or holds something that is refused; the line is named.
    """
    loader = None
    try:
        loader = _Strict(text)
        return loader.get_single_data()
    except yaml.reader.ReaderError as error:
        raise _invalid(str(error).splitlines()[0], f"{where}:{_line(text, error.position)}") from error
    except _Refused as error:
        raise _invalid(str(error.problem), _at(error, where), error.allowed) from error
    except yaml.YAMLError as error:
        raise _invalid(getattr(error, "problem", None) or str(error).splitlines()[0], _at(error, where)) from error
    except (ValueError, OverflowError, RecursionError) as error:  # an escape that names no character
        at = where if loader is None else f"{where}:{loader.line + 1}"
        raise _invalid("a character that is none", at) from error


def dump_yaml(mapping: dict[str, Any]) -> str:
    """Return the mapping as YAML that `read_yaml` reads back."""
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Dumper that quotes texts that other readers of YAML take for numbers."""


_Dumper.add_implicit_resolver("tag:hwnas,number", _ELSEWHERE_A_NUMBER, list("-+0"))


def _text(path: Path) -> str:
    try:
        content = read_regular(path, most=MAX_YAML_BYTES)
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        why = f"byte 0x{content[error.start]:02x} on line {line} is no UTF-8"
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        why = reason(error)
    raise ConfigError(
        f"the file cannot be read ({why})",
        where=str(path),
        allowed=f"A readable UTF-8 YAML file of {MAX_YAML_BYTES // 1_000_000} MB at most is needed",
        do="Check the path, or run `hwnas init DIR` for a folder with working examples",
    )


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _at(error: yaml.YAMLError, where: str) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{where}:{mark.line + 1}" if mark else where


def _invalid(problem: str, at: str, allowed: str | None = None) -> ConfigError:
    return ConfigError(
        problem if allowed else f"this is not valid YAML ({problem})",
        where=at,
        allowed=allowed or "Keys are unique and nested by indentation",
        do="Correct the line and run the same command again",
    )
