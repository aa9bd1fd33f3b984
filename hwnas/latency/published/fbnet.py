"""The operator table of FBNet and ChamNet (facebookresearch/mobile-vision, runtime_lut): one JSON object a line.

A record is a Caffe2 operator: `op_type`, `input_shapes` (NHWC input; weights as out, kernel, kernel, in; bias),
`op_args` in protobuf text, and percentiles in microseconds. That project's code uses `runtime_us_p50`, the mean over
equal records, and where an `Int8Conv` is missing, the `Int8ConvRelu` (Wu et al., FBNet, CVPR 2019).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from hwnas.errors import reason
from hwnas.latency.published.entry import Fact, Link, PublishedEntry, Row, unreadable
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.mbconv import MBConv
from hwnas.ops.operator import make_divisible

ARGUMENT = re.compile(r'name:\s*"(\w+)"\s*i:\s*(-?\d+)')
CONVOLUTIONS = {"Int8Conv": "none", "Conv": "none", "Int8ConvRelu": "relu", "ConvRelu": "relu"}
Sizes = Mapping[str, Any]


def read(path: str, text: str) -> list[PublishedEntry]:
    """Return the entries of a file.

    Raises:
        TableError: a line is not of this form.
    """
    return [_entry(path, number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _entry(path: str, number: int, line: str) -> PublishedEntry:
    try:
        record = json.loads(line)
        kind, shapes = str(record["op_type"]), [[int(size) for size in shape] for shape in record["input_shapes"]]
        arguments = {
            name: int(value) for name, value in ARGUMENT.findall(" ".join(map(str, record.get("op_args", []))))
        }
        us = float(record["runtime_us_p50"])
        more = {name: float(v) for name, v in record.items() if name.startswith("runtime_us_") and name[-3:] != "p50"}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unreadable(f"{path}:{number}", f"this is no record ({reason(error)})") from error
    facts: dict[str, Fact] = {"type": kind, **_sizes(kind, shapes, arguments)}
    key = json.dumps([kind, shapes, arguments, record.get("input_dtypes")])
    return PublishedEntry(number, key, us / 1e3, kind, facts, tuple(_links(facts)), more)


def _sizes(kind: str, shapes: Sequence[Sequence[int]], arguments: Mapping[str, int]) -> dict[str, Fact]:
    """Return sizes by name, as far as the record is a layer of a known kind; else its shapes as they are."""
    first = shapes[0] if shapes else []
    if kind in CONVOLUTIONS and len(shapes) > 1 and len(first) == len(shapes[1]) == 4:
        out, kernel, width, each = shapes[1]
        if kernel == width and first[3] % max(each, 1) == 0:
            sizes = {"batch": first[0], "height": first[1], "width": first[2], "in_channels": first[3]}
            return {
                **sizes,
                "out_channels": out,
                "kernel": kernel,
                "groups": first[3] // max(each, 1),
                "stride": arguments.get("stride", arguments.get("stride_h", 1)),
            }
    if kind in ("Int8FC", "FC") and len(shapes) > 1 and len(shapes[1]) == 2:
        return {"in_channels": shapes[1][1], "out_channels": shapes[1][0], "batch": first[0] if first else 1}
    if len(first) == 4:
        whole = first[1] == first[2] and (arguments.get("kernel") == first[1] or arguments.get("global_pooling") == 1)
        named = {"batch": first[0], "height": first[1], "width": first[2], "in_channels": first[3], "whole": int(whole)}
        return {**named, "arguments": str(sorted(arguments.items())), "inputs": len(shapes)}
    return {"shapes": str(list(shapes)), "arguments": str(sorted(arguments.items()))}


def _links(facts: Mapping[str, Fact]) -> Iterator[Link]:
    sizes: Sizes = facts
    if facts.get("groups") == 1:
        made = (sizes["in_channels"], sizes["out_channels"], sizes["kernel"], sizes["stride"])
        yield Conv(*made, activation=CONVOLUTIONS[sizes["type"]]), _shape(sizes)


def usual(entries: Sequence[PublishedEntry]) -> list[PublishedEntry]:
    """Merge equal records into one, with their mean."""
    alike: dict[str, list[PublishedEntry]] = defaultdict(list)
    for entry in entries:
        alike[entry.key].append(entry)
    return [replace(same[0], ms=sum(entry.ms for entry in same) / len(same)) for same in alike.values()]


def compose(entries: Sequence[PublishedEntry]) -> Iterator[Row]:
    """Yield blocks and classifiers that can be put together from convolutions, additions, pooling and linear layers."""
    layers = _Layers(entries)
    for entry in layers.relu:
        if entry.key.replace("ConvRelu", "Conv") not in layers.keys and entry.links:
            ((operator, shape),) = entry.links
            yield Row((replace(operator, activation="none"), shape), (entry,))  # type: ignore[call-arg]
    for depth in layers.depthwise:
        yield from _blocks(layers, depth)
    for pool, last in product(layers.pools, layers.linear):
        if pool.facts["in_channels"] == last.facts["in_channels"]:
            yield from _heads(layers, pool, last)


class _Layers:
    """The entries by what they do in a block."""

    def __init__(self, entries: Sequence[PublishedEntry]) -> None:
        self.keys = {entry.key for entry in entries}
        self.relu = [e for e in entries if CONVOLUTIONS.get(e.layer) == "relu"]
        self.depthwise = [e for e in self.relu if e.facts.get("groups") == e.facts.get("in_channels", 0) != 1]
        points = [e for e in entries if e.links and e.facts["kernel"] == e.facts["stride"] == 1]
        self.expanding: dict[Any, list[PublishedEntry]] = defaultdict(list)
        self.projecting: dict[Any, list[PublishedEntry]] = defaultdict(list)
        for point in points:
            sizes = point.facts
            plain = CONVOLUTIONS[point.layer] == "none"
            if not plain:
                self.expanding[sizes["height"], sizes["width"], sizes["out_channels"]].append(point)
            if plain or point.key.replace("ConvRelu", "Conv") not in self.keys:
                self.projecting[sizes["height"], sizes["width"], sizes["in_channels"]].append(point)
        self.adding = {
            _shape(e.facts): e for e in entries if e.layer in ("Int8Add", "Add", "Int8Sum") and "height" in e.facts
        }
        self.pools = [e for e in entries if "AveragePool" in e.layer and e.facts.get("whole")]
        self.linear = [e for e in entries if e.layer in ("Int8FC", "FC") and "in_channels" in e.facts]


def _blocks(layers: _Layers, depth: PublishedEntry) -> Iterator[Row]:
    """Yield inverted residual blocks around a depthwise convolution, of whole and half expansions."""
    sizes: Sizes = depth.facts
    hidden, stride = sizes["in_channels"], sizes["stride"]
    after = (-(-sizes["height"] // stride), -(-sizes["width"] // stride))
    before = [(hidden, ())] + [
        (int(first.facts["in_channels"]), (first,))
        for first in layers.expanding[sizes["height"], sizes["width"], hidden]
    ]
    for (channels, first), last in product(before, layers.projecting[(*after, hidden)]):
        expand = hidden / channels
        if first and (expand <= 1 or not (2 * expand).is_integer() or make_divisible(hidden) != hidden):
            continue
        out = int(last.facts["out_channels"])
        shape = (channels, sizes["height"], sizes["width"])
        adding = [layers.adding.get(shape)] if stride == 1 and channels == out else []
        if None in adding:
            continue
        parts = (*first, depth, last, *(part for part in adding if part is not None))
        block = MBConv(channels, out, sizes["kernel"], int(expand) if expand.is_integer() else expand, stride)
        yield Row((block, shape), parts)


def _heads(layers: _Layers, pool: PublishedEntry, last: PublishedEntry) -> Iterator[Row]:
    sizes: Sizes = pool.facts
    classes, width = int(last.facts["out_channels"]), sizes["in_channels"]
    yield Row((Classifier(width, classes), _shape(sizes)), (pool, last))
    for first in layers.expanding[sizes["height"], sizes["width"], width]:
        yield Row(
            (Classifier(int(first.facts["in_channels"]), classes, width), _shape(first.facts)), (first, pool, last)
        )


def _shape(sizes: Sizes) -> tuple[int, int, int]:
    return sizes["in_channels"], sizes["height"], sizes["width"]
