"""`predict.py` of a bundle: the modules of `hwnas.export.standalone` joined into one file."""

from __future__ import annotations

import ast
from pathlib import Path

from hwnas.export import standalone

PROGRAM = "predict.py"
ORDER = ("images", "steps", "metrics", "inputs", "network", "predict")
"""Modules, each after those that it imports."""
ALIAS = "Array = NDArray[Any]\n"
"""Line that each of them begins with."""


def program() -> str:
    """Return the source of a program that needs numpy and one runtime."""
    folder = Path(standalone.__file__).parent
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in ORDER}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    imports = [node for tree in trees.values() for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    parts = [f'"""{ast.get_docstring(trees["predict"], clean=False)}"""', _merged(imports), ALIAS]
    for name, text in texts.items():
        last = [node for node in trees[name].body if isinstance(node, ast.Import | ast.ImportFrom)][-1]
        body = "\n".join(text.splitlines()[last.end_lineno :]).strip()
        title = (ast.get_docstring(trees[name]) or "").splitlines()[0].removesuffix(" Python 3.9 syntax.")
        own = body.removeprefix(ALIAS).strip()
        parts.append(f"# --- {title}\n\n" + ("\n" if own.startswith(("def ", "class ", "@")) else "") + own)
    head, rest = parts[:3], parts[3:]
    return "\n\n\n".join(["\n\n".join(part.strip("\n") for part in head), *(part.strip("\n") for part in rest)]) + "\n"


def _merged(imports: list[ast.Import | ast.ImportFrom]) -> str:
    """Return the statements of all modules, those from one module as one; imports from this package are left out."""
    names: dict[str, set[str]] = {}
    plain = set[str]()
    for node in imports:
        if isinstance(node, ast.Import):
            plain.add(ast.unparse(node))
        elif not (node.module or "").startswith("hwnas."):
            names.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
    own = [f"from {module} import {', '.join(sorted(some))}" for module, some in sorted(names.items())]
    future, numeric = own.pop([line.split()[1] for line in own].index("__future__")), "numpy"
    standard = [*sorted(line for line in plain if numeric not in line), *(line for line in own if numeric not in line)]
    others = [*sorted(line for line in plain if numeric in line), *(line for line in own if numeric in line)]
    return "\n\n".join([future, "\n".join(standard), "\n".join(others)])
