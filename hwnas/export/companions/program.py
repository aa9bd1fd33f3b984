"""`predict.py` of a bundle: the modules of `hwnas.export.standalone` joined into one file."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from hwnas.export import standalone

PROGRAM = "predict.py"
ORDER = ("images", "resampling", "steps", "metrics", "inputs", "network", "predict")
"""Modules, each after those that it imports."""
ALIAS = "Array = NDArray[Any]\n"
"""Line that each of them begins with."""


def program(folder: Path = Path(standalone.__file__).parent, order: Sequence[str] = ORDER) -> str:
    """Return the source of a program that needs numpy and one runtime.

    Args:
        folder: of its modules; what those of another folder take from `predict.py` is imported from there.
        order: modules, each after those that it imports; the last one is the program's own.
    """
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in order}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    imports = [node for tree in trees.values() for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    parts = [f'"""{ast.get_docstring(trees[order[-1]], clean=False)}"""', _merged(imports, folder), ALIAS]
    for name, text in texts.items():
        last = [node for node in trees[name].body if isinstance(node, ast.Import | ast.ImportFrom)][-1]
        body = "\n".join(text.splitlines()[last.end_lineno :]).strip()
        title = (ast.get_docstring(trees[name]) or "").splitlines()[0].removesuffix(" Python 3.9 syntax.")
        own = body.removeprefix(ALIAS).strip()
        parts.append(f"# --- {title}\n\n" + ("\n" if own.startswith(("def ", "class ", "@")) else "") + own)
    head, rest = parts[:3], parts[3:]
    return "\n\n\n".join(["\n\n".join(part.strip("\n") for part in head), *(part.strip("\n") for part in rest)]) + "\n"


def _merged(imports: list[ast.Import | ast.ImportFrom], folder: Path) -> str:
    """Return the statements of all modules, those from one module as one; imports from their folder are left out."""
    names: dict[str, set[str]] = {}
    plain = set[str]()
    for node in imports:
        if isinstance(node, ast.Import):
            plain.add(ast.unparse(node))
        elif (module := node.module or "").rpartition(".")[0].split(".")[-2:] != list(folder.parts[-2:]):
            module = Path(PROGRAM).stem if module.startswith(standalone.__name__) else module
            names.setdefault(module, set()).update(alias.name for alias in node.names)
    own = [f"from {module} import {', '.join(sorted(some))}" for module, some in sorted(names.items())]
    future, numeric = own.pop([line.split()[1] for line in own].index("__future__")), "numpy"
    beside = [line for line in own if line.split()[1] == Path(PROGRAM).stem]
    own = [line for line in own if line not in beside]
    standard = [*sorted(line for line in plain if numeric not in line), *(line for line in own if numeric not in line)]
    others = [*sorted(line for line in plain if numeric in line), *(line for line in own if numeric in line)]
    return "\n\n".join(["\n".join(lines) for lines in ([future], standard, others, beside) if lines])
