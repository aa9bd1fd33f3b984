"""The command line of this process, as it may be shown to others. Board side: Python 3.9 syntax, no numpy."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

_SECRET = re.compile(r"://|:.*@")


def command_line(words: Sequence[str] | None = None) -> str:
    """Return the words that the process was started with; URLs, which may hold passwords, are left out.

    >>> command_line(["hwnas", "serve-storage", "postgresql://me:S3CRET@db/studies", "--port", "13000"])
    'hwnas serve-storage ... --port 13000'
    """
    return " ".join("..." if _SECRET.search(word) else word for word in (sys.argv if words is None else words))
