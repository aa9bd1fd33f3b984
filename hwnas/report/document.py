"""Frame of every page: one self-contained HTML file that needs no network and may not use one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from hwnas.report.charts.chart_svg import definitions
from hwnas.report.markup import Html, el

_LOGO = Html(
    '<svg viewBox="0 0 22 22" aria-hidden="true"><path d="M2 19V14H7V9H13V4H20" fill="none" stroke="currentColor" '
    'stroke-width="2.2"/><circle cx="7" cy="9" r="2.6" fill="currentColor"/></svg>'
)
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 22 22'%3E"
    "%3Cpath d='M2 19V14H7V9H13V4H20' fill='none' stroke='%230b7285' stroke-width='2.6'/%3E%3C/svg%3E"
)


def brand(what: str) -> Html:
    """The line above a page's title."""
    return el("p", _LOGO, f"hwnas · {what}", class_="brand")


def document(title: str, *body: Html) -> str:
    """A whole page as text, with the style and the behaviour in it."""
    here = Path(__file__)
    style, behavior = (Html(here.with_name(name).read_text("utf-8")) for name in ("page.css", "page.js"))
    head = el(
        "head",
        Html('<meta charset="utf-8">'),
        _content_policy(behavior),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<link rel="icon" href="{_ICON}">'),
        el("title", f"{title} · hwnas"),
        el("style", style),
    )
    whole = el("html", head, el("body", *body, definitions(), el("script", behavior)), lang="en")
    return f"<!doctype html>\n{whole}\n"


def framed(
    what: str, title: str, heading: str, lead: str, sections: Mapping[str, Html], *, hwnas_version: str, created_at: str
) -> str:
    """Return a page of sections, by their anchors, under a heading and a line that names their subject."""
    above = el("header", brand(what), el("h1", heading), el("p", lead, class_="lead"), section_links(list(sections)))
    return document(title, above, el("main", *sections.values()), footer(hwnas_version, created_at))


def footer(hwnas_version: str, created_at: str) -> Html:
    """Return the footer: the version that wrote the page, and when."""
    credit = f"Written by hwnas {hwnas_version} on {created_at}. This page is one file; it needs no network."
    unseen = "Without JavaScript, points do not tell what they are; the tables do."
    return el("footer", el("p", credit), el("noscript", el("p", unseen)))


def section_links(anchors: list[str]) -> Html:
    """Links to the sections of the page."""
    return el("nav", el("ul", *(el("li", el("a", name, href=f"#{name}")) for name in anchors)), aria_label="Sections")


def _content_policy(behavior: str) -> Html:
    """Return the policy by which only this script runs and nothing is fetched, whatever the facts contain."""
    allowed = base64.b64encode(hashlib.sha256(behavior.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    return Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">')
