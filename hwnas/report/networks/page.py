"""The page of one network, or of two side by side: totals, picture, time and live memory of every operator."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hwnas.report import units
from hwnas.report.charts.chart import ChartAxis, Figure, Line, Marks, Tip, cut
from hwnas.report.document import framed
from hwnas.report.markup import Html, el
from hwnas.report.networks.facts import OperatorFacts, estimated_words, own_operators, predicted_ms, size_words
from hwnas.report.networks.picture import aligned, differs, network_picture
from hwnas.report.parts import Header, LegendEntry, TableCell, legend, origin, pairs, plot, section, table
from hwnas.words import counted

COLORS = ("--tier-0", "--tier-1")
ROW_PIXELS = 24

Networks = Mapping[str, tuple[Mapping[str, Any], tuple[OperatorFacts, ...]]]
"""By name: what `hwnas cost --json` prints of it, and its operators."""


def network_page(documents: Mapping[str, Mapping[str, Any]], *, hwnas_version: str, created_at: str) -> str:
    """Return the page as text; `documents` holds, by name, what `hwnas cost --json` prints of one network or of two."""
    networks = {name: (one, tuple(map(OperatorFacts.of, one["operators"]))) for name, one in documents.items()}
    one = next(iter(documents.values()))
    heading = " beside ".join(documents)
    sections = {
        "Network": _totals(networks),
        "Architecture": _architecture(one["space"], networks),
        **({"Latency": _latency(networks)} if "latency_ms" in one else {}),
        "Memory": _memory(networks),
        "Operators": _differences(networks) if len(networks) == 2 else _operators(networks),
    }
    return framed(
        "network",
        heading,
        heading,
        f"Space {one['space']}, input {size_words(one['input'])}",
        sections,
        hwnas_version=hwnas_version,
        created_at=created_at,
    )


def _totals(networks: Networks) -> Html:
    cards = [
        el("article", el("h3", name, class_="name"), pairs(_facts(*network)), class_=f"card tier t{index}")
        for index, (name, network) in enumerate(networks.items())
    ]
    say = "Counted from the network; latency is predicted from a table of its operators." if _priced(networks) else None
    return section("Network", "The whole", el("div", *cards, class_="grid"), say=say)


def _facts(document: Mapping[str, Any], operators: Sequence[OperatorFacts]) -> Iterator[tuple[str, Html | str]]:
    yield "Architecture", el("code", document["key"])
    yield "Parameters", units.count(document["params"])
    yield "MACs", units.macs(document["macs"])
    yield "Peak of live activations", f"{units.size(document['activation_bytes'])} (batch 1, float32)"
    if "latency_ms" in document:
        ends = units.interval(document["low_ms"], document["high_ms"])
        yield "Latency", el("span", f"{units.milliseconds(document['latency_ms'])} ", origin("predicted"))
        yield "90 % interval", ends
        yield "From", document["latency_origin"]
        yield "Set-up", units.setup_line(document["setup"])
        if gaps := estimated_words(operators):
            yield "Estimated", gaps


def _architecture(space: str, networks: Networks) -> Html:
    names = {name: operators for name, (_, operators) in networks.items()}
    drawn = network_picture(space, names)
    data = base64.b64encode(drawn.encode()).decode()
    image = el("img", src=f"data:image/svg+xml;base64,{data}", alt=f"Operators of {' and '.join(names)} in order")
    region = el("div", image, class_="scroll", role="region", aria_label="Architecture", tabindex="0")
    say = (
        "A block's width grows with the square root of its channels, those that come in above, those that go out below."
    )
    if len(networks) == 2:
        say += " Rows that differ are tinted."
    return section("Architecture", "Operator by operator", el("article", region, class_="card"), say=say)


def _latency(networks: Networks) -> Html:
    entries: list[LegendEntry] = [("network", color, name, name) for name, color in zip(networks, COLORS, strict=False)]
    axis = el(
        "p",
        el("b", f"Latency that each adds ({latency_unit(networks)[0]})"),
        " with a 90 % interval ",
        origin("predicted"),
        class_="axis",
    )
    card = el("article", axis, plot(latency_figure(networks)), legend(entries), class_="card")
    say = "They sum to the predicted latency, what a call costs besides included."
    return section("Latency", "Where the time goes", card, say=say)


def latency_unit(networks: Networks) -> tuple[str, float]:
    """Return the unit of the latency figure, and what milliseconds are multiplied with."""
    return units.time_unit([one.ms or 0.0 for _, operators in networks.values() for one in operators])


def latency_figure(networks: Networks) -> Figure:
    """Return what each operator adds, one row an operator, with its interval."""
    sides = {name: {one.slot: one for one in operators} for name, (_, operators) in networks.items()}
    slots = _slots(networks)
    unit, times = latency_unit(networks)
    layers = []
    for index, (name, by_slot) in enumerate(sides.items()):
        shown = [(len(slots) - 1 - row, by_slot[slot]) for row, slot in enumerate(slots) if slot in by_slot]
        total = predicted_ms(list(by_slot.values())) or 1.0
        offset = (0.16 - 0.32 * index) if len(sides) == 2 else 0.0
        layers.append(
            Marks(
                name,
                [times * (one.ms or 0.0) for _, one in shown],
                [y + offset for y, _ in shown],
                COLORS[index],
                [_tip(name, one, total) for _, one in shown],
                across=[(times * (one.low_ms or 0.0), times * (one.high_ms or 0.0)) for _, one in shown],
            )
        )
    high = max(end for layer in layers for _, end in layer.across)
    low = min(0.0, *(end for layer in layers for end, _ in layer.across))
    labels = tuple(cut(slot, 18) for slot in reversed(slots))
    return Figure(
        tuple(layers),
        ChartAxis((low, 1.04 * high or 1.0), unit),
        ChartAxis((-0.7, len(slots) - 0.3), names=labels),
        ROW_PIXELS * len(slots) + 74,
        f"Predicted latency of {counted(len(slots), 'operator')} of {' and '.join(networks)}.",
    )


def _slots(networks: Networks) -> list[str]:
    """Return the slots of one network, or of both in order."""
    sides = [operators for _, operators in networks.values()]
    if len(sides) == 1:
        return [one.slot for one in sides[0]]
    return [(first or second).slot for first, second in aligned(*sides)]  # type: ignore[union-attr]


def _tip(name: str, one: OperatorFacts, total: float) -> Tip:
    rows = [("Adds", units.milliseconds(one.ms), "predicted"), ("Share", units.percent((one.ms or 0.0) / total), "")]
    if one.low_ms is not None and one.high_ms is not None:
        rows.append(("Interval", units.interval(one.low_ms, one.high_ms), "predicted"))
    if one.estimated:
        rows.append(("Row", "none: estimated", ""))
    return Tip(f"{name}, {one.slot}", tuple(rows), (one.words,))


def _memory(networks: Networks) -> Html:
    entries: list[LegendEntry] = [("solid", color, name, name) for name, color in zip(networks, COLORS, strict=False)]
    axis = el("p", el("b", f"↑ Live activations ({_memory_unit(networks)[0]})"), " ", origin("derived"), class_="axis")
    card = el("article", axis, plot(memory_figure(networks)), legend(entries), class_="card")
    say = "Most bytes of activations alive at once while each operator runs, its input included; batch 1, float32."
    return section("Memory", "Memory over the chain", card, say=say)


def _memory_unit(networks: Networks) -> tuple[str, int]:
    most = max(one.activation_bytes for _, operators in networks.values() for one in operators)
    return ("MiB", 2**20) if most >= 4 * 2**20 else ("KiB", 2**10)


def memory_figure(networks: Networks) -> Figure:
    """Return the live activations along the chain, a step an operator."""
    _, divisor = _memory_unit(networks)
    layers: list[Marks | Line] = []
    longest = 1
    for (name, (_, operators)), color in zip(networks.items(), COLORS, strict=False):
        own = own_operators(operators)
        longest = max(longest, len(own))
        values = [one.activation_bytes / divisor for one in own]
        corners = [(x, value) for number, value in enumerate(values, 1) for x in (number - 0.5, number + 0.5)]
        layers.append(Line(name, [x for x, _ in corners], [y for _, y in corners], color))
        tips = [
            Tip(f"{name}, {one.slot}", (("Live", units.size(one.activation_bytes), "derived"),), (one.words,))
            for one in own
        ]
        layers.append(Marks(f"{name}, operators", range(1, len(own) + 1), values, color, tips, radius=2.5))
    most = max(value for layer in layers for value in layer.y)
    return Figure(
        tuple(layers),
        ChartAxis((0.4, longest + 0.6), "Operator", whole=True),
        ChartAxis((0.0, 1.06 * most or 1.0)),
        260,
        f"Live activations along the chain of {' and '.join(networks)}.",
    )


def _operators(networks: Networks) -> Html:
    ((_, operators),) = networks.values()
    total = predicted_ms(operators)
    headers: list[Header] = [
        ("Slot", None),
        ("Operator", None),
        ("Output", None),
        ("Parameters", "derived"),
        ("MACs", "derived"),
        ("Live activations", "derived", "B"),
        ("Adds", "predicted", "ms"),
        ("Share", "predicted", "fraction"),
        ("90 % interval", "predicted", "ms"),
        ("Row", None),
    ]
    rows = [
        [
            TableCell(one.slot, one.slot),
            TableCell(one.words, one.words),
            TableCell(one.output, one.output or None),
            TableCell(units.count(one.params), one.params),
            TableCell(units.macs(one.macs), one.macs),
            TableCell(units.size(one.activation_bytes), one.activation_bytes),
            TableCell(units.milliseconds(one.ms), one.ms),
            TableCell(units.percent(None if total is None else (one.ms or 0.0) / total), one.ms),
            TableCell(_ends(one), one.low_ms),
            TableCell("estimated" if one.estimated else "in the table", None if one.ms is None else one.estimated),
        ]
        for one in operators
    ]
    return section("Operators", "All operators", el("article", table("Operators", headers, rows), class_="card"))


def _ends(one: OperatorFacts) -> str:
    return units.GAP if one.low_ms is None or one.high_ms is None else units.interval(one.low_ms, one.high_ms)


def _differences(networks: Networks) -> Html:
    names = list(networks)
    rows = []
    for first, second in aligned(*(operators for _, operators in networks.values())):
        known = first or second
        assert known is not None  # a row is that of some operator
        if not differs((first, second)):
            continue
        change = (second.ms or 0.0 if second else 0.0) - (first.ms or 0.0 if first else 0.0)
        rows.append(
            [
                TableCell(known.slot, known.slot),
                *(TableCell(_side(one), _side(one)) for one in (first, second)),
                *(
                    TableCell(units.milliseconds(one.ms if one else None), one.ms if one else None)
                    for one in (first, second)
                ),
                TableCell(_signed(change), change if known.ms is not None else None),
            ]
        )
    if not rows:
        return section("Operators", "What differs", el("p", "The two are the same network."))
    headers: list[Header] = [
        ("Slot", None),
        *((name, None) for name in names),
        *((f"{name} adds", "predicted", "ms") for name in names),
        ("Change", "predicted", "ms"),
    ]
    say = f"{counted(len(rows), 'row')} that differ; all others are the same operator at the same sizes."
    card = el("article", table("Operators that differ", headers, rows), class_="card")
    return section("Operators", "What differs", card, say=say)


def _signed(ms: float) -> str:
    """Return a difference of times, with its sign.

    >>> _signed(-0.0025), _signed(1.5)
    ('−2.50 µs', '+1.50 ms')
    """
    sign = "+" if ms >= 0 else "\N{MINUS SIGN}"
    return f"{sign}{units.milliseconds(abs(ms))}"


def _side(one: OperatorFacts | None) -> str:
    return "none" if one is None else f"{one.words} → {one.output}"


def _priced(networks: Networks) -> bool:
    return any("latency_ms" in document for document, _ in networks.values())
