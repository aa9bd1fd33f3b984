"""Source of functions that was generated value by value, made readable: expressions joined, slices as slices."""

from __future__ import annotations

import ast
from collections import Counter

JOINED_LENGTH = 100
"""Characters of a line that joined expressions may have."""


def tidied(source: str, *, join: bool = True) -> str:
    """Return the source of a function with the same statements in fewer lines.

    Args:
        source: of the function.
        join: whether values that are used once stand where they are used, which may change the order of calls.

    Example:
        >>> print(tidied("def f(self, x):\\n    a = self.a(x)\\n    return a[(slice(None, None, None), 0)]"))
        def f(self, x):
            return self.a(x)[:, 0]
    """
    tree = _Slices().visit(ast.parse(source))
    function = tree.body[0]
    function.returns = None
    for argument in function.args.args:
        argument.annotation = None
    body: list[ast.stmt] = []
    uses = Counter(node.id for node in ast.walk(function) if isinstance(node, ast.Name))
    for statement in function.body:
        while join and body and (joined := _joined(body[-1], statement, uses)) is not None:
            body.pop()
            statement = joined
        body.append(statement)
    function.body = body
    return ast.unparse(ast.fix_missing_locations(tree)).replace("torch.nn.functional.", "functional.")


def _joined(before: ast.stmt, statement: ast.stmt, uses: Counter[str]) -> ast.stmt | None:
    """Return a statement with the value of the one before in the one place where it is used; None if it is not so."""
    if not (isinstance(before, ast.Assign) and isinstance(before.targets[0], ast.Name)):
        return None
    name = before.targets[0].id
    if uses[name] != 2:
        return None
    inside = [node for node in ast.walk(statement) if isinstance(node, ast.Name) and node.id == name]
    if len(inside) != 1 or not isinstance(inside[0].ctx, ast.Load):
        return None
    joined = _Value(name, before.value).visit(ast.parse(ast.unparse(statement)).body[0])
    return joined if len(ast.unparse(joined)) <= JOINED_LENGTH else None


class _Value(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self._name, self._value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._value if node.id == self._name else node


class _Slices(ast.NodeTransformer):
    """`x[(slice(None, None, None), 0)]` as `x[:, 0]`, and `getattr` as a dot."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        sliced = [_slice(part) for part in parts]
        node.slice = ast.Tuple(sliced, ast.Load()) if isinstance(node.slice, ast.Tuple) else sliced[0]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        named = isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) == 2
        name = node.args[1].value if named and isinstance(node.args[1], ast.Constant) else None
        if isinstance(name, str) and name.isidentifier():
            return ast.Attribute(node.args[0], name, ast.Load())
        return node


def _slice(part: ast.expr) -> ast.expr:
    if not (isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "slice"):
        return ast.Constant(...) if isinstance(part, ast.Name) and part.id == "Ellipsis" else part
    ends = [None if isinstance(one, ast.Constant) and one.value is None else one for one in part.args]
    return ast.Slice(*(ends if len(ends) == 3 else (None, *ends, None)[:3]))
