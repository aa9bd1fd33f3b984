"""Requests that are nearly right: a good one of the Open Inference Protocol, changed at random from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 2**63, 10**400, 1e308, -0.5, "", "input", "UINT8", "FP64", "\ud800", "é" * 9,
    [], [[]], [1], [None], {}, {"a": 1}, {"plan": 3}, [[[[1]]]], "0" * 16, ["a"] * 50,
)  # fmt: skip
"""Values that take the place of others."""
HEADER_VALUES = ("", "-1", "0", "1", "two", "1e3", "99999999", "٣", "0x10", " 300", "300 ", "3,0", "9" * 40)


class Malformed(NamedTuple):
    """A request with its name for messages."""

    kind: str
    body: bytes
    headers: list[tuple[str, str]]


def malformed_requests(document: dict[str, Any], payload: bytes, count: int, seed: int) -> Iterator[Malformed]:
    """Yield requests that differ from a good one, which is the document in JSON and the payload behind it."""
    rng = random.Random(seed)
    kinds = (_value, _dropped_key, _bytes, _cut, _grown, _noise, _header, _nested, _text, _json_only)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        body, json_bytes = kind(rng, json.loads(json.dumps(document)), payload)
        length = rng.choice(HEADER_VALUES) if kind is _header else str(json_bytes)
        headers = [] if kind is _json_only else [("inference-header-content-length", length)]
        yield Malformed(f"{number} {kind.__name__}", body, headers)


def _packed(document: Any, payload: bytes) -> tuple[bytes, int]:
    header = json.dumps(document, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return header + payload, len(header)


def _spots(node: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    here = [(node, key) for key, _ in items]
    return here + [spot for _, key in here for spot in _spots(node[key])]


def _value(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    container, key = rng.choice(_spots(document))
    container[key] = rng.choice(ODD)
    return _packed(document, payload)


def _dropped_key(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    container, key = rng.choice(_spots(document))
    del container[key]
    return _packed(document, payload)


def _bytes(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    body, length = _packed(document, payload)
    changed = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(length)] = rng.randrange(256)
    return bytes(changed), length


def _cut(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    body, length = _packed(document, payload)
    return body[: rng.randrange(len(body))], length


def _grown(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    body, length = _packed(document, payload)
    return body + rng.randbytes(rng.choice((1, 3, 100, 9000))), length


def _noise(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    body, length = _packed(document, payload)
    return rng.randbytes(len(body)), length


def _header(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    return _packed(document, payload)


def _nested(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    deep = b"[" * rng.choice((10, 1000, 3900))
    return deep + payload, len(deep)


def _text(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    body, length = _packed(document, payload)
    old, new = rng.choice(((b":", b":-"), (b"1", b"NaN"), (b"[", b"["), (b"{", b"{{"), (b'"', b"'"), (b"4", b"4e999")))
    header = body[:length].replace(old, new, rng.randint(1, 3))
    if header == body[:length]:
        header = header[:-1]
    return header + payload, len(header)


def _json_only(rng: random.Random, document: Any, payload: bytes) -> tuple[bytes, int]:
    tensor = document["inputs"][0]
    tensor.pop("parameters", None)
    tensor["data"] = list(payload)
    for _ in range(rng.randint(1, 3)):
        tensor["data"][rng.randrange(len(payload))] = rng.choice(ODD)
    return _packed(document, b"")
