"""Blocks of Markdown pages, and a shell in which they run as a reader would type them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.repository import REPOSITORY


def fences(page: Path) -> list[tuple[str, str]]:
    """Return language and text of each block of a page, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def file_name(block: str) -> str | None:
    """Return the name of the file that a block is, by its first line `# file: NAME`."""
    named = re.match(r"# file: (\S+)\n", block)
    return named[1] if named else None


def run_in_shell(
    command: str, folder: Path, programs: Mapping[str, str] | None = None, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell in which `hwnas` is this checkout.

    Args:
        programs: further programs on the path, each as the text of a shell script.
    """
    scripts = {"hwnas": f'exec "{sys.executable}" -m hwnas.cli "$@"', **(programs or {})}
    place = folder / ".bin"
    place.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
    path = f"{place}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    line = ["bash", "-euc", command]
    return subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s
    )
