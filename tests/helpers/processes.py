"""Searches by several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hwnas.search.fronts import read_front

SEARCH = "import sys; from hwnas.cli import main; sys.argv[0] = 'hwnas'; main()"


def fronts(*folders: Path) -> list[set[str]]:
    return [{point.architecture.key for point in read_front(folder / "fronts/edge.json")} for folder in folders]


def searches(repository: Path, *commands: list[str]) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", SEARCH, "search", *command], cwd=repository, stderr=subprocess.PIPE)
        for command in commands
    ]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
