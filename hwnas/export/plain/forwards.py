"""The `forward` of a module as source, over its children: recorded while it runs, so that it may branch on shapes."""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from hwnas.errors import raised
from hwnas.export.plain.layers import Uncovered
from hwnas.export.plain.tidy import tidied
from hwnas.ops import Shape
from hwnas.tasks.ends import examples
from hwnas.traced.graph import TRACE_BATCH, Untraceable
from hwnas.traced.recorder import NotOpened, record

Call = tuple[tuple[Any, ...], Mapping[str, Any]]
"""Positional and keyword arguments."""

INFIX: Mapping[str, Callable[..., Any]] = {
    "__getitem__": operator.getitem,
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "matmul", "neg", "pow")},
    **{f"__{name}__": getattr(operator, name) for name in ("add", "sub", "mul", "matmul", "neg", "pow", "truediv")},
    "div": operator.truediv,
}
"""Methods of tensors that have a sign of their own in Python."""
DROPPED = re.compile(r";  .*= None$", re.MULTILINE)
"""Text by which fx lets values go."""


def calls_of(module: nn.Module, shape: Shape) -> dict[nn.Module, Call]:
    """Return the arguments of the first call of each module within a network, which is on `meta`."""
    calls: dict[nn.Module, Call] = {}

    def keep(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.setdefault(part, (args, kwargs))

    handles = [part.register_forward_pre_hook(keep, with_kwargs=True) for part in module.modules()]
    try:
        with torch.no_grad():
            module(*examples(shape, TRACE_BATCH, "meta"))
    except Exception as error:  # modules raise anything
        raise Uncovered(f"it does not run without weights ({raised(error)})") from error
    finally:
        for handle in handles:
            handle.remove()
    return calls


def forward_graph(module: nn.Module, call: Call) -> fx.Graph:
    """Return the graph of a module's `forward` over its children.

    Raises:
        Uncovered: it cannot be written as a graph.
    """
    args, kwargs = call
    if sum(isinstance(leaf, Tensor) for leaf in tree_leaves((args, dict(kwargs)))) != 1:
        return _symbolic(module)
    opened = {""}
    while True:
        try:
            return _readable(record(module, args, kwargs, opened).graph)
        except NotOpened as name:
            opened.add(str(name))
        except Untraceable:
            return _symbolic(module)
        except Exception as error:  # modules raise anything
            raise Uncovered(f"the forward of {type(module).__name__} cannot be recorded ({raised(error)})") from error


class _ChildTracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _symbolic(module: nn.Module) -> fx.Graph:
    try:
        return _readable(_ChildTracer().trace(module))
    except Exception as error:  # modules raise anything
        raise Uncovered(f"the forward of {type(module).__name__} cannot be traced ({raised(error)})") from error


def _readable(graph: fx.Graph) -> fx.Graph:
    """Return the graph with signs for arithmetic, without arguments at their defaults, on the input's device."""
    (first, *_) = [node for node in graph.nodes if node.op == "placeholder"]
    for node in list(graph.nodes):
        if node.op == "call_method" and node.target in INFIX and not node.kwargs and len(node.args) <= 2:
            node.op, node.target = "call_function", INFIX[node.target]
        if node.op == "call_function":
            defaults = _defaults(node.target)
            node.kwargs = {key: value for key, value in node.kwargs.items() if not _is_default(value, defaults, key)}
        for key, value in node.kwargs.items():
            if isinstance(value, torch.device):
                with graph.inserting_before(node):
                    node.update_kwarg(key, graph.call_function(getattr, (first, "device")))
    return graph


def _defaults(function: Any) -> Mapping[str, Any]:
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):
        return {}
    return {name: parameter.default for name, parameter in parameters.items()}


def _is_default(value: Any, defaults: Mapping[str, Any], key: str) -> bool:
    return key in defaults and type(value) is type(defaults[key]) and value == defaults[key]


def forward_source(graph: fx.Graph, *, join: bool = True) -> str:
    """Return the source of a method `forward`; `join` as `tidied` takes it.

    Raises:
        Uncovered: it names what is not torch's.
    """
    code = graph.python_code("self")
    if foreign := [name for name, value in code.globals.items() if not _is_known(name, value)]:
        raise Uncovered(f"it calls {', '.join(foreign)}, which is not of torch")
    return tidied(DROPPED.sub("", code.src).strip(), join=join)


KNOWN_GLOBALS = (
    "torch",
    "getattr",
    "device",
    "inf",
    "nan",
    "NoneType",
    "math",
    "operator",
    "builtins",
    "fx_pytree",
    "pytree",
)


def _is_known(name: str, value: Any) -> bool:
    module = getattr(value, "__module__", "") or getattr(value, "__name__", "") or ""
    return name in KNOWN_GLOBALS or str(module).partition(".")[0] in ("torch", "_operator", "operator", "math")
