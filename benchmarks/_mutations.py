"""Valid files, but for one thing: the changes by which `fuzz.py` and the tests make bad input of good input.

Each change is drawn from a `random.Random`, so that a seed names it. A change returns what the file then holds, and a
few words on what was done to it.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

DEEP = 10_000
DIGITS = "9" * 5_000
Path_ = tuple[str | int, ...]
"""Where a value stands in what was parsed: keys and places from the top."""


@dataclass(frozen=True)
class Raw:
    """Text that is written as it is, where no value of Python would be written so."""

    text: str


@dataclass(frozen=True)
class Change:
    """What a file holds after a change, and the change in words."""

    content: bytes
    what: str


ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 0.5, -0.5, 1e-300, 1e300, -1e300, 10**6, 10**9, 2**31, 2**63, 2**64, -(2**63),
    "", " ", "0", "1", "x", "é漢字🙂", "a\x00b", "a\nb", "\ud7ff", "../../etc/passwd", "/dev/null", "~", "$HOME",
    "a" * 300, "z" * 100_000, "%s%n{0}", "-", "--json", "file.py:f", "|x|",
    [], {}, [[]], [None], [{}], [0], ["x"], [1, "x", None],
    {"": 0}, {"x": 1}, {"x": {"x": {}}}, [[[[]]]],
)  # fmt: skip
ODD_JSON = (
    *map(Raw, ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0.0", DIGITS, "1E400", "0.1e-400")),
    Raw("[" * DEEP + "]" * DEEP),
    Raw('{"x":' * DEEP + "1" + "}" * DEEP),
    Raw('"\\ud800"'),
    Raw('{"x": 1, "x": 2}'),
)
ODD_YAML = (
    *map(Raw, (
        "2026-99-99", "2026-01-01", "2026-01-01T99:99:99", "0b_", "0b2", "0x", "0o9", "010", "1_000", "1:99",
        "1e3", ".nan", ".inf", "-.inf",
        "yes", "no", "on", "~", "=", "<<", "!!int ''", "!!int x", "!!bool x", "!!float x", "!!timestamp x",
        "!!null x", "!!binary x", "!!set {a: 1}", "!!omap [a]", "!!pairs [a]", "!!str 1", "!!seq {}", "!!map []",
        "!!python/object/apply:os.getcwd []", "!unknown x", "&a [*a]", "&a {x: *a}", "*unknown", "{[1]: 2}",
        "{{a: 1}: 2}", "{1: 2}", "{null: 1}", "{true: 1}", '"\\x"', '"\\ud800"',
        "'unclosed", "[1, 2", "{a: 1", "@x", "`x`", "%x",
        "- - -", "? x", "|", ">", "{<<: 3}", "{<<: [1]}", "{a: 1, a: 2}", "{1.5: x}", "{2026-01-01: x}", DIGITS,
    )),
    Raw("[" * DEEP + "]" * DEEP),
    Raw("{x: " * 300 + "1" + "}" * 300),
)  # fmt: skip
INSERTED = (
    "", "{}", "[]", "null", "0", "x", "{", "}", "\x00", "\ufeff", "---", "...", "- x", "x: 1", "  x", "\t", "#",
    '{"x": 1}', '{"key": 1}',
)  # fmt: skip
CELLS = (
    "", "nan", "inf", "-inf", "-1", "0", "1e999", "1e-320", DIGITS, "x", "é漢", '"', '"a,b"', "1,2", "\x00",
    "a" * 200_000, "1_0", " 1", "0x10", "\uff11",
)  # fmt: skip


def paths(tree: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Where every value stands, containers and what they hold."""
    yield at
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from paths(value, (*at, key))


def at(tree: Any, path: Path_) -> Any:
    """The value that stands there."""
    for key in path:
        tree = tree[key]
    return tree


def put(tree: Any, path: Path_, value: Any) -> Any:
    """The tree with another value there; it is changed in place, unless it is the whole."""
    if not path:
        return value
    at(tree, path[:-1])[path[-1]] = value
    return tree


def drawn_path(tree: Any, rng: random.Random) -> Path_:
    """A place in a tree: any one, or one not deep, of which there are fewer."""
    places = list(paths(tree))[1:] or [()]
    near = [path for path in places if len(path) <= 2]
    return rng.choice(near if near and rng.random() < 0.3 else places)


def other(value: Any, rng: random.Random, odd: Sequence[Any]) -> Any:
    """Another value instead of this one: of its kind, of another kind, or an odd one."""
    near: list[Any] = [[value], {"x": value}, str(value)]
    if isinstance(value, bool):
        near += [not value, int(value), str(value).lower()]
    elif isinstance(value, (int, float)):
        near += [-value, value * 1000, value / 1000, value + 0.5, value + 1, value - 1, value * 10**9, float(value)]
    elif isinstance(value, str):
        near += [value.upper(), value[:-1], f"{value}x", value[::-1], f"{value}\n", f" {value}", f"{value},{value}"]
        near += [value * 50]
    elif isinstance(value, list):
        near += [value[:-1], value[1:], value * 2, value[::-1], dict(enumerate(value)), *value[:1], value * 200]
    elif isinstance(value, dict):
        near += [list(value), list(value.values()), {str(key).upper(): inner for key, inner in value.items()}]
    return rng.choice(near) if rng.random() < 0.5 else rng.choice(odd)


def typo(word: str, rng: random.Random) -> str:
    """A word with one letter wrong."""
    place = rng.randrange(len(word) + 1)
    return rng.choice([word[:place] + "x" + word[place:], word[:place] + word[place + 1 :], word.upper(), f"{word}_"])


def changed(tree: Any, rng: random.Random, odd: Sequence[Any]) -> tuple[Any, str]:
    """A tree with one thing changed."""
    tree = copy.deepcopy(tree)
    path = drawn_path(tree, rng)
    place, value, draw = ".".join(map(str, path)) or "all of it", at(tree, path), rng.random()
    parent = at(tree, path[:-1]) if path else None
    if path and draw < 0.12:
        del parent[path[-1]]
        return tree, f"{place} deleted"
    if isinstance(parent, dict) and draw < 0.2 and isinstance(path[-1], str):
        name = typo(path[-1], rng)
        put(tree, path[:-1], {name if key == path[-1] else key: inner for key, inner in parent.items()})
        return tree, f"{place} renamed {name!r}"[:200]
    if isinstance(parent, list) and draw < 0.28:
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(value))
        return tree, f"{place} doubled"
    if draw < 0.34:
        second = drawn_path(tree, rng)
        if path[: len(second)] != second and second[: len(path)] != path:
            swapped = at(tree, second)
            tree = put(put(tree, second, value), path, swapped)
            return tree, f"{place} and {'.'.join(map(str, second))} swapped"
    new = other(value, rng, odd)
    shown = new.text if isinstance(new, Raw) else repr(new)
    return put(tree, path, new), f"{place} = {shown[:80]}"


def written_json(tree: Any, **options: Any) -> str:
    """JSON, with raw text where the tree holds some."""
    raws: list[str] = []

    def hold(raw: Raw) -> str:
        raws.append(raw.text)
        return f"@raw{len(raws) - 1}@"

    text = json.dumps(_plain_keys(tree), default=hold, **options)
    return re.sub(r'"@raw(\d+)@"', lambda match: raws[int(match[1])], text)


def written_yaml(tree: Any, *, flow: bool | None = None) -> str:
    """YAML, with raw text where the tree holds some."""
    raws: list[str] = []

    def hold(inner: Any) -> Any:
        if isinstance(inner, Raw):
            raws.append(inner.text)
            return f"@raw{len(raws) - 1}@"
        if isinstance(inner, dict):
            return {key: hold(value) for key, value in inner.items()}
        return [hold(value) for value in inner] if isinstance(inner, (list, tuple)) else inner

    text = yaml.safe_dump(hold(tree), sort_keys=False, default_flow_style=flow, allow_unicode=True)
    return re.sub(r"'@raw(\d+)@'", lambda match: raws[int(match[1])], text)


def _plain_keys(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): _plain_keys(value) for key, value in tree.items()}
    return [_plain_keys(value) for value in tree] if isinstance(tree, list) else tree


def as_text(content: bytes, rng: random.Random) -> Change:
    """A change that knows nothing of what a file holds but that it has lines."""
    lines = content.split(b"\n")
    place = rng.randrange(len(lines))
    kind = rng.choice(["insert", "delete", "double", "swap", "crlf", "bom", "no newline", "bytes"])
    if kind == "bytes":
        return as_bytes(content, rng)
    if kind == "insert":
        line = rng.choice(INSERTED)
        return Change(b"\n".join([*lines[:place], line.encode(), *lines[place:]]), f"line {line!r} before {place + 1}")
    if kind == "delete":
        return Change(b"\n".join(lines[:place] + lines[place + 1 :]), f"line {place + 1} deleted")
    if kind == "double":
        return Change(b"\n".join(lines[: place + 1] + lines[place:]), f"line {place + 1} doubled")
    if kind == "swap":
        second = rng.randrange(len(lines))
        lines[place], lines[second] = lines[second], lines[place]
        return Change(b"\n".join(lines), f"lines {place + 1} and {second + 1} swapped")
    made = {
        "crlf": content.replace(b"\n", b"\r\n"),
        "bom": b"\xef\xbb\xbf" + content,
        "no newline": content.rstrip(b"\n"),
    }
    return Change(made[kind], kind)


def as_bytes(content: bytes, rng: random.Random) -> Change:
    """A change that knows nothing of what a file holds."""
    size = len(content)
    place = rng.randrange(size) if size else 0
    kind = rng.choice(["cut", "bit", "bit", "bit", "empty", "zeros", "insert", "remove", "garbage", "tail"])
    if kind == "bit" and size:
        bit = rng.randrange(8)
        return Change(
            content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :], f"bit {bit} of byte {place}"
        )
    noise = rng.randbytes(rng.choice([1, 8, 64]))
    made = {
        "cut": content[:place],
        "bit": b"\x01",
        "empty": b"",
        "zeros": content[:place] + bytes(min(512, size - place)) + content[place + 512 :],
        "insert": content[:place] + noise + content[place:],
        "remove": content[:place] + content[place + len(noise) :],
        "garbage": rng.randbytes(rng.choice([1, 10, 1000])),
        "tail": content + noise,
    }
    return Change(made[kind], f"{kind} at byte {place}")


def in_json(content: bytes, rng: random.Random) -> Change:
    """A JSON document with one thing changed."""
    if rng.random() < 0.15:
        return as_text(content, rng)
    tree, what = changed(json.loads(content), rng, (*ODD, *ODD_JSON))
    return Change(encoded(written_json(tree, indent=1) + "\n"), what)


def in_json_lines(content: bytes, rng: random.Random) -> Change:
    """JSON lines with one thing changed in one of them."""
    lines = content.decode().splitlines()
    if rng.random() < 0.15 or not lines:
        return as_text(content, rng)
    place = rng.choice(
        [0, len(lines) - 1, rng.randrange(len(lines)), rng.randrange(len(lines)), rng.randrange(len(lines))]
    )
    tree, what = changed(json.loads(lines[place]), rng, (*ODD, *ODD_JSON))
    lines[place] = written_json(tree)
    return Change(encoded("\n".join(lines) + "\n"), f"line {place + 1}: {what}")


def in_yaml(content: bytes, rng: random.Random) -> Change:
    """A YAML document with one thing changed."""
    if rng.random() < 0.15:
        return as_text(content, rng)
    tree, what = changed(yaml.safe_load(content), rng, (*ODD, *ODD_YAML))
    return Change(encoded(written_yaml(tree, flow=rng.choice([None, None, False]))), what)


def in_csv(content: bytes, rng: random.Random) -> Change:
    """A table of commas with one cell, or one line, changed."""
    if rng.random() < 0.3:
        return as_text(content, rng)
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = rng.choice([0, rng.randrange(len(rows))])
    column = rng.randrange(len(rows[row]))
    new = rng.choice(CELLS)
    rows[row][column] = new
    return Change(encoded("\n".join(map(",".join, rows)) + "\n"), f"row {row + 1}, column {column + 1} = {new[:40]!r}")


def encoded(text: str) -> bytes:
    """UTF-8, with halves of surrogate pairs as they are."""
    return text.encode("utf-8", "surrogatepass")
