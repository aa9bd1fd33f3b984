"""Laws of style that can be counted; docs/explanation/layout.md and CONTRIBUTING.md say why."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hwnas import pipeline

PACKAGE = Path(__file__).resolve().parent.parent / "hwnas"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
OPENING = re.compile(r"(What|Whether|Where|Nothing)\b")
VAGUE = {"found": 30, "told": 16, "place": 12, "met": 15, "given": 14, "said": 7, "held": 2, "asked": 0}
"""Names that say nothing of what they hold, and how often each is still bound: these numbers only fall."""


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines and texts of the strings below modules, classes, functions, attributes and constants."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for before, here in zip([node, *body], body, strict=False):
            documented = before is node or isinstance(before, ast.Assign | ast.AnnAssign)
            value = here.value if documented and isinstance(here, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield here.lineno, value.value


def test_docstrings_open_as_the_standard_librarys_do() -> None:
    opened = [
        f"{path}:{line}" for path, tree in TREES.items() for line, text in docstrings(tree) if OPENING.match(text)
    ]
    assert not opened


def test_the_reader_of_docstrings_sees_all_kinds() -> None:
    tree = ast.parse(
        '"""M"""\nA = 1\n"""C"""\nclass K:\n    """K"""\n    a: int\n    """F"""\n    def f(self):\n        """D"""\n'
    )
    assert {text for _, text in docstrings(tree)} == {"M", "C", "K", "F", "D"}


def test_vague_names_only_become_fewer() -> None:
    bound = [
        node.id if isinstance(node, ast.Name) else node.arg
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    ]
    assert {name: bound.count(name) for name in VAGUE if bound.count(name) > VAGUE[name]} == {}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.Module, modules: set[str]) -> set[str]:
    """The modules of hwnas that a file imports, in functions and for type checkers too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (inner & modules) | ({node.module} if inner - modules else set())
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & modules


def test_no_file_imports_itself_in_a_circle() -> None:
    modules = {module_of(path): tree for path, tree in TREES.items()}
    left = {name: imported(tree, set(modules)) - {name} for name, tree in modules.items()}
    while free := {name for name, needs in left.items() if not needs}:
        left = {name: needs - free for name, needs in left.items() if name not in free}
    while idle := left.keys() - set().union(*left.values()):
        left = {name: needs for name, needs in left.items() if name not in idle}
    assert not left


TEST_MODULE = re.compile(r"\btests(?:\.\w+)*\.(?:test_\w+|conftest)\b")


def imported_test_modules(tree: ast.Module) -> set[str]:
    """The test modules that a file imports, in functions and in programs that it holds as strings too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= set(TEST_MODULE.findall(node.value))
    return {name for name in names if TEST_MODULE.match(name)}


def test_no_file_imports_a_test_module() -> None:
    """What several need is in tests/helpers."""
    root = PACKAGE.parent
    files = [*sorted((root / "tests").rglob("*.py")), *sorted((root / "benchmarks").rglob("*.py"))]
    named = {path.name: imported_test_modules(ast.parse(path.read_text(encoding="utf-8"))) for path in files}
    assert {name: modules for name, modules in named.items() if modules} == {}


def test_the_reader_of_test_modules_sees_all_ways_to_import_one() -> None:
    prefix = "tests."
    program = f"from {prefix}test_c import X"
    lines = [f"import {prefix}test_a", "from tests import test_b", f"def f(): from {prefix}conftest import X"]
    lines.append(f"P = {program!r}")
    named = {name.removeprefix(prefix) for name in imported_test_modules(ast.parse("\n".join(lines)))}
    assert named == {"test_a", "test_b", "test_c", "conftest.X"}


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The number of a function's parameters, `self` and `cls` left out."""
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def test_functions_take_few_parameters() -> None:
    """Left out are the verbs of `hwnas.pipeline`, which are the public face, and commands, whose parameters are options
    that typer reads from the signature."""
    many = [
        f"{module_of(path)}:{node.name}"
        for path, tree in TREES.items()
        if not module_of(path).startswith("hwnas.cli.")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and parameters(node) > 7
    ]
    verbs = set(pipeline._VERBS.values())
    assert len([name for name in many if name not in verbs]) <= 5, many


FAMILIES = ("commands", "ops", "accuracy/zero_cost_proxies")
"""Folders with a file for each member, which may hold any number."""


def test_a_folder_holds_at_most_fourteen_files() -> None:
    held = Counter(str(path.parent.relative_to(PACKAGE)) for path in TREES if not path.name.startswith("__"))
    assert {folder: count for folder, count in held.items() if count > 14 and folder not in FAMILIES} == {}


def test_ruff_lays_out_the_code() -> None:
    assert sum(path.read_text(encoding="utf-8").count("# fmt: skip") for path in TREES) <= 20
