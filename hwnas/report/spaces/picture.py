"""A space as a picture: one self-contained SVG, a row for each stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnas.cost_ranges import Range
from hwnas.errors import ConfigError, RunError, reason
from hwnas.io.atomic import write_atomic
from hwnas.report import units
from hwnas.report.charts.svg import Pills, lines_of, svg, text
from hwnas.report.markup import Html, el, join
from hwnas.report.spaces.facts import KnobFacts, SpaceView, StageFacts, options, sides
from hwnas.report.spaces.table import headline, knob_words, span
from hwnas.words import counted

WIDTH, MARGIN = 1240, 28
NAME_X, LAYERS_X, SIZES_X, CHOICES_X, COSTS_X = 64, 236, 424, 556, 866
"""Left edges of the columns."""
BAR, BAR_GAP = 150, 24
"""Width of a bar of costs, and what lies between two."""
LINE_HEIGHT = 19
HEADLINES = 16
"""Lines above the stages; a function may have any number of choices."""
TOP = 40
"""Height of the columns' heads."""
STYLE = """
svg { --card: #ffffff; --ink: #131a22; --muted: #53606d; --line: #cdd5dd; --grid: #e9edf1;
  --c0: #0b7285; --c1: #5a4fc4; --c2: #ab3670; --c3: #796600; --c4: #2c7a31; --c5: #b4461f; }
@media (prefers-color-scheme: dark) { svg { --card: #151c23; --ink: #e9eef3; --muted: #9eabb8; --line: #36424e;
  --grid: #232d36; --c0: #4dc0d0; --c1: #a99fff; --c2: #f090ba; --c3: #d8c250; --c4: #83d089; --c5: #f0916a; } }
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; font-size: 14px;
  fill: var(--ink); }
.title { font-size: 24px; font-weight: 700; } .name { font-size: 15px; font-weight: 600; }
.muted, .head { fill: var(--muted); font-size: 13px; } .head { font-weight: 600; }
.pill { fill: var(--grid); } .track { fill: var(--grid); } .rule { stroke: var(--line); } .card { fill: var(--card); }
"""


def write_picture(view: SpaceView, path: Path) -> Path:
    """Write the picture of a space as `.svg`, or as an `.html` page that holds nothing else.

    Raises:
        ConfigError: the file's name ends in something else.
        RunError: it cannot be written.
    """
    check_picture(path)
    drawn = space_picture(view)
    page = join(Html("<!doctype html>"), el("meta", charset="utf-8"), el("title", view.name), drawn)
    try:
        write_atomic(path, drawn if path.suffix == ".svg" else page)
    except OSError as error:
        raise RunError(
            f"the picture cannot be written ({reason(error)})",
            where=str(path),
            allowed="The folder must be writable, on a disk with free space",
            do="Write it elsewhere",
        ) from error
    return path


def check_picture(path: Path) -> None:
    """Refuse a file's name that is none of a picture.

    Raises:
        ConfigError: it ends in something else.
    """
    if path.suffix not in (".svg", ".html"):
        raise ConfigError(
            f"a picture cannot be written as `{path.suffix or path.name}`",
            where=str(path),
            allowed="It is an .svg file, which browsers and editors show, or an .html page that holds it",
            do=f"Write --picture {path.stem or 'space'}.svg; a browser or `rsvg-convert` makes a PNG of it",
        )


def space_picture(view: SpaceView) -> Html:
    """The picture: the space's name, its ranges, and its stages from input to output."""
    head, below = _head(view)
    colors = {op: f"var(--c{index % 6})" for index, op in enumerate(_kinds(view.stages))}
    most = max((stage.macs.most for stage in view.stages), default=1), max(s.params.most for s in view.stages)
    rows = [_Row(stage, colors, most) for stage in view.stages]
    parts, y = [head, _heads(below, view)], below + TOP
    for row in rows:
        parts.append(el("g", row.drawn(), transform=f"translate(0 {y})"))
        y += row.height
    ends = (below + TOP + rows[0].height // 2, y - rows[-1].height // 2)
    spine = el("line", x1="44", x2="44", y1=str(ends[0]), y2=str(ends[1]), class_="rule", stroke_width="2")
    words = (
        f"Search space {view.name}: {counted(len(view.stages), 'stage')} in order, with their choices, sizes and costs."
    )
    return svg(WIDTH, y + MARGIN, STYLE, words, el("title", view.name), spine, *parts)


def _kinds(stages: Sequence[StageFacts]) -> list[str]:
    return list(dict.fromkeys(block.op for stage in stages for block in stage.blocks))


def _head(view: SpaceView) -> tuple[Html, int]:
    """Title, source and ranges; how far down they go."""
    entries = list(headline(view))
    entries = (
        [*entries[:HEADLINES], f"and {counted(len(entries) - HEADLINES, 'more choice')}"]
        if len(entries) > HEADLINES + 1
        else entries
    )
    lines = [line for entry in entries for line in lines_of(entry, WIDTH - 2 * MARGIN)]
    sources = lines_of(view.source, WIDTH - 2 * MARGIN, 13)
    parts = [text(MARGIN, 46, view.name, class_="title")]
    parts += [text(MARGIN, 70 + 18 * index, line, class_="muted") for index, line in enumerate(sources)]
    top = 80 + 18 * len(sources)
    parts += [text(MARGIN, top + 20 * index, line) for index, line in enumerate(lines)]
    return join(*parts), top + 20 * len(lines) + 8


def _heads(y: int, view: SpaceView) -> Html:
    counted = any(stage.ways is not None for stage in view.stages)
    words = {
        NAME_X: "stage" if counted else "slot",
        LAYERS_X: "layers",
        SIZES_X: "size, width",
        CHOICES_X: "choices",
        COSTS_X: "MACs",
        COSTS_X + BAR + BAR_GAP: "parameters",
    }
    drawn = [text(x, y + 20, word, class_="head") for x, word in words.items()]
    return join(
        *drawn, el("line", x1=str(MARGIN), x2=str(WIDTH - MARGIN), y1=str(y + 32), y2=str(y + 32), class_="rule")
    )


@dataclass(frozen=True)
class _Row:
    """One stage."""

    stage: StageFacts
    colors: Mapping[str, str]
    most: tuple[int, int]

    @property
    def color(self) -> str:
        return self.colors[self.stage.blocks[0].op]

    @property
    def height(self) -> int:
        name = len(self._name_lines()) * LINE_HEIGHT + 22
        return max(72, self._choices.height + 26, name, 26 + LINE_HEIGHT * len(self._size_lines()))

    def drawn(self) -> Html:
        middle = str(self.height // 2)
        node = el("circle", cx="44", cy=middle, r="6", fill=self.color)
        rule = el(
            "line",
            x1=str(NAME_X),
            x2=str(WIDTH - MARGIN),
            y1=str(self.height),
            y2=str(self.height),
            class_="rule",
            stroke_opacity="0.6",
        )
        costs = (
            _bar(COSTS_X, self.stage.macs, self.most[0], self.color),
            _bar(COSTS_X + BAR + BAR_GAP, self.stage.params, self.most[1], self.color),
        )
        sizes = [
            text(SIZES_X, 28 + LINE_HEIGHT * index, line, class_="muted" if index else None)
            for index, line in enumerate(self._size_lines())
        ]
        choices = el("g", self._choices.drawn, transform=f"translate({CHOICES_X} 12)")
        return join(node, rule, self._named(), self._layers(), *sizes, choices, *costs)

    def _named(self) -> Html:
        first, *rest = self._name_lines()
        below = [
            text(NAME_X, 28 + LINE_HEIGHT * index, line, class_="muted", style=f"fill: {self.color}")
            for index, line in enumerate(rest, 1)
        ]
        return join(text(NAME_X, 28, first, class_="name"), *below)

    def _name_lines(self) -> list[str]:
        ops = list(dict.fromkeys(block.op for block in self.stage.blocks))
        ways = self.stage.operators if self.stage.ways is None else self.stage.ways
        what = "operator" if self.stage.ways is None else "way"
        count = f"{units.architectures(ways)} {what}{'s'[: ways > 1]}" if ways > 1 else "no choice of its own"
        room = LAYERS_X - NAME_X - 16
        return [*lines_of(self.stage.name, room, 15), *lines_of(", ".join(ops), room, 13), count]

    def _size_lines(self) -> list[str]:
        before, after = sides(self.stage.entering), sides(self.stage.leaving)
        shared = self.stage.width.per not in ("layer", "stage") and len(self.stage.width.options) > 1
        width = f"width {options(self.stage.width)}" + (f" (${self.stage.width.per})" if shared else "")
        parts = [before, *([f"→ {after}"] if after != before else []), width]
        return [line for words in parts for line in lines_of(words, CHOICES_X - SIZES_X - 12, 13)]

    def _layers(self) -> Html:
        """A square for each layer; what only some networks have is an outline."""
        depths = sorted({int(depth) for depth in self.stage.depth.options})
        per_row = 10
        squares = []
        for index in range(depths[-1]):
            x, y = LAYERS_X + 16 * (index % per_row), 16 + 18 * (index // per_row)
            sure = index < depths[0]
            squares.append(
                el(
                    "rect",
                    x=str(x),
                    y=str(y),
                    width="12",
                    height="14",
                    rx="2.5",
                    fill=self.color if sure else "none",
                    stroke=self.color,
                    stroke_dasharray=None if sure else "2.5 2",
                )
            )
        label = options(self.stage.depth) if len(depths) > 1 else f"{depths[0]}"
        y = 16 + 18 * ((depths[-1] - 1) // per_row + 1) + 14
        stride = f", stride {self.stage.stride}" if self.stage.stride > 1 else ""
        return join(*squares, text(LAYERS_X, y, label + stride, class_="muted"))

    @property
    def _choices(self) -> Pills:
        return Pills(list(_choice_lines(self.stage)), _fixed(self.stage), COSTS_X - CHOICES_X - 20)


def _knobs(stage: StageFacts) -> list[KnobFacts]:
    return [*stage.knobs, *(stage.blocks[0].knobs if len(stage.blocks) == 1 else ())]


def _fixed(stage: StageFacts) -> str:
    """Return the knobs with a single option, with that option."""
    return ", ".join(f"{knob.name} {options(knob)}" for knob in _knobs(stage) if len(knob.options) == 1)


def _choice_lines(stage: StageFacts) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the open choices of a stage: names with their options."""
    several = len(stage.blocks) > 1
    if several:
        yield "operator", [block.label for block in stage.blocks]
    own = [(f"{block.label} ", knob) for block in stage.blocks for knob in block.knobs if several]
    for of, knob in [*own, *(("", knob) for knob in _knobs(stage))]:
        if len(knob.options) > 1 and knob.per in ("layer", "stage"):
            yield of + _knob_name(knob), [options(KnobFacts(knob.name, (option,), knob.per)) for option in knob.options]
    tied = [knob for knob in _knobs(stage) if len(knob.options) > 1 and knob.per not in ("layer", "stage")]
    if tied:
        yield "shared", [knob_words(knob) for knob in tied]


def _knob_name(knob: KnobFacts) -> str:
    return knob.name if knob.per == "layer" else f"{knob.name} (once)"


def _bar(x: int, extent: Range, most: int, color: str) -> Html:
    """From the least to the most, on a scale that all stages share."""
    scale = BAR / max(most, 1)
    left, right = extent.least * scale, extent.most * scale
    return join(
        el("rect", x=str(x), y="18", width=str(BAR), height="8", rx="4", class_="track"),
        el(
            "rect",
            x=f"{x + min(left, BAR - 3):.1f}",
            y="18",
            width=f"{max(right - left, 3):.1f}",
            height="8",
            rx="4",
            fill=color,
        ),
        text(x, 46, span(extent), class_="muted"),
    )
