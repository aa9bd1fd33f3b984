"""The folder of what takes long to make, is the same each time and may be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `$HWNAS_CACHE`, else `hwnas` in `$XDG_CACHE_HOME`, else `~/.cache/hwnas`."""
    if own := os.environ.get("HWNAS_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwnas"
