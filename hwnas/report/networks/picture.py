"""A network drawn as its chain of operators, alone or beside another: widths, choices, times, live memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from hwnas.report import units
from hwnas.report.charts.svg import lines_of, svg, text
from hwnas.report.markup import Html, el, join
from hwnas.report.networks.facts import OperatorFacts, own_operators
from hwnas.report.spaces.picture import STYLE

EDGE, NAME_ROOM, COLUMN_GAP, LINE_PIXELS, FIRST_ROW = 24, 120, 16, 18, 108
CHANGED = ".changed { fill: var(--grid); } .low { opacity: .45; }"

Pair = tuple[OperatorFacts | None, OperatorFacts | None]


def aligned(first: Sequence[OperatorFacts], second: Sequence[OperatorFacts]) -> list[Pair]:
    """Return the operators of two networks side by side by their slots; None where one has none there.

    >>> aligned([], [])
    []
    """
    names = [[one.slot for one in side] for side in (first, second)]
    pairs: list[Pair] = []
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, names[0], names[1], autojunk=False).get_opcodes():
        if kind == "equal":
            pairs += zip(first[a0:a1], second[b0:b1], strict=True)
        else:
            pairs += [(one, None) for one in first[a0:a1]]
            pairs += [(None, one) for one in second[b0:b1]]
    return pairs


def differs(pair: Pair) -> bool:
    """Return whether the two sides are not the same operator at the same sizes."""
    first, second = pair
    if first is None or second is None:
        return True
    return (first.words, first.input_shape, first.output_shape) != (
        second.words,
        second.input_shape,
        second.output_shape,
    )


def network_picture(title: str, networks: Mapping[str, Sequence[OperatorFacts]]) -> Html:
    """Return an SVG of one network, or of two by their names; rows that differ between the two are tinted."""
    sides = [own_operators(operators) for operators in networks.values()]
    pairs: list[Pair] = aligned(*sides) if len(sides) == 2 else [(one, None) for one in sides[0]]
    scales = _Scales.of([one for side in sides for one in side], len(sides))
    rows = [_SlotRow(pair, len(sides), scales) for pair in pairs]
    width = EDGE + NAME_ROOM + len(sides) * scales.room + EDGE
    parts, y = [_heads(title, list(networks), scales)], FIRST_ROW
    for row in rows:
        parts.append(el("g", row.drawn(width), transform=f"translate(0 {y})"))
        y += row.height
    changed = sum(differs(pair) for pair in pairs) if len(sides) == 2 else 0
    words = f"{title}: {len(rows)} operators in order, with their sizes, choices, predicted times and live activations."
    words += f" {changed} rows differ." if len(sides) == 2 else ""
    return svg(width, y + EDGE, STYLE + CHANGED, words, el("title", title), *parts)


@dataclass(frozen=True)
class _Scales:
    """The largest values of both networks, which bars are drawn to, and the colours of kinds."""

    channels: int
    ms: float | None
    memory: int
    widths_room: int
    """Width of the column of blocks; the next two are of words and of one bar."""
    words_room: int
    bar_room: int
    colors: Mapping[str, str]

    @classmethod
    def of(cls, operators: Sequence[OperatorFacts], sides: int) -> _Scales:
        kinds = dict.fromkeys(one.kind for one in operators)
        times = [one.ms for one in operators if one.ms is not None]
        return cls(
            max((shape[0] for one in operators for shape in (one.input_shape, one.output_shape) if shape), default=1),
            max(times) if times else None,
            max((one.activation_bytes for one in operators), default=1) or 1,
            *((110, 208, 76) if sides == 2 else (220, 420, 150)),
            {kind: f"var(--c{index % 6})" for index, kind in enumerate(kinds)},
        )

    @property
    def bars(self) -> list[str]:
        """Heads of the columns with bars."""
        return [*(["predicted"] if self.ms is not None else []), "live"]

    @property
    def room(self) -> int:
        """Width that one network takes."""
        return self.bars_at + len(self.bars) * (self.bar_room + COLUMN_GAP)

    @property
    def bars_at(self) -> int:
        """Left edge of the first bar."""
        return self.widths_room + self.words_room + COLUMN_GAP

    def half_width(self, shape: tuple[int, ...]) -> float:
        """Half the width of a block's edge: it grows with the square root of the channels."""
        share = ((shape[0] if shape else 1) / self.channels) ** 0.5
        return max(3.0, float((self.widths_room - 16) * share / 2))


@dataclass(frozen=True)
class _SlotRow:
    """One slot of one network, or of two."""

    pair: Pair
    sides: int
    scales: _Scales

    @property
    def height(self) -> int:
        return max(40, 14 + LINE_PIXELS * max(len(self._words(one)) for one in self.pair if one is not None))

    def drawn(self, width: int) -> Html:
        one = self.pair[0] or self.pair[1]
        assert one is not None  # a row is that of some operator
        tint = None
        if self.sides == 2 and differs(self.pair):
            tint = el("rect", x="8", y="0", width=str(width - 16), height=str(self.height), rx="6", class_="changed")
        name = lines_of(one.slot, NAME_ROOM - 12, 14)[0]
        sides = [
            el(
                "g",
                *self._side(operator),
                transform=f"translate({EDGE + NAME_ROOM + index * self.scales.room} 0)",
            )
            for index, operator in enumerate(self.pair[: self.sides])
        ]
        return join(tint, text(EDGE, 24, name, class_="name"), *sides)

    def _side(self, one: OperatorFacts | None) -> Iterator[Html]:
        if one is None:
            yield text(self.scales.widths_room / 2, 24, "none", class_="muted", text_anchor="middle")
            return
        color = self.scales.colors[one.kind]
        yield self._block(one, color)
        for index, line in enumerate(self._words(one)):
            yield text(
                self.scales.widths_room + 8,
                18 + LINE_PIXELS * index,
                line,
                class_="muted" if index else None,
                style="font-size: 13px",
            )
        x = self.scales.bars_at
        if self.scales.ms is not None:
            label = f"{units.milliseconds(one.ms)}{' ~' if one.estimated else ''}"
            yield self._bar(x, (one.ms or 0.0) / (self.scales.ms or 1.0), label, color)
            x += self.scales.bar_room + COLUMN_GAP
        yield self._bar(x, one.activation_bytes / self.scales.memory, units.size(one.activation_bytes), "var(--muted)")

    def _words(self, one: OperatorFacts) -> list[str]:
        return [*lines_of(one.words, self.scales.words_room, 13), f"→ {one.output}"]

    def _bar(self, x: float, share: float, label: str, color: str) -> Html:
        room = self.scales.bar_room
        return join(
            el("rect", x=f"{x:g}", y="24", width=str(room), height="7", rx="3.5", class_="track"),
            el("rect", x=f"{x:g}", y="24", width=f"{max(2.0, room * share):.1f}", height="7", rx="3.5", fill=color),
            text(x, 18, label, class_="muted"),
        )

    def _block(self, one: OperatorFacts, color: str) -> Html:
        """From the channels that come in, above, to those that go out, below."""
        middle = self.scales.widths_room / 2
        top, bottom = map(self.scales.half_width, (one.input_shape, one.output_shape))
        low = self.height - 3
        corners = f"{middle - top:.1f},3 {middle + top:.1f},3 {middle + bottom:.1f},{low} {middle - bottom:.1f},{low}"
        return el("polygon", points=corners, fill=color, fill_opacity="0.75")


def _heads(title: str, names: Sequence[str], scales: _Scales) -> Html:
    parts = [text(EDGE, 38, title, class_="title"), text(EDGE, FIRST_ROW - 14, "slot", class_="head")]
    for index, name in enumerate(names):
        x = EDGE + NAME_ROOM + index * scales.room
        column = x + scales.widths_room + 8
        parts += [
            text(x + scales.widths_room / 2, FIRST_ROW - 14, "channels", class_="head", text_anchor="middle"),
            text(column, FIRST_ROW - 14, "operator, output", class_="head"),
        ]
        if len(names) > 1:
            parts.append(text(column, FIRST_ROW - 34, name, class_="name"))
        for column_index, head in enumerate(scales.bars):
            at = x + scales.bars_at + column_index * (scales.bar_room + COLUMN_GAP)
            parts.append(text(at, FIRST_ROW - 14, head, class_="head"))
    return join(*parts)
