"""Recording of a module's `forward` while it runs on `meta`: a graph over the children that are not opened.

Unlike symbolic tracing it lets a `forward` branch on shapes, call containers with keywords and return structures,
because all values are real. Sizes that are read off tensors are recorded too, so that the graph runs at others.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from hwnas.traced.graph import TRACE_BATCH, Pass, Untraceable

SIZE_NAMES = {"size", "shape", "numel"}
NUMERIC = (getattr, operator.getitem, operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod)
"""Functions without effects that are recorded where their results may not be used."""
SETTER_NAMES = {"__set__", "__delete__"}


class NotOpened(Exception):
    """Call of a child that takes or returns more than tensors, so that it has to be opened; its name is the text."""


class Number(int):
    """A size that was read off a tensor, with the node that computes it."""

    node: fx.Node

    def __new__(cls, value: int, node: fx.Node) -> Number:
        made = super().__new__(cls, value)
        made.node = node
        return made

    def __reduce__(self) -> Any:
        return int, (int(self),)


def _recorded(name: str) -> Callable[..., Any]:
    plain = getattr(operator, name.strip("_"))

    def compute(self: Number, other: Any) -> Any:
        value = getattr(int, name)(self, other)
        if value is NotImplemented:
            return value
        told = other.node if isinstance(other, Number) else int(other)
        return Number(value, self.node.graph.call_function(plain, (self.node, told)))

    return compute


def _reflected(name: str) -> Callable[..., Any]:
    plain = getattr(operator, name)

    def compute(self: Number, other: Any) -> Any:
        value = getattr(int, f"__r{name}__")(self, other)
        if value is NotImplemented:
            return value
        return Number(value, self.node.graph.call_function(plain, (int(other), self.node)))

    return compute


for _name in ("add", "sub", "mul", "floordiv", "mod"):
    setattr(Number, f"__{_name}__", _recorded(f"__{_name}__"))
    setattr(Number, f"__r{_name}__", _reflected(_name))


def record(root: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], opened: Collection[str]) -> Pass:
    """Run a module on `meta` and return its graph over the children whose names are not among `opened`, with values.

    The first tensor among the arguments is the graph's input; there must be no other.

    Raises:
        Untraceable: what it computes cannot be written as a graph.
        NotOpened: a child takes or returns other things than tensors; it is to be opened.
        whatever the module raises.
    """
    return _CallRecorder(root, opened).run(args, kwargs)


class _CallRecorder(TorchFunctionMode):
    def __init__(self, root: nn.Module, opened: Collection[str]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.values: dict[fx.Node, Any] = {}
        self._root, self._opened = root, opened
        self._names = {module: name for name, module in root.named_modules()}
        self._nodes: dict[int, fx.Node] = {}
        self._held: list[Any] = []
        self._state = {id(value): name for name, value in [*root.named_buffers(), *root.named_parameters()]}
        self._leaves = 0

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Pass:
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if len(tensors) != 1:
            raise Untraceable(f"its forward takes {len(tensors)} tensors")
        self._input = self.graph.placeholder("x")
        self._note(tensors[0], self._input)
        with torch.no_grad(), self._calls(), self:
            output = self._root(*args, **kwargs)
        with torch.no_grad():
            if not isinstance(output, Tensor):
                raise Untraceable(f"it returns {type(output).__name__}")
            self.values[self.graph.output(self._told(output, self._input))] = output
        self._drop_unused()
        return Pass(self.graph, self.values)

    def _drop_unused(self) -> None:
        for node in reversed(list(self.graph.nodes)):
            if not node.users and (node.target in SIZE_NAMES or node.target in NUMERIC):
                self.graph.erase_node(node)

    # --- calls of children ---

    @contextmanager
    def _calls(self) -> Iterator[None]:
        plain = nn.Module.__call__
        recorder = self

        def called(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return recorder._call(plain, module, args, kwargs)

        nn.Module.__call__ = called  # type: ignore[method-assign]
        try:
            yield
        finally:
            nn.Module.__call__ = plain  # type: ignore[method-assign]

    def _call(self, plain: Any, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = self._names.get(module)
        if self._leaves or name is None or name in self._opened:
            return plain(module, *args, **kwargs)
        if not all(_simple(value) for value in (*args, *kwargs.values())):
            raise NotOpened(name)
        first = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        if first is None:
            raise NotOpened(name)
        node = self.graph.call_module(name, *self._mapped(args, kwargs, first))
        self._leaves += 1
        try:
            output = plain(module, *args, **kwargs)
        finally:
            self._leaves -= 1
        if not isinstance(output, Tensor) and not (type(output) is tuple and all(map(_simple, output))):
            raise NotOpened(name)
        self._note(output, node)
        return output

    # --- functions of torch ---

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._leaves:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return self._attribute(func, args)
        output = func(*_plain(args), **_plain(kwargs))
        if name in SIZE_NAMES and args and isinstance(args[0], Tensor):
            return self._sizes(args[0], output, args[1:])
        if name in SETTER_NAMES or (output is not None and not _holds_tensors(output)):
            return output
        first = next((value for value in _leaves_of((args, kwargs)) if isinstance(value, Tensor)), None)
        if name == "__setitem__":
            self.graph.call_function(operator.setitem, *self._mapped(args, kwargs, first))
        elif output is not None:
            mapped = self._mapped(args, kwargs, first)
            if _is_method(func):
                target = "__getitem__" if name == "__getitem__" else name
                node = self.graph.call_method(target, *mapped)
            else:
                node = self.graph.call_function(func, *mapped)
            self._note(output, node)
        return output

    def _attribute(self, func: Any, args: Any) -> Any:
        value = func(*args)
        name = getattr(func.__self__, "__name__", "")
        if name == "shape":
            return self._sizes(args[0], value, ())
        if isinstance(value, Tensor):
            if name not in ("T", "mT", "data", "H", "mH", "real"):
                raise Untraceable(f"it reads `{name}` of a tensor")
            node = self.graph.call_function(getattr, (self._told(args[0], args[0]), name))
            self._note(value, node)
        return value

    def _sizes(self, tensor: Tensor, value: Any, args: Any) -> Any:
        told = self._told(tensor, tensor)
        if isinstance(value, torch.Size):
            return torch.Size([Number(n, self.graph.call_method("size", (told, i))) for i, n in enumerate(value)])
        return Number(value, self.graph.call_method("size" if args else "numel", (told, *args)))

    # --- values and nodes ---

    def _note(self, value: Any, node: fx.Node) -> None:
        self.values[node] = value
        self._held.append(value)
        if isinstance(value, Tensor):
            self._nodes[id(value)] = node
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if isinstance(item, Tensor):
                    self._note(item, self.graph.call_function(operator.getitem, (node, index)))

    def _mapped(self, args: Any, kwargs: Any, first: Any) -> tuple[Any, Any]:
        return self._told(tuple(args), first), {key: self._told(value, first) for key, value in kwargs.items()}

    def _told(self, value: Any, first: Any) -> Any:
        """Return a value as an argument of a node; sizes of the batch are read off the tensor that is worked on, so
        that none is carried from one end of the network to the other."""
        if isinstance(value, Number):
            if int(value) == TRACE_BATCH and first is not None and first.ndim and len(first) == TRACE_BATCH:
                return self.graph.call_method("size", (self._told(first, first), 0))
            return value.node
        if isinstance(value, Tensor):
            if (node := self._nodes.get(id(value))) is not None:
                return node
            if (name := self._state.get(id(value))) is None:
                raise Untraceable("it uses a tensor that is neither parameter nor buffer")
            node = self.graph.get_attr(name)
            self.values[node] = value
            return node
        if isinstance(value, torch.device) and value.type == "meta" and first is not None:
            return self.graph.call_function(getattr, (self._told(first, first), "device"))
        if isinstance(value, torch.Size):
            return tuple(self._told(item, first) for item in value)
        if isinstance(value, tuple | list):
            return type(value)(self._told(item, first) for item in value)
        if isinstance(value, dict):
            return {key: self._told(item, first) for key, item in value.items()}
        if isinstance(value, slice):
            return slice(*(self._told(item, first) for item in (value.start, value.stop, value.step)))
        return value


def _is_method(func: Any) -> bool:
    return type(func).__name__ in ("method_descriptor", "wrapper_descriptor") or (
        getattr(func, "__qualname__", "").startswith(("Tensor.", "TensorBase.", "_TensorBase."))
    )


def _plain(value: Any) -> Any:
    """Return arguments with plain integers for recorded sizes."""
    if isinstance(value, Number):
        return int(value)
    if isinstance(value, torch.Size):
        return torch.Size([int(item) for item in value])
    if type(value) in (tuple, list):
        return type(value)(_plain(item) for item in value)
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(_plain(item) for item in (value.start, value.stop, value.step)))
    return value


def _simple(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_simple, value))
    return value is None or isinstance(value, Tensor | bool | int | float | str | torch.dtype)


def _leaves_of(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _leaves_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves_of(item)
    else:
        yield value


def _holds_tensors(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in _leaves_of(value))
