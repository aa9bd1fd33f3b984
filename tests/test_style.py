"""Laws of style that can be counted; docs/explanation/layout.md and CONTRIBUTING.md say why."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas import pipeline

PACKAGE = Path(__file__).resolve().parent.parent / "hwnas"
LAYOUT = PACKAGE.parent / "docs" / "explanation" / "layout.md"
OPENING = re.compile(r"(What|Whether|Where|Nothing)\b")
VAGUE = {"found": 30, "told": 16, "place": 12, "met": 15, "given": 14, "said": 7, "held": 2, "asked": 0}
"""Names that say nothing of what they hold, and how often each is still bound: these numbers only fall."""


@functools.cache
def trees() -> dict[Path, ast.Module]:
    """Return the syntax tree of every file of the package."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.fixture(scope="module", autouse=True)
def _forget_trees() -> Iterator[None]:
    """Let go of a million nodes, which every later garbage collection would visit."""
    yield
    trees.cache_clear()


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


def odd_openings() -> list[str]:
    return [
        f"{path}:{line}" for path, tree in trees().items() for line, text in docstrings(tree) if OPENING.match(text)
    ]


def test_docstrings_open_as_the_standard_librarys_do() -> None:
    assert odd_openings() == []


def test_the_reader_of_docstrings_sees_all_kinds() -> None:
    tree = ast.parse(
        '"""M"""\nA = 1\n"""C"""\nclass K:\n    """K"""\n    a: int\n    """F"""\n    def f(self):\n        """D"""\n'
    )
    assert {text for _, text in docstrings(tree)} == {"M", "C", "K", "F", "D"}


def test_vague_names_only_become_fewer() -> None:
    bound = [
        node.id if isinstance(node, ast.Name) else node.arg
        for tree in trees().values()
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


def circular() -> set[str]:
    """Files that import themselves, through others."""
    modules = {module_of(path): tree for path, tree in trees().items()}
    left = {name: imported(tree, set(modules)) - {name} for name, tree in modules.items()}
    while free := {name for name, needs in left.items() if not needs}:
        left = {name: needs - free for name, needs in left.items() if name not in free}
    while idle := left.keys() - set().union(*left.values()):
        left = {name: needs for name, needs in left.items() if name not in idle}
    return set(left)


def test_no_file_imports_itself_in_a_circle() -> None:
    assert circular() == set()


def upward() -> list[tuple[str, str]]:
    """Files with those that they import of rooms which are not below theirs; test_layout.py sees strings as well."""
    floors = dict[str, int]()
    for floor, rooms in re.findall(r"^\| (\d+) \| (`.*) \|$", LAYOUT.read_text(encoding="utf-8"), re.MULTILINE):
        floors |= dict.fromkeys(re.findall(r"`(\w+)`", rooms), int(floor))
    modules = {module_of(path): tree for path, tree in trees().items() if path.parent != PACKAGE or path.stem in floors}

    def room(name: str) -> str:
        return name.split(".")[1]

    return [
        (name, other)
        for name, tree in modules.items()
        for other in imported(tree, set(modules))
        if room(name) != room(other) and floors[room(name)] <= floors[room(other)]
    ]


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


def many_parameters() -> list[str]:
    """Functions with more than seven parameters.

    Left out are the verbs of `hwnas.pipeline`, which are the public face, and commands, whose parameters are options
    that typer reads from the signature.
    """
    many = [
        f"{module_of(path)}:{node.name}"
        for path, tree in trees().items()
        if not module_of(path).startswith("hwnas.cli.")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and parameters(node) > 7
    ]
    verbs = set(pipeline._VERBS.values())
    return [name for name in many if name not in verbs]


def test_functions_take_few_parameters() -> None:
    assert len(many_parameters()) <= 5, many_parameters()


FAMILIES = ("commands", "ops", "accuracy/zero_cost_proxies")
"""Folders with a file for each member, which may hold any number."""


def files_by_folder() -> dict[str, int]:
    files = Counter(str(path.parent.relative_to(PACKAGE)) for path in trees() if not path.name.startswith("__"))
    return {folder: count for folder, count in files.items() if folder not in FAMILIES}


def test_a_folder_holds_at_most_fourteen_files() -> None:
    assert {folder: count for folder, count in files_by_folder().items() if count > 14} == {}


def skips() -> int:
    return sum(path.read_text(encoding="utf-8").count("# fmt: skip") for path in trees())


def test_ruff_lays_out_the_code() -> None:
    assert skips() <= 20


def constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Constants of a module with their values, as they are written."""
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            apart = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            values = node.value.elts if apart and isinstance(node.value, ast.Tuple) else [node.value] * len(names)
            for name, value in zip(names, values, strict=True):
                if isinstance(name, ast.Name) and name.id.isupper():
                    yield name.id, ast.unparse(value)


TEXTS = {"ALLOWED", "FORM", "WHERE", "_ALLOWED", "_DO"}
"""Names of parts of errors, which each file words for its own; `_FACE` is each package's table of late imports."""


def repeated_constants() -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for tree in trees().values():
        for name, value in constants(tree):
            values.setdefault(name, set()).add(value)
    return {name: many for name, many in values.items() if len(many) > 1 and name not in {*TEXTS, "_FACE"}}


def repeated_classes() -> dict[str, int]:
    classes = Counter(
        node.name for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    )
    return {name: count for name, count in classes.items() if count > 1}


def test_a_constants_name_has_one_value() -> None:
    assert repeated_constants() == {}


def test_a_classs_name_has_one_meaning() -> None:
    assert repeated_classes() == {}


def test_the_reader_of_constants_sees_all_forms() -> None:
    tree = ast.parse("A = 1\nB: int = 2\nC, D = 3, 4\nE, F = f()\nG = (5, 6)\nh = 7\ndef i():\n    J = 8\n")
    assert dict(constants(tree)) == {
        "A": "1", "B": "2", "C": "3", "D": "4", "E": "f()", "F": "f()", "G": "(5, 6)",
    }  # fmt: skip


HOME_GROWN = re.compile(
    "belief|brood|climb(ed|s)?|course|crew|foresight|found|hear(d|s)?|kept|ladder|lessons?|likeness|merit|midway|"
    "narrat(e|or)|price[ds]|pupils?|said|sittings?|teller|told|trainless"
)
"""Words for which the field has others, such as lesson for a sub-network that is sampled."""
SERIALIZED = {"kept", "told"}
"""Fields whose names are keys in stored files."""


def public_names(tree: ast.Module) -> Iterator[str]:
    """Names of public functions and classes, of methods and fields, and of the functions' parameters."""

    def inside(body: list[ast.stmt], *, fields: bool) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name == "__init__" or not node.name.startswith("_"):
                    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                    yield from (node.name, *(argument.arg for argument in arguments))
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name
                yield from inside(node.body, fields=True)
            elif fields and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id

    return (name for name in inside(tree.body, fields=False) if not name.startswith("_") and name not in SERIALIZED)


def home_grown(tree: ast.Module) -> list[str]:
    parts = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
    return [name for name in public_names(tree) if any(map(HOME_GROWN.fullmatch, map(str.lower, parts.findall(name))))]


def home_grown_names() -> dict[str, list[str]]:
    return {module_of(path): names for path, tree in trees().items() if (names := home_grown(tree))}


def test_public_names_are_the_fields() -> None:
    assert home_grown_names() == {}


def test_the_reader_of_public_names_sees_all_kinds() -> None:
    tree = ast.parse(
        "def told_trial(): ...\ndef f(found, *, best_crew): ...\ndef _kept(): ...\nfoundation = 1\n"
        "class Pupil:\n    lesson: int\n    kept: bool\n    def climb_on(self): ...\nclass _Told: ...\n"
    )
    assert home_grown(tree) == ["told_trial", "found", "best_crew", "Pupil", "lesson", "climb_on"]


def test_the_page_tells_the_figures() -> None:
    counted = {
        "imports upward": len(upward()),
        "files in a circle of imports": len(circular()),
        "most files in a folder, families aside": max(files_by_folder().values()),
        "docstrings that open with What, Whether, Where or Nothing": len(odd_openings()),
        "public names with a home-grown word": sum(map(len, home_grown_names().values())),
        "`# fmt: skip`": skips(),
        "functions with more than 7 parameters": len(many_parameters()),
        "class names with two meanings": len(repeated_classes()),
        "constant names with two values": len(repeated_constants()),
    }
    table = LAYOUT.read_text(encoding="utf-8").partition("| Counted | Figure |")[2].partition("\n\n")[0]
    assert {name: int(figure) for name, figure in re.findall(r"^\| (.*?) \| (\d+) \|", table, re.MULTILINE)} == counted
