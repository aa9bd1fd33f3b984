"""Tables of once-for-all and ProxylessNAS: YAML, one key a block, such as `expanded_conv-input:56x56x24-...`.

Keys, and the way in which the means are summed, follow the code that was published with Cai et al., ProxylessNAS, ICLR
2019, and Once-for-All, ICLR 2020: stem `Conv`, an `expanded_conv` for each layer, then `Conv_1`, and `AvgPool2D`,
`Conv_2` and `Logits` (once-for-all) or `Logits` with everything after `Conv_1` in it (ProxylessNAS). Means are
milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import yaml

from hwnas.errors import reason
from hwnas.latency.published.entry import Fact, Link, PublishedEntry, Row, unreadable
from hwnas.ops import Shape
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.mbconv import MBConv
from hwnas.ops.operator import make_divisible

MOBILE_KEY = re.compile(r"(?P<layer>\w+)(?P<fields>(?:-[a-z]+:[\w.]+)+)")
_FIELDS = {"expanded_conv": {"input", "output", "expand", "kernel", "stride", "idskip"}}
_ENDS = {"input", "output"}


def read(path: str, text: str, *, ofa: bool) -> list[PublishedEntry]:
    """Return the entries of a file, lines included.

    Raises:
        TableError: it is no YAML of keys with means.
    """
    try:
        root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise unreadable(f"{path}:{mark.line + 1}" if mark else path, f"this is no YAML ({reason(error)})") from error
    if not isinstance(root, yaml.MappingNode):
        raise unreadable(path, "the file holds no keys")
    return [_entry(path, key, value, ofa=ofa) for key, value in root.value]


def _entry(path: str, key: yaml.Node, value: yaml.Node, *, ofa: bool) -> PublishedEntry:
    line = key.start_mark.line + 1
    numbers = {"mean": value} if isinstance(value, yaml.ScalarNode) else {}
    if isinstance(value, yaml.MappingNode):
        numbers = {str(name.value): number for name, number in value.value}
    try:
        values = {
            name: float(number.value.replace(".", "", 1) if number.value[-3:] in ("nan", "inf") else number.value)
            for name, number in numbers.items()
        }
        ms = values.pop("mean")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unreadable(f"{path}:{line}", f"`{key.value}` has no mean ({reason(error)})") from error
    facts = facts_of(str(key.value))
    layer = str(facts.get("layer", key.value))
    entry = PublishedEntry(line, str(key.value), ms, layer, facts, more=values)
    return replace(entry, links=tuple(_links(facts, ofa=ofa)))


def facts_of(key: str) -> dict[str, Fact]:
    """Return the facts in a key; none if it is not of this form."""
    matched = MOBILE_KEY.fullmatch(key)
    if matched is None:
        return {}
    facts: dict[str, Fact] = {"layer": matched["layer"]}
    for name, value in (part.split(":") for part in matched["fields"].split("-")[1:]):
        sizes = value.split("x")
        if name in _ENDS and all(size.isdigit() for size in sizes):
            facts |= _end(name, [int(size) for size in sizes])
        else:
            facts[name] = int(value) if value.isdigit() else value
    return facts


def _end(name: str, sizes: Sequence[int]) -> dict[str, Fact]:
    """Return sizes of the input or the output: height, width and channels, or channels alone."""
    space, side = ("", "in_") if name == "input" else ("out_", "out_")
    names = (f"{space}height", f"{space}width", f"{side}channels")
    return dict(zip(names[-len(sizes) :] if len(sizes) in (1, 3) else (), sizes, strict=False))


def _links(facts: Mapping[str, Fact], *, ofa: bool) -> Iterator[Link]:
    """Yield the operator whose latency an entry is on its own, if there is one."""
    act, sizes = _activation(ofa=ofa), {name: v for name, v in facts.items() if isinstance(v, int)}
    layer, fields = facts.get("layer"), _asked(facts)
    if layer in ("Conv", "Conv_1") and fields == _ENDS and _spatial(sizes):
        stride = _stride(sizes)
        if stride is not None and (layer == "Conv" or stride == 1):
            kernel = 3 if layer == "Conv" else 1
            yield Conv(sizes["in_channels"], sizes["out_channels"], kernel, stride, act), _shape(sizes)
    elif layer == "expanded_conv" and fields == _FIELDS[layer] | ({"se", "hs"} if ofa else set()) and _spatial(sizes):
        block = _block(sizes, ofa=ofa)
        if block is not None:
            yield block, _shape(sizes)
    elif layer == "Logits" and not ofa and {"height", "in_channels", "out_channels"} <= sizes.keys():
        yield from heads(sizes, act)


def _block(sizes: Mapping[str, int], *, ofa: bool) -> MBConv | None:
    """Return an inverted residual block, if hwnas's of these sizes has that hidden width, stride and shortcut."""
    channels, out = sizes["in_channels"], sizes["out_channels"]
    hidden = sizes["expand"] if ofa else sizes["expand"] * channels
    ratio = hidden / channels
    same = sizes["stride"] == 1 and channels == out
    exact = (hidden == channels or make_divisible(round(channels * ratio)) == hidden) and same == bool(sizes["idskip"])
    if not exact or _stride(sizes, among=(sizes["stride"],)) is None:
        return None
    act = ("hswish" if sizes["hs"] else "relu") if ofa else _activation(ofa=False)
    expand = int(ratio) if ratio.is_integer() else ratio
    return MBConv(channels, out, sizes["kernel"], expand, sizes["stride"], bool(sizes.get("se", 0)), act)


def heads(sizes: Mapping[str, int], act: str) -> Iterator[Link]:
    """Yield classifiers of pooling and one linear layer; its activation is not used, so the default's name fits too."""
    for name in dict.fromkeys((act, "relu")):
        yield Classifier(sizes["in_channels"], sizes["out_channels"], activation=name), _shape(sizes)


def compose(entries: Sequence[PublishedEntry], *, ofa: bool) -> Iterator[Row]:
    """Yield the classifiers that can be put together: 1x1 convolution, pooling, hidden layer, linear layer."""
    act = _activation(ofa=ofa)
    by_layer: dict[str, list[PublishedEntry]] = {}
    for entry in entries:
        sizes = entry.facts
        if _asked(sizes) == _ENDS and "in_channels" in sizes and "out_channels" in sizes:
            by_layer.setdefault(entry.layer, []).append(entry)
    features = [e for e in by_layer.get("Conv_1", []) if e.links]
    linear = partial(_into, by_layer.get("Logits", []))
    if not ofa:
        for first in features:
            for last in linear(first):
                yield _head(first, (first, last), act, classes=last)
        return
    for pool in filter(_pools, by_layer.get("AvgPool2D", [])):
        before = [first for first in features if _follows(first, pool)]
        for mix in _into(by_layer.get("Conv_2", []), pool):
            for last in linear(mix):
                yield _head(pool, (pool, mix, last), act, classes=last, hidden=mix)
                yield from (_head(first, (first, pool, mix, last), act, classes=last, hidden=mix) for first in before)
        for last in linear(pool):
            yield from (Row(link, (pool, last)) for link in heads({**_sizes(pool), **_out(last)}, act))
            yield from (_head(first, (first, pool, last), act, classes=last) for first in before)


def _head(
    first: PublishedEntry,
    parts: tuple[PublishedEntry, ...],
    act: str,
    *,
    classes: PublishedEntry,
    hidden: PublishedEntry | None = None,
) -> Row:
    """Return a classifier that begins with `first`, a 1x1 convolution or the pooling."""
    features = _sizes(first)["out_channels"] if first.layer == "Conv_1" else 0
    wide = _sizes(hidden)["out_channels"] if hidden is not None else 0
    sizes = _sizes(first)
    return Row(
        (Classifier(sizes["in_channels"], _sizes(classes)["out_channels"], features, wide, act), _shape(sizes)), parts
    )


def _into(entries: Sequence[PublishedEntry], before: PublishedEntry) -> Iterator[PublishedEntry]:
    """Yield the entries whose input is the output of the entry before."""
    return (entry for entry in entries if _follows(before, entry))


def _follows(before: PublishedEntry, after: PublishedEntry) -> bool:
    out = [before.facts.get(name) for name in ("out_height", "out_width", "out_channels")]
    return out == [after.facts.get(name) for name in ("height", "width", "in_channels")]


def _pools(entry: PublishedEntry) -> bool:
    sizes = entry.facts
    return sizes.get("out_height") == sizes.get("out_width") == 1 and sizes["in_channels"] == sizes["out_channels"]


def _activation(*, ofa: bool) -> str:
    return "hswish" if ofa else "relu6"


def _asked(facts: Mapping[str, Fact]) -> set[str]:
    """Return the fields of a key."""
    derived = {"layer", "height", "width", "in_channels", "out_height", "out_width", "out_channels"}
    ends = {"input"} if "in_channels" in facts else set()
    return (facts.keys() - derived) | ends | ({"output"} if "out_channels" in facts else set())


def _sizes(entry: PublishedEntry) -> dict[str, int]:
    return {name: value for name, value in entry.facts.items() if isinstance(value, int)}


def _out(entry: PublishedEntry) -> dict[str, int]:
    return {"out_channels": _sizes(entry)["out_channels"]}


def _spatial(sizes: Mapping[str, int]) -> bool:
    return {"height", "width", "in_channels", "out_height", "out_width", "out_channels"} <= sizes.keys()


def _shape(sizes: Mapping[str, int]) -> Shape:
    return sizes["in_channels"], sizes["height"], sizes["width"]


def _stride(sizes: Mapping[str, int], among: Sequence[int] = (1, 2)) -> int | None:
    """Return the stride that turns the input's size into the output's, rounded up as padded convolutions do."""
    for stride in among:
        if all(-(-sizes[name] // stride) == sizes[f"out_{name}"] for name in ("height", "width")):
            return stride
    return None
