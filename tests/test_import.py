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


def command(*arguments: str) -> str:
    """The program that runs a command line."""
    return (
        f"import runpy\nsys.argv = ['hwnas', *{list(arguments)}]\n"
        "try:\n    runpy.run_module('hwnas.cli', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )


def test_help_imports_the_command_line_alone() -> None:
    """Modules are counted, not seconds: a busy machine changes nothing. benchmarks/start_time.py has the seconds."""
    more = modules_after(command("--help")) - modules_after("import typer")
    assert not more & {*HEAVY, "rich", "importlib.metadata"}
    own = {name for name in more if name.startswith("hwnas")}
    assert {name.split(".")[1] for name in own if "." in name} == {"cli", "console", "errors", "words"}
    assert len(more - own) < 60


def test_import_of_hwnas_adds_one_module() -> None:
    more = modules_after("import hwnas") - modules_after("import importlib, typing, __future__")
    assert more == {"hwnas"}


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (["run", "--help"], {"torch", "optuna", "sklearn", "onnxruntime", "scipy", "numpy", "rich"}),
        (["bench", "--help"], {"torch", "optuna", "sklearn", "onnxruntime", "scipy", "numpy", "rich"}),
        (["list"], {"torch", "optuna", "sklearn", "onnxruntime", "scipy", "numpy"}),
        (["cost", "digits"], {"optuna", "sklearn", "onnxruntime", "scipy"}),
    ],
)
def test_commands_import_what_they_need(arguments: list[str], without: set[str]) -> None:
    assert not modules_after(command(*arguments)) & without


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
