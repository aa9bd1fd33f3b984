"""A chart by itself: an SVG file with its colours and its style in it, as notebooks show it."""

from __future__ import annotations

import base64
import html
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hwnas.errors import MissingExtra, RunError
from hwnas.io.atomic import write_file
from hwnas.report.charts.chart import Figure, Symbol
from hwnas.report.charts.chart_svg import ABOVE, BELOW, RIGHT, chart, definitions, left_of, mark
from hwnas.report.markup import Html, el, join

FILE_WIDTH = 760
"""Pixels of a chart's file across."""
TITLE_PIXELS, LEGEND_PIXELS, LEFT_PIXELS = 30, 20, 10
"""Pixels for a title, for a line of the legend, and left of the labels."""
STYLE_SHEET = Path(__file__).parent.parent / "page.css"
FILE_STYLE = (
    "text { font-family: system-ui, sans-serif; }",
    ".title { font-size: 15px; font-weight: 600; fill: var(--ink); }",
    ".said { font-size: 12.5px; fill: var(--muted); }",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


LegendMark = tuple[str, str] | tuple[str, str, Symbol]
"""CSS variable of a colour, what it means, and its symbol where that is not a dot."""


@dataclass(frozen=True, repr=False)
class Chart:
    """A chart of the report as an object: notebooks show it, and it can be saved."""

    figure: Figure
    title: str
    entries: tuple[LegendMark, ...] = ()

    def __repr__(self) -> str:
        return f"Chart({self.title[:120]!r})"

    def _repr_html_(self) -> str:
        """Return a picture, in which the chart's style cannot reach the notebook around it."""
        data = base64.b64encode(self.svg().encode()).decode()
        return f'<img src="data:image/svg+xml;base64,{data}" alt="{html.escape(self.figure.label)}">'

    def svg(self, width: int = FILE_WIDTH) -> str:
        """Return the chart as a whole SVG file, in the light colours of the report."""
        figure, left, inner = self.figure, left_of(self.figure) + LEFT_PIXELS, self.figure.height - ABOVE - BELOW
        height = TITLE_PIXELS + figure.height + (LEGEND_PIXELS if self.entries else 0)
        size = {
            "x": str(left),
            "y": str(TITLE_PIXELS + ABOVE),
            "width": str(width - left - RIGHT),
            "height": str(inner),
        }
        legend, x = [], float(left)
        for color, meaning, *symbols in self.entries:
            symbol: Symbol = symbols[0] if symbols else "dot"
            paint = f"var({color})"
            drawn = mark((f"{x + 4:g}", str(height - 12)), 4, symbol)
            legend.append(el("g", drawn, class_="chart", fill=paint, stroke=paint))
            legend.append(el("text", meaning, x=f"{x + 15:g}", y=str(height - 8), class_="said"))
            x += 32 + 6.6 * len(meaning)
        whole = el(
            "svg",
            el("style", Html(_rules())),
            definitions(),
            el("rect", width="100%", height="100%", fill="var(--card)"),
            el("text", self.title, x="12", y="20", class_="title"),
            chart(figure, **size),
            join(*legend),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width} {height}",
            width=str(width),
            height=str(height),
            role="img",
            aria_label=figure.label,
        )
        return _colored(whole)

    def save(self, path: str | Path, *, width: int = FILE_WIDTH) -> Path:
        """Write the chart to a file, `.svg` or `.png`, and return its path.

        Raises:
            RunError: the ending is another one, or the file cannot be written.
            MissingExtra: it is `.png`, and no Chromium is on the PATH to draw it.
        """
        path, text = Path(path), self.svg(width)
        if path.suffix not in (".svg", ".png"):
            raise RunError(
                f"the file's ending is `{path.suffix}`",
                where=str(path),
                allowed="A chart is .svg or .png",
                do="Name the file so",
            )
        content = text.encode() if path.suffix == ".svg" else _png(text, path)
        return write_file(path, content, what="chart", do="Save it elsewhere")


def _png(svg: str, path: Path) -> bytes:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise MissingExtra(
            "no Chromium is on the PATH, which draws SVG as PNG",
            where=str(path),
            allowed=f"One of {', '.join(BROWSERS)}",
            do="Save it as .svg, or install Chromium: apt-get install chromium",
        )
    width, height = re.findall(r'(?:width|height)="(\d+)"', svg.partition(">")[0])[:2]
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder) / "chart.html", Path(folder) / "chart.png"
        page.write_text(f'<!doctype html><meta charset="utf-8"><style>*{{margin:0}}</style>{svg}', encoding="utf-8")
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=2")
        command = [
            browser,
            *flags,
            f"--user-data-dir={folder}/profile",
            f"--screenshot={picture}",
            f"--window-size={width},{height}",
            page.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if not picture.exists():
            raise RunError(
                f"Chromium drew nothing ({done.stderr.strip()[-200:]})",
                where=str(path),
                allowed="It draws the chart without a window",
                do="Save it as .svg",
            )
        return picture.read_bytes()


@lru_cache(maxsize=1)
def _rules() -> str:
    """The rules of the page's style sheet for charts."""
    lines = [line for line in STYLE_SHEET.read_text("utf-8").splitlines() if line.startswith(".chart ")]
    return "\n".join([*FILE_STYLE, *lines])


@lru_cache(maxsize=1)
def _colors() -> dict[str, str]:
    light = STYLE_SHEET.read_text("utf-8").partition("@media")[0]
    return dict(re.findall(r"(--[\w-]+):\s*(#\w+)", light))


def _colored(svg: str) -> str:
    """The drawing with colours in place of the page's variables, which other programs do not know."""
    colors = _colors()
    return re.sub(r"var\((--[\w-]+)\)", lambda name: colors.get(name[1], colors["--tier-0"]), svg)
