"""Importing does nothing, and is instant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hwnas

HEAVY = ("torch", "numpy", "optuna", "pydantic", "sklearn", "onnxruntime", "ray", "yaml")
REPOSITORY = Path(__file__).resolve().parent.parent


def modules_after(code: str) -> set[str]:
    """Names of the modules that a fresh process holds after running some code."""
    code = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_importing_hwnas_imports_nothing_heavy() -> None:
    assert not modules_after("import hwnas") & {*HEAVY, "hwnas.errors"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_does_not_import_torch(arguments: list[str]) -> None:
    code = (
        f"import runpy\nsys.argv = ['hwnas', *{arguments}]\n"
        "try:\n    runpy.run_module('hwnas.cli', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    assert not modules_after(code) & {"torch", "optuna", "sklearn", "onnxruntime"}


def test_the_public_face_is_complete() -> None:
    for name in hwnas._FACE:
        assert name in dir(hwnas)
        assert getattr(hwnas, name) is not None


def test_type_checkers_see_the_same_face() -> None:
    lines = (REPOSITORY / "hwnas" / "__init__.py").read_text(encoding="utf-8").splitlines()
    shown = dict(reversed(line.split()[1::2][:2]) for line in lines if line.startswith("    from hwnas."))
    assert shown == hwnas._FACE


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no `manager`"):
        _ = hwnas.manager
