"""Containers of a network that are opened, so that its repeating blocks become operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from hwnas.traced.chain import spans_of
from hwnas.traced.graph import TRACE_BATCH, Pass, Untraceable, has_hooks
from hwnas.traced.recorder import NotOpened, record

LONG_SEQUENCE = 4
"""Layers with weights from which a plain `nn.Sequential` of layers alone is opened."""
Call = tuple[tuple[Any, ...], dict[str, Any]]
PLAIN_CONTAINERS = nn.Sequential, nn.ModuleList, nn.ModuleDict


@dataclass
class Levels:
    """Containers that are opened, recording by running each one alone on what it is handed in the network."""

    root: nn.Module
    calls: Mapping[str, Call]
    """First call of each module, by name."""

    def __post_init__(self) -> None:
        self._passes: dict[str, Pass | None] = {}
        self._forced: dict[str, tuple[str, ...]] = {}
        modules = dict(self.root.named_modules())
        self._blocks = {
            type(module)
            for name, module in modules.items()
            if name in self.calls and _weights(module) > 1 and not _is_library(module) and self._is_block(name, module)
        }

    def opened(self) -> set[str]:
        """Return the names of the modules that are opened, the network's own, which is empty, among them."""
        names = {""}
        for name in self._inner(""):
            names.add(name)
        return names

    def _inner(self, name: str) -> Iterator[str]:
        alone = self.alone(name)
        if alone is None:
            return
        for node in alone.graph.nodes:
            if node.op == "call_module":
                child = f"{name}.{node.target}" if name else str(node.target)
                if child not in self.calls:
                    continue
                if self._is_container(child):
                    yield child
                    yield from self._inner(child)
        yield from self._forced.get(name, ())

    def _is_container(self, name: str) -> bool:
        module = self.root.get_submodule(name)
        if _is_library(module) or _weights(module) < 2 or has_hooks(module) or type(module) in self._blocks:
            return False
        alone = self.alone(name)
        if alone is None:
            return False
        if type(module) is nn.Sequential:
            return any(list(child.children()) for child in module) or _weights(module) >= LONG_SEQUENCE
        pieces = list(spans_of(module, alone))
        called = [module.get_submodule(str(n.target)) for n in alone.graph.nodes if n.op == "call_module"]
        if len(pieces) < 2:
            return self._passes_on(module, alone)
        return any(_weights(child) > 1 for child in called)

    def _is_block(self, name: str, module: nn.Module) -> bool:
        """Return whether what a module does is not cut by its children, so that all of its class stay whole."""
        if type(module) in PLAIN_CONTAINERS:
            return False
        alone = self.alone(name)
        if alone is None:
            return True
        return not self._passes_on(module, alone) and len(list(spans_of(module, alone))) < 2

    @staticmethod
    def _passes_on(module: nn.Module, alone: Pass) -> bool:
        """Return whether a module does no more than call one container."""
        return [node.op for node in alone.body] == ["call_module"] and not _is_library(
            module.get_submodule(str(alone.body[0].target))
        )

    def alone(self, name: str) -> Pass | None:
        """Return the pass of one module over its children; None if it cannot be recorded."""
        if name not in self._passes:
            module = self.root.get_submodule(name)
            self._passes[name] = None
            if name in self.calls:
                try:
                    self._passes[name], forced = recorded(module, *self.calls[name])
                except Exception:  # whatever the user's forward does with what it gets
                    return None
                if forced:
                    prefix = f"{name}." if name else ""
                    self._forced[name] = tuple(prefix + child for child in sorted(forced))
        return self._passes[name]


def recorded(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], opened: set[str] | None = None
) -> tuple[Pass, set[str]]:
    """Return the pass of a module, and the children that had to be opened for it beside those named.

    Raises:
        Untraceable: what it computes cannot be written as a graph.
        whatever the module raises.
    """
    names = {"", *(opened or ())}
    while True:
        try:
            return record(module, args, kwargs, names), names - {"", *(opened or ())}
        except NotOpened as inner:
            name = str(inner)
            if _is_library(module.get_submodule(name)) or has_hooks(module.get_submodule(name)):
                raise Untraceable(f"`{name}` takes or returns other things than tensors") from inner
            names.add(name)


def calls_of(root: nn.Module, images: Tensor) -> dict[str, Call]:
    """Run a network and return the arguments of the first call of each of its modules, by name."""
    names = {module: name for name, module in root.named_modules()}
    calls: dict[str, Call] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.setdefault(names[module], (args, dict(kwargs)))

    handles = [module.register_forward_pre_hook(note, with_kwargs=True) for module in names]
    try:
        with torch.no_grad():
            root(images)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def examples(shape: tuple[int, ...]) -> Tensor:
    """Return the images, on `meta`, that a network is recorded with."""
    return torch.empty(TRACE_BATCH, *shape, device="meta")


def residual(segment: nn.Module, images: Tensor) -> bool:
    """Return whether a segment computes x + f(x), perhaps in several steps, with at most an activation after it."""
    inner = {name for name, one in segment.named_modules() if not _is_library(one)}
    recording, _ = recorded(segment, (images,), {}, inner)
    return is_residual(segment, recording)


def is_residual(module: nn.Module, recording: Pass) -> bool:
    """Return whether the output of a pass is its input plus something, with at most an activation after it."""
    (entry,) = [node for node in recording.graph.nodes if node.op == "placeholder"]
    (last,) = recording.graph.output_node().all_input_nodes or [entry]
    seen = 0
    while _shapes_nothing(module, last) and seen < 8:
        last, seen = last.all_input_nodes[0], seen + 1
    return last is not entry and _adds(module, last, entry)


def _adds(module: nn.Module, node: fx.Node, entry: fx.Node) -> bool:
    while node is not entry and _passes(module, node):
        (node,) = node.all_input_nodes
    if node is entry:
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name not in ("add", "add_", "__add__", "__iadd__", "__radd__", "iadd") or len(node.all_input_nodes) != 2:
        return False
    return any(_adds(module, operand, entry) for operand in node.all_input_nodes)


KEEPING_SHAPE = ("relu", "relu_", "hardtanh", "relu6", "clamp", "clone", "contiguous", "dropout")


def _passes(module: nn.Module, node: fx.Node) -> bool:
    """Return whether a node is a child that hands on what it gets, in evaluation at least."""
    if node.op != "call_module" or len(node.all_input_nodes) != 1:
        return False
    child = module.get_submodule(str(node.target))
    return isinstance(child, nn.Identity | nn.Dropout) or (type(child) is nn.Sequential and not len(child))


def _shapes_nothing(module: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(module.get_submodule(str(node.target)), nn.ReLU | nn.ReLU6 | nn.Dropout | nn.Identity)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name in KEEPING_SHAPE and len(node.all_input_nodes) == 1


def _is_library(module: nn.Module) -> bool:
    """Return whether a module is a layer of torch's own."""
    return type(module).__module__.startswith("torch.nn.") and type(module) not in PLAIN_CONTAINERS


def _weights(module: nn.Module) -> int:
    return sum(value.ndim > 1 for value in module.parameters())
