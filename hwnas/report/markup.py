"""HTML that is escaped by construction: a plain string is text, and only these functions make markup."""

from __future__ import annotations

import html
import json
from typing import Any


class Html(str):
    """Markup that is safe to embed as it is."""

    __slots__ = ()


Child = str | None
"""`Html`, text that will be escaped, or nothing."""


def join(*children: Child) -> Html:
    """The children side by side."""
    return Html("".join(c if isinstance(c, Html) else html.escape(c) for c in children if c is not None))


def el(name: str, *children: Child, **attributes: str | None) -> Html:
    """An element. `class_` becomes `class`, other underscores hyphens; an attribute that is None is left out.

    >>> el("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    pairs = [(k.rstrip("_").replace("_", "-"), v) for k, v in attributes.items() if v is not None]
    opened = "".join(f' {key}="{html.escape(value)}"' for key, value in pairs)
    return Html(f"<{name}{opened}>{join(*children)}</{name}>")


def safe_json(value: Any) -> Html:
    """JSON that may stand inside a script element: nothing in it can close or comment the element.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(text)
