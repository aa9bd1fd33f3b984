"""Published formats: the reader of each, its source, and its set-up by default."""

from __future__ import annotations

import gzip
import importlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, did_you_mean, reason
from hwnas.latency.published.entry import PublishedEntry, Row, refusing_odd, unreadable
from hwnas.measure.table_file import content_of

UNKNOWN = "not told"


@dataclass(frozen=True)
class PublishedFormat:
    """Rules for reading files of one format."""

    read: Callable[[str, str], list[PublishedEntry]]
    """(path, text) -> entries."""
    source: str
    licence: str = UNKNOWN
    setup: Mapping[str, Any] = field(default_factory=dict)
    """Known fields of the set-up of the files that were published in it."""
    compose: Callable[[Sequence[PublishedEntry]], Iterator[Row]] = lambda entries: iter(())
    """Function that gives rows of several entries each."""
    usual: Callable[[Sequence[PublishedEntry]], list[PublishedEntry]] = list
    """Function that merges entries about the same thing."""
    rows: bool = True
    """True if entries are mapped to operators; other formats are for linting."""


def _late(reference: str, **options: Any) -> Callable[..., Any]:
    """Return a function whose module, and PyTorch with it, is imported when it is first called."""
    module, name = reference.split(":")
    return lambda *arguments: getattr(importlib.import_module(f"hwnas.latency.published.{module}"), name)(
        *arguments, **options
    )


PUBLISHED_FORMATS: Mapping[str, PublishedFormat] = {
    "ofa": PublishedFormat(
        _late("mobile:read", ofa=True),
        "Cai et al., Once-for-All, ICLR 2020, mit-han-lab/once-for-all",
        setup={"runtime": "tflite"},
        compose=_late("mobile:compose", ofa=True),
    ),
    "proxyless": PublishedFormat(
        _late("mobile:read", ofa=False),
        "Cai et al., ProxylessNAS, ICLR 2019, mit-han-lab/proxylessnas",
        setup={"runtime": "tflite"},
        compose=_late("mobile:compose", ofa=False),
    ),
    "tinynas": PublishedFormat(
        _late("tinynas:read"),
        "alibaba/lightweight-neural-architecture-search",
        "Apache-2.0",
        setup={"device": "NVIDIA V100", "runtime": "tensorrt", "accelerator": "cuda"},
    ),
    "fbnet": PublishedFormat(
        _late("fbnet:read"),
        "Wu et al., FBNet, CVPR 2019, facebookresearch/mobile-vision",
        "CC-BY-NC-4.0",
        setup={"device": "Samsung Galaxy S8 (SM-G950U-7.0-24)", "runtime": "caffe2", "precision": "int8"},
        compose=_late("fbnet:compose"),
        usual=_late("fbnet:usual"),
    ),
    "tfnas": PublishedFormat(_late("tfnas:read"), "Hu et al., TF-NAS, ECCV 2020, AberHu/TF-NAS", "MIT", rows=False),
}


def named(name: str) -> PublishedFormat:
    """Return a format by its name.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in PUBLISHED_FORMATS:
        raise ConfigError(
            f"there is no format `{name}`",
            where="--format",
            allowed=did_you_mean(name, PUBLISHED_FORMATS),
            do="Use one of these",
        )
    return PUBLISHED_FORMATS[name]


def bytes_of(path: Path) -> bytes:
    """Return the content of a file, gzip or not.

    Raises:
        TableError: it cannot be read.
    """
    content = content_of(path)
    try:
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(str(path), f"the file cannot be unpacked ({reason(error)})") from error


def detect(path: Path, text: str) -> str | None:
    """Return the name of the format, or None for a table of hwnas.

    Raises:
        TableError: it is neither.
    """
    begin = text.lstrip()[:4096]
    if '"hwnas_table"' in begin or '"rounds_ns"' in text:
        return None
    if re.match(r"\{\w+,\d", begin):
        return "tinynas"
    if begin.startswith("{") and '"op_type"' in begin:
        return "fbnet"
    if re.search(r"expanded_conv-input:", text):
        return "ofa" if re.search(r"-se:\d+-hs:\d+", text) else "proxyless"
    if begin.startswith("{"):
        try:
            values = json.loads(text).values()
        except (AttributeError, RecursionError, ValueError):
            values = []
        if any(isinstance(value, dict) for value in values):
            return "tfnas"
    raise unreadable(str(path), "the file is of no format that is known here")


def read_entries(path: Path, name: str) -> list[PublishedEntry]:
    """Read the entries of a file of a published format; bytes that are no text become question marks.

    Raises:
        TableError: it cannot be read.
        ConfigError: there is no such format.
    """
    return entries_in(path, name, bytes_of(path).decode(errors="replace"))


def entries_in(path: Path, name: str, text: str) -> list[PublishedEntry]:
    """Read the entries in a file's text.

    Raises:
        TableError: it cannot be understood.
        ConfigError: there is no such format.
    """
    with refusing_odd(str(path)):
        return named(name).read(str(path), text)
