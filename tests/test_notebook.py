"""The notebook of the documentation: its cells run as a script, and what it stores is small and free of errors."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.repository import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "tutorials" / "first_search.ipynb"
MOST_BYTES = 100_000


def cells() -> list[dict[str, Any]]:
    stored: dict[str, Any] = json.loads(NOTEBOOK.read_text("utf-8"))
    return [cell for cell in stored["cells"] if cell["cell_type"] == "code"]


def program() -> str:
    """The cells in order; what a notebook would show at the end of a cell is shown as one would show it."""
    parts = ["def show(value): repr(value); getattr(value, '_repr_html_', lambda: '')()"]
    for cell in cells():
        tree = ast.parse("".join(cell["source"]))
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            last.value = ast.Call(ast.Name("show", ast.Load()), [last.value], [])
        parts.append(ast.unparse(tree))
    return "\n".join(parts)


def test_the_stored_outputs_are_small_and_of_cells_that_ran() -> None:
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    outputs = [output for cell in cells() for output in cell["outputs"]]
    assert [cell["execution_count"] for cell in cells()] == list(range(1, len(cells()) + 1))
    assert not any(output["output_type"] == "error" for output in outputs)
    assert sum("text/html" in output.get("data", {}) for output in outputs) > 6


def test_the_cells_are_a_program() -> None:
    compile(program(), str(NOTEBOOK), "exec")


@pytest.mark.slow
def test_the_cells_run(tmp_path: Path) -> None:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "small" / "report.html").is_file()
    assert (tmp_path / "front.svg").is_file()
