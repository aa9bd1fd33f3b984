"""The few pieces that our pictures are drawn with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hwnas.report.markup import Html, el, join

EM = 0.56
"""Width of a letter over the size of the type, on average and rather too wide: a picture cannot measure text."""
PILL, LEAD, SPACE = 22, 6, 5
"""Height of a pill, what is left before it, and between two."""


def svg(width: int, height: int, style: str, words: str, *parts: Html) -> Html:
    """A drawing on a card, `words` being what it says to those who cannot see it."""
    return el(
        "svg",
        el("style", Html(style)),
        el("rect", width="100%", height="100%", class_="card"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=str(width),
        height=str(height),
        role="img",
        aria_label=words,
    )


def text(x: float, y: float, content: str, **attributes: str | None) -> Html:
    """Return one line of text, its baseline at `y`."""
    return el("text", content, x=f"{x:g}", y=f"{y:g}", **attributes)


def width_of(content: str, size: float = 14) -> float:
    """About how wide a line is."""
    return EM * size * len(content)


def lines_of(content: str, room: float, size: float = 14) -> list[str]:
    """The text in lines that fit into a width; a word that is wider is cut."""
    most = max(int(room / (EM * size)), 4)
    lines: list[str] = []
    for word in content.split():
        pieces = [word[at : at + most] for at in range(0, len(word), most)]
        for piece in pieces:
            if lines and len(lines[-1]) + 1 + len(piece) <= most and piece is pieces[0]:
                lines[-1] += f" {piece}"
            else:
                lines.append(piece)
    return lines


@dataclass(frozen=True)
class Pills:
    """Names, each followed by its options in rounded boxes, then a line of plain words; wrapped at a width."""

    rows: Sequence[tuple[str, Sequence[str]]]
    words: str
    room: float

    @property
    def height(self) -> int:
        return self._laid[1]

    @property
    def drawn(self) -> Html:
        return join(*self._laid[0])

    @cached_property
    def _laid(self) -> tuple[list[Html], int]:
        drawn: list[Html] = []
        y = 0
        for name, pills in self.rows:
            drawn.append(text(0, y + 15, name, class_="muted"))
            start = x = width_of(name, 13) + LEAD + SPACE
            if start > self.room / 2:
                start, x, y = LEAD, LEAD, y + PILL
            for pill, width in self._cut(pills):
                if x + width > self.room and x > start:
                    x, y = start, y + PILL + 3
                drawn.append(
                    el("rect", x=f"{x:.1f}", y=str(y), width=f"{width:.1f}", height="20", rx="6", class_="pill")
                )
                drawn.append(text(x + width / 2, y + 15, pill, text_anchor="middle", style="font-size: 13px"))
                x += width + SPACE
            y += PILL + 5
        for line in lines_of(self.words, self.room, 13):
            drawn.append(text(0, y + 15, line, class_="muted"))
            y += PILL - 3
        return drawn, y

    def _cut(self, pills: Sequence[str]) -> Iterator[tuple[str, float]]:
        """Yield each pill with its width; a very long one ends in dots."""
        most = int((self.room - 40) / (EM * 13))
        for pill in pills:
            shown = pill if len(pill) <= most else pill[: most - 1] + "…"
            yield shown, width_of(shown, 13) + 14
