"""Identity of a segment, as text: equal for two that compute the same from weights of the same shapes."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sysconfig
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from torch import Tensor, fx, nn

from hwnas.traced.graph import attribute, state_of

MODULE_ATTRIBUTES = frozenset(vars(nn.Module())) | {"training"}
"""Attributes that every module has; their values are described in other ways."""
DEEP = 8
"""Depth to which objects within objects are described."""
INSTALLED = {"site-packages", "dist-packages"}
SHIPPED = tuple(Path(folder).resolve() for folder in (sysconfig.get_path("stdlib"), Path(__file__).parent.parent))


def structures(root: nn.Module, graphs: Iterable[fx.Graph]) -> dict[str, str]:
    """Return the digests of the children that the graphs call, by name."""
    names = {str(node.target): None for graph in graphs for node in graph.nodes if node.op == "call_module"}
    return {name: digest_of_module(root.get_submodule(name)) for name in names}


def digest_of_module(module: nn.Module) -> str:
    """Return twelve hexadecimal digits of what a module computes, whatever its weights and the path of its file."""
    return _hashed(_module(module, {}))


def digest(root: nn.Module, graphs: Mapping[bool, fx.Graph], structures: Mapping[str, str]) -> str:
    """Return twelve hexadecimal digits of what graphs over the children of `root` compute, by `training`.

    Names of children do not count: the first and the fifth block of a network are the same operator, if only their
    weights tell them apart.

    Args:
        told: the children's own digests, by name.
    """
    return _hashed(line for training in (False, True) for line in _graph(root, graphs[training], structures))


def _hashed(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _graph(root: nn.Module, graph: fx.Graph, digests: Mapping[str, str]) -> Iterator[str]:
    numbers = {node: number for number, node in enumerate(graph.nodes)}
    places: dict[str, int] = {}
    tensors: dict[int, int] = {}
    for node in graph.nodes:
        what: Any = "" if node.op in ("placeholder", "output") else node.target
        if node.op in ("call_module", "get_attr"):
            what = places.setdefault(str(node.target), len(places))
            # tensors by when they were first met, because children may share some
            yield simple([tensors.setdefault(id(tensor), len(tensors)) for tensor in state_of(root, node)])
            yield digests.get(str(node.target)) or _tensor(attribute(root, str(node.target)), {})
        elif callable(what):
            what = simple(what)
        args = fx.node.map_arg((node.args, node.kwargs), lambda n: _Spelled(f"%{numbers[n]}"))
        yield f"{numbers[node]} {node.op} {what} {simple(args)}"


class _Spelled(str):
    """Text that stands for itself."""


def _module(module: nn.Module, tensors: dict[int, int], name: str = "") -> Iterator[str]:
    """Class, settings, shapes and children of a module, one per line; `tensors` numbers the tensors seen, for ties."""
    yield f"{name}: {class_of(type(module))}"
    settings = {key: value for key, value in vars(module).items() if key not in MODULE_ATTRIBUTES}
    hooks = [hook for by_id in (module._forward_hooks, module._forward_pre_hooks) for hook in by_id.values()]
    yield f"{name} {simple(settings)} {simple(hooks)}"
    for key, parameter in module._parameters.items():
        if parameter is not None:
            first = tensors.setdefault(id(parameter), len(tensors))
            yield f"{name}.{key} #{first} {tuple(parameter.shape)} {parameter.dtype} {parameter.requires_grad}"
    for key, buffer in module._buffers.items():
        if buffer is not None:
            yield f"{name}.{key} {_tensor(buffer, tensors)}"
    for key, child in module._modules.items():
        if child is not None:
            yield from _module(child, tensors, f"{name}.{key}")


def _tensor(tensor: Any, tensors: dict[int, int]) -> str:
    """Return shape and type of a tensor; of a buffer or constant its content as well, because no one else holds it."""
    if not isinstance(tensor, Tensor):
        return simple(tensor)
    first = tensors.setdefault(id(tensor), len(tensors))
    content = "" if isinstance(tensor, nn.Parameter) or tensor.device.type == "meta" else _content(tensor)
    return f"#{first} {tuple(tensor.shape)} {tensor.dtype} {content}"


def _content(tensor: Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().reshape(-1)
    if raw.is_floating_point():
        raw = raw.float()  # numpy knows no bfloat16
    return hashlib.sha256(raw.numpy().tobytes()).hexdigest()[:12]


def simple(value: Any, depth: int = DEEP) -> str:
    """Return a setting as text that is the same in every process: no addresses, no order of sets."""
    if isinstance(value, _Spelled) or value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return str(value) if isinstance(value, _Spelled) else repr(value)
    if depth == 0:
        return type(value).__qualname__
    inner = functools.partial(simple, depth=depth - 1)
    if isinstance(value, Tensor):
        return _tensor(value, {})
    if isinstance(value, nn.Module):  # no child, so it is told elsewhere, or leads back to where it is told from
        return class_of(type(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{inner(k)}: {inner(v)}" for k, v in value.items())) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(inner, value))) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(inner, value))})"
    if isinstance(value, slice):
        return f"slice{inner((value.start, value.stop, value.step))}"
    if isinstance(value, functools.partial):
        return f"partial({inner(value.func)}, {inner(value.args)}, {inner(value.keywords)})"
    if isinstance(value, type):
        return class_of(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return _function(value, depth - 1)
    return f"{class_of(type(value))} {inner(getattr(value, '__dict__', None))}"


def _function(function: Callable[..., Any], depth: int) -> str:
    """Return a function's name; of one that a user wrote, also its code and the values it closes over."""
    if not isinstance(function, FunctionType) or _is_of_a_package(inspect.getsourcefile(function)):
        return f"{getattr(function, '__module__', None)}.{function.__qualname__}"
    return f"{function.__qualname__} {_code(function.__code__)} {_closed_over(function, depth)}"


def _closed_over(function: FunctionType, depth: int) -> str:
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    values = {name: simple(cell.cell_contents, depth) for name, cell in cells.items() if name != "__class__"}
    return simple([values, function.__defaults__, function.__kwdefaults__], depth)


def _code(code: CodeType) -> str:
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return hashlib.sha256(repr((code.co_code, constants, code.co_names)).encode()).hexdigest()[:12]


def class_of(kind: type[Any]) -> str:
    """Return a class by name; one that a user wrote, by its source as well, wherever its file lies."""
    return _class_of(kind)  # type: ignore[arg-type]  # a metaclass may take the hash away


@functools.lru_cache(maxsize=4096)
def _class_of(kind: type[Any]) -> str:
    try:
        file = inspect.getsourcefile(kind)
    except TypeError:  # built in
        file = None
    if file is None or _is_of_a_package(file):
        return f"{kind.__module__}.{kind.__qualname__}"
    try:
        source = ast.parse(textwrap.dedent(inspect.getsource(kind)))
        source_digest = hashlib.sha256(ast.unparse(_without_docstrings(source)).encode()).hexdigest()[:12]
    except (OSError, TypeError, SyntaxError):  # written in a session, not in a file
        source_digest = ""
    closed = [_closed_over(method, 3) for method in vars(kind).values() if isinstance(method, FunctionType)]
    parents = [class_of(parent) for parent in kind.__bases__ if parent is not object]
    return f"{kind.__qualname__} {source_digest} {parents} {closed}"


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _is_of_a_package(file: str | None) -> bool:
    if file is None:
        return False
    path = Path(file).resolve()
    return bool(INSTALLED & set(path.parts)) or any(folder in path.parents for folder in SHIPPED)
