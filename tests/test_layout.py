"""The floors and walls of the house (docs/explanation/layout.md): who may import whom."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "hwnas"

FLOORS = (  # bottom to top
    ("errors",),
    ("stored_names", "words"),
    ("io",),
    ("cell", "ranks", "registry", "user_code"),
    ("quantities", "rows"),
    ("pareto",),
    ("tasks",),
    ("ops", "selection", "space"),
    ("traced",),
    ("data", "network", "notation", "runtimes"),
    ("cost_ranges", "export", "measure", "population", "space_checks", "tabular"),
    ("predictors",),
    ("latency", "search", "supernet"),
    ("mixed_precision", "opened"),
    ("accuracy", "boards", "collaborate", "config", "report", "testing"),
    ("adapt", "deploy", "workspace"),
    ("problem", "serve"),
    ("verify",),
    ("quantization",),
    ("commands",),
    ("console", "pipeline", "results"),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
NAMED = {("quantities", "latency")}
"""Rooms whose functions a lower room's rows name, for a higher one to import: `problem` does, where a tier asks."""

BOARD = (
    *(f"io/{name}.py" for name in ("__init__", "atomic", "checksum", "command", "fields", "quiet", "regular")),
    "measure/**/*.py",
    "runtimes/*.py",
    *(f"boards/{name}.py" for name in ("__init__", "archive", "reporter", "requirements", "runner", "start")),
    *(f"collaborate/{name}.py" for name in ("preprocess", "wire")),
    "deploy/client/*.py",
    "adapt/board/*.py",
    "export/standalone/*.py",
)
TORCH_FREE = (
    *BOARD,
    "cell.py",
    "errors.py",
    "io/*.py",
    "network/*.py",
    "pareto.py",
    "registry.py",
    "space_checks.py",
    "user_code.py",
    "config/*.py",
)
TORCH_FREE_ROOMS = ("space", "notation", "population", "predictors", "search", "report", "collaborate", "serve")
TABLE_ENTRY = re.compile(r"(hwnas(?:\.\w+)+):\w+(?:\.\w+)*")


@dataclass(frozen=True)
class Import:
    """One import statement, or one "module:attribute" of a family's table."""

    module: str
    line: int
    at_module_level: bool
    typing_only: bool
    named: bool = False
    """True if it is the text of a table."""


def files(*patterns: str) -> list[Path]:
    return sorted({path for pattern in patterns for path in PACKAGE.glob(pattern)})


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Return every import of a file, those inside functions and those for type checkers included."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            module = node.module or ""
            names = [f"hwnas.{alias.name}" for alias in node.names] if module == "hwnas" else [module]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            entry = TABLE_ENTRY.fullmatch(node.value)
            names = [entry[1]] if entry else []
        for name in names:
            line = getattr(node, "lineno", 0)
            typed = id(node) in typing_only
            named = isinstance(node, ast.Constant)
            yield Import(name, line, not (typed or named) and id(node) not in inside, typed, named)


def rooms_imported(path: Path) -> Iterator[tuple[str, int]]:
    for found in imports_of(path):
        parts = found.module.split(".")
        if found.named and (path.parent.name, *parts[1:2]) in NAMED:
            continue
        if parts[0] == "hwnas" and parts[1:] != ["__version__"]:
            yield parts[1] if len(parts) > 1 else "", found.line


def rooms() -> set[str]:
    return {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}


def test_every_room_has_a_floor() -> None:
    unknown = rooms() - FLOOR.keys()
    assert not unknown, f"give {sorted(unknown)} a floor in FLOORS and in docs/explanation/layout.md"


@pytest.mark.parametrize("room", sorted(rooms()))
def test_imports_run_down(room: str) -> None:
    for path in files(f"{room}.py", f"{room}/**/*.py"):
        for imported, line in rooms_imported(path):
            at = f"{path.relative_to(PACKAGE.parent)}:{line}"
            assert imported, f"{at}: import the room, not the public face"
            if imported != room:
                assert FLOOR[imported] < FLOOR[room], f"{at}: {room} imports {imported}, see docs/explanation/layout.md"


def test_the_floors_are_seen_to_be_broken(tmp_path: Path) -> None:
    """The reader of imports finds all three ways of naming a room, at any depth."""
    path = tmp_path / "x.py"
    path.write_text(
        'def f():\n    from hwnas import pipeline\n    import hwnas.cli\nT = {"a": "hwnas.search.study:Study"}\n'
    )
    assert sorted(name for name, _ in rooms_imported(path)) == ["cli", "pipeline", "search"]


def top_packages(path: Path, *, module_level_only: bool = False) -> set[str]:
    found = [i for i in imports_of(path) if not i.typing_only and (i.at_module_level or not module_level_only)]
    return {i.module.split(".")[0] for i in found}


@pytest.mark.parametrize("path", files("search/*.py"), ids=str)
def test_search_knows_neither_torch_nor_a_runtime(path: Path) -> None:
    assert not top_packages(path) & {"torch", "onnxruntime", "onnx", "ai_edge_litert", "tflite_runtime", "litert_torch"}
    assert "runtimes" not in {room for room, _ in rooms_imported(path)}


@pytest.mark.parametrize("path", files(*BOARD), ids=str)
def test_a_board_needs_numpy_and_one_runtime(path: Path) -> None:
    heavy = {"torch", "optuna", "pydantic", "sklearn", "scipy", "typer", "rich"}
    allowed = {"torch"} if path == PACKAGE / "runtimes" / "pytorch.py" else set()
    assert not top_packages(path) & (heavy - allowed)
    assert "torch" not in top_packages(path, module_level_only=True)


def test_config_stops_at_the_door() -> None:
    for path in PACKAGE.rglob("*.py"):
        if room_of(path) not in ("config", "workspace", "problem", "commands", "cli", "__init__"):
            assert "config" not in {room for room, _ in rooms_imported(path)}, f"{path} imports config"


def module_file(module: str) -> Path | None:
    stem = PACKAGE.parent.joinpath(*module.split("."))
    return next((p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()), None)


def board_side() -> list[Path]:
    """The files that run on a board, and all that these import when they are imported."""
    todo, met = [PACKAGE / "__init__.py", *files(*BOARD)], set[Path]()
    while todo:
        path = todo.pop()
        if path in met:
            continue
        met.add(path)
        for found in imports_of(path):
            if found.at_module_level and found.module.startswith("hwnas."):
                parts = found.module.split(".")
                modules = [".".join(parts[:n]) for n in range(2, len(parts) + 1)]
                todo += [file for module in modules if (file := module_file(module)) is not None]
    return sorted(met)


@pytest.mark.parametrize("path", board_side(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_board_side_files_are_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert not top_packages(path, module_level_only=True) & {"torch", "optuna"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def test_torch_free_rooms_stay_free_of_torch() -> None:
    """All of them are imported in one fresh process, so that what they import is covered as well."""
    paths = files(*TORCH_FREE, *(f"{room}/**/*.py" for room in TORCH_FREE_ROOMS))
    code = f"import sys, {', '.join(map(module_name, paths))}\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
