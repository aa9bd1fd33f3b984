"""Tables of TinyNAS (alibaba/lightweight-neural-architecture-search): text, one convolution a line.

`{type,batch,in_channels,height,width,out_channels,kernel,stride,fused} ms`; `fused` is an element-wise addition after
the convolution, -1 is no result. The time is that of the whole batch. That project's code prices a convolution with its
normalisation and activation by this one number, so both the bare convolution and the one with a ReLU get it.
"""

from __future__ import annotations

import re

from hwnas.errors import reason
from hwnas.latency.published.entry import Fact, Link, PublishedEntry, unreadable
from hwnas.ops.conv import Conv

TINYNAS_LINE = re.compile(r"\{(\w+),(\d+),(\d+),(\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\}\s+(\S+)")
TINYNAS_FIELDS = ("batch", "in_channels", "height", "width", "out_channels", "kernel", "stride", "fused")
NO_RESULT = -1.0


def read(path: str, text: str) -> list[PublishedEntry]:
    """Return the entries of a file.

    Raises:
        TableError: a line is not of this form.
    """
    return [_entry(path, number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _entry(path: str, number: int, line: str) -> PublishedEntry:
    matched = TINYNAS_LINE.fullmatch(line.strip())
    try:
        if matched is None:
            raise ValueError("it is not `{type,eight numbers} ms`")
        ms = float(matched[10])
    except ValueError as error:
        raise unreadable(
            f"{path}:{number}", f"`{line[:60]}` is no convolution with its time ({reason(error)})"
        ) from error
    sizes = dict(zip(TINYNAS_FIELDS, map(int, matched.groups()[1:9]), strict=True))
    facts: dict[str, Fact] = {"type": matched[1], **sizes}
    links: tuple[Link, ...] = ()
    if matched[1] == "Regular" and not sizes["fused"]:
        shape = (sizes["in_channels"], sizes["height"], sizes["width"])
        made = (sizes["in_channels"], sizes["out_channels"], sizes["kernel"], sizes["stride"])
        links = tuple((Conv(*made, activation=act), shape) for act in ("none", "relu"))
    layer = f"{matched[1]}{' with an addition' if sizes['fused'] else ''} of batch {sizes['batch']}"
    return PublishedEntry(number, line.strip().split("}")[0] + "}", ms, layer, facts, links, absent=ms == NO_RESULT)
