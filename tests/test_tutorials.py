"""Each tutorial runs from its first block to its last, as a reader types it, with fewer trials and rounds."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest

from tests.helpers.pages import fences, file_name, run_in_shell
from tests.helpers.repository import REPOSITORY

TUTORIALS = REPOSITORY / "docs" / "tutorials"
BOARD = {  # this machine in the place of the board: a host's home is the folder `board`
    "python3": f'exec "{sys.executable}" "$@"',
    "ssh": 'shift; mkdir -p board; cd board; exec "$@"',
    "scp": 'mkdir -p board; cp "$(echo "$1" | sed s,^.*:,board/,)" "$(echo "$2" | sed s,^.*:,board/,)"',
}

SHORTER = {"trials: 40": "trials: 16", "trials: 30": "trials: 12", "rounds: 20": "rounds: 5"}
"""What searches of the pages have more of than their commands need to work."""


def follow(page: Path, folder: Path) -> str:
    """Do what a page says, block after block; what its programs print."""
    names: dict[str, object] = {}
    printed = io.StringIO()
    for number, (language, block) in enumerate(fences(page), 1):
        if name := file_name(block):
            for numbers, fewer in SHORTER.items():
                block = block.replace(numbers, fewer) if language == "yaml" else block
            (folder / name).write_text(block, encoding="utf-8")
        elif language == "bash":
            done = run_in_shell(block, folder, BOARD, timeout_s=900)
            assert done.returncode == 0, f"{page.name}, block {number}: {done.stderr}"
            assert "Traceback" not in done.stderr
            printed.write(done.stdout)
        elif language == "python":
            with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
                exec(compile(block, f"{page.name}, block {number}", "exec"), names)  # noqa: S102 - our own pages
        else:
            assert language == "text", f"{page.name}, block {number}: only installation is left out"
    return printed.getvalue()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("tutorial")
    return folder, follow(TUTORIALS / "first_search.md", folder)


@pytest.mark.slow
def test_the_first_search_ends_with_a_file_that_reads_digits(searched: tuple[Path, str]) -> None:
    folder, printed = searched
    assert (folder / "runs" / "first_search" / "report.html").is_file()
    right = int(printed.split(" of 50 digits are right")[0].rsplit(" ", 1)[1])
    assert right >= 40


@pytest.mark.slow
def test_a_network_is_shipped_from_that_search(searched: tuple[Path, str]) -> None:
    assert "in the manifest" in follow(TUTORIALS / "ship.md", searched[0])


@pytest.mark.slow
def test_a_csv_of_a_sensor_becomes_a_file_on_a_board(tmp_path: Path) -> None:
    printed = follow(TUTORIALS / "your_own_sensor.md", tmp_path)
    assert "Did you mean `gesture`?" in printed
    right, windows = re.findall(r"(\d+) of (\d+) windows are right", printed)[0]
    assert int(right) >= 0.8 * int(windows)


def test_what_is_shortened_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in TUTORIALS.glob("*.md"))
    assert all(numbers in text for numbers in SHORTER)


@pytest.mark.slow
def test_a_table_is_built_on_a_board(tmp_path: Path) -> None:
    assert "whole networks" in follow(TUTORIALS / "board_table.md", tmp_path)
