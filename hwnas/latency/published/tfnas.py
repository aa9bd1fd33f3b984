"""Tables of TF-NAS (AberHu/TF-NAS): JSON, `{block: {hidden width: ms}}`, and `base`, all layers that are not searched.

A block is `MBInvertedResBlock_RESOLUTION_IN_SE_OUT_kKERNEL_sSTRIDE_ACTIVATION`. Read for linting only.
"""

from __future__ import annotations

import json
import re
from typing import Any

from hwnas.errors import reason
from hwnas.latency.published.entry import Fact, PublishedEntry, unreadable

TFNAS_KEY = re.compile(r"(?P<layer>[A-Za-z]+)_(\d+)_(\d+)_(\d+)_(\d+)_k(\d+)_s(\d+)_(?P<activation>\w+)")
TFNAS_FIELDS = ("resolution", "in_channels", "se", "out_channels", "kernel", "stride")


def read(path: str, text: str) -> list[PublishedEntry]:
    """Return the entries of a file, both of a key that occurs twice.

    Raises:
        TableError: it is no JSON of this form.
    """
    try:
        pairs = json.loads(text, object_pairs_hook=lambda items: items)
        entries, position, line, counted = [], 0, 1, 0
        for key, value in pairs:
            position = text.index(json.dumps(key), position)
            inner = value if isinstance(value, list) else [("", value)]
            for name, ms in inner:
                position = text.index(f'"{name}"', position) if name else position
                line, counted = line + text.count("\n", counted, position), position
                entries.append(_entry(line, key, name, ms))
    except (AttributeError, TypeError, ValueError) as error:
        raise unreadable(path, f"this is no JSON of blocks with times ({reason(error)})") from error
    return entries


def _entry(line: int, key: str, name: str, ms: Any) -> PublishedEntry:
    facts: dict[str, Fact] = {}
    matched = TFNAS_KEY.fullmatch(key)
    if matched is not None and name.isdigit():
        sizes = dict(zip(TFNAS_FIELDS, map(int, matched.groups()[1:7]), strict=True))
        facts = {"layer": matched["layer"], "activation": matched["activation"], **sizes, "expand": int(name)}
    return PublishedEntry(line, f"{key}[{name}]" if name else key, float(ms), key.split("_")[0], facts)
