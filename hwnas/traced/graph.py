"""Graph of a module's `forward` between its children, and the positions where it can be cut."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules import activation
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from hwnas.errors import raised
from hwnas.ops import Shape

TRACE_BATCH = 13
"""Images that a module is traced with: a number that no other axis is likely to have."""


class Untraceable(Exception):
    """Reason why a `forward` is not cut into segments."""


@dataclass(frozen=True)
class Pass:
    """One run of a `forward` on `meta`: its graph, and the value of each node."""

    graph: fx.Graph
    values: dict[fx.Node, Any]

    @property
    def output(self) -> Any:
        """Output of the network."""
        return self.values[self.graph.output_node()]

    @property
    def body(self) -> list[fx.Node]:
        """The nodes between input and output, in order."""
        return [node for node in self.graph.nodes if node.op not in ("placeholder", "output")]


class _Tracer(fx.Tracer):
    """Tracer that goes into plain `nn.Sequential`s that hold blocks; every other child is a leaf."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not holds_blocks(m)


def holds_blocks(module: nn.Module) -> bool:
    """Return whether a module is a plain `nn.Sequential` some child of which has children: blocks, not layers."""
    return type(module) is nn.Sequential and not has_hooks(module) and any(list(c.children()) for c in module)


def has_hooks(module: nn.Module) -> bool:
    """Return whether calling the module does more than its `forward`."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def graph_of(root: nn.Module, *, training: bool) -> fx.Graph:
    """Return the graph of `forward` over the children, in one mode.

    Raises:
        Untraceable: `forward` cannot be traced, or calling the module does more than its `forward`.
    """
    if has_hooks(root):
        raise Untraceable("the network has hooks of its own")
    names = list(inspect.signature(root.forward).parameters.values())
    if len(names) != 1 or names[0].kind in (names[0].VAR_POSITIONAL, names[0].VAR_KEYWORD):
        raise Untraceable(f"its forward takes {len(names)} arguments")
    modes = {module: module.training for module in root.modules()}
    root.train(training)
    try:
        return _Tracer().trace(root)
    except Exception as error:  # a user's forward may do anything with what it is handed
        raise Untraceable(raised(error)) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


class _Recorder(fx.Interpreter):
    """Interpreter of a graph on `meta` that keeps the value of each node; a child seen before is not run again."""

    def __init__(self, root: nn.Module, graph: fx.Graph, structures: Mapping[str, str]) -> None:
        super().__init__(root, garbage_collect_values=False, graph=graph)
        self.values: dict[fx.Node, Any] = {}
        self._told = structures

    def run_node(self, n: fx.Node) -> Any:
        self.values[n] = super().run_node(n)
        return self.values[n]

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs or not all(isinstance(value, Tensor) for value in args):
            return super().call_module(target, args, kwargs)
        key = self._told[target], self.module.training, tuple((value.shape, value.dtype) for value in args)
        if key not in _SHAPES:
            output = super().call_module(target, args, kwargs)
            if not isinstance(output, Tensor):
                return output
            _SHAPES[key] = output.shape, output.dtype
        size, dtype = _SHAPES[key]
        return torch.empty(size, dtype=dtype, device="meta")


_SHAPES: dict[tuple[Any, ...], tuple[torch.Size, torch.dtype]] = {}
"""Output shape and type of children: by structure, mode, and shapes and types of their inputs."""


def run(root: nn.Module, graph: fx.Graph, shape: Shape, structures: Mapping[str, str], *, training: bool) -> Pass:
    """Run the graph of a module on `meta`, `structures` being the children's structures by name.

    Raises:
        whatever the module raises.
    """
    root.train(training)
    recorder = _Recorder(root, graph, structures)
    with torch.no_grad():
        recorder.run(torch.empty(TRACE_BATCH, *shape, device="meta"))
    return Pass(graph, recorder.values)


def run_whole(root: nn.Module, shape: Shape, *, training: bool) -> Any:
    """Return the output of a module on `meta`."""
    with torch.no_grad():
        return root.train(training)(torch.empty(TRACE_BATCH, *shape, device="meta"))


def cuts(root: nn.Module, traced: Pass, *, blocks: bool = False) -> list[int]:
    """Return the positions of the cuts in the body, in order: a segment ends before each.

    A cut lies between two children, as late as possible, where one tensor is all that is still needed of what was
    computed, and where no parameter or buffer is used on both sides. With `blocks` it lies right after a child that has
    children and what a runtime computes with it, so that a block is not joined to what is done with the last one's
    output.
    """
    open_at = set(_narrow(traced)) - set(_held_together(root, traced.body))
    starts = [position for position, node in enumerate(traced.body) if node.op == "call_module"]
    starts = [position for position in starts if position == starts[0] or not _follows(root, traced.body[position])]
    places_found = []
    for before, after in pairwise(starts):
        places = [position for position in range(before + 1, after + 1) if position in open_at]
        if blocks and places and any(True for _ in root.get_submodule(str(traced.body[before].target)).children()):
            ends = [position for position in places if not _activates(root, traced.body[position])]
            places = ends[:1] or places
        places_found += places[-1:]
    return places_found


FUSED_FUNCTIONS = frozenset(
    ("relu", "relu_", "relu6", "gelu", "silu", "hardtanh", "hardswish", "leaky_relu", "elu", "mish")
)


def _activates(root: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return _follows(root, node)
    return (node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")) in FUSED_FUNCTIONS


def crossing(traced: Pass, place: int) -> list[fx.Node]:
    """Return the nodes before a position in the body that are used at or after it."""
    nodes = list(traced.graph.nodes)
    position = {node: number for number, node in enumerate(nodes)}
    first = position[traced.body[place]] if place < len(traced.body) else len(nodes) - 1
    return [node for node in nodes[:first] if any(position[user] >= first for user in node.users)]


def _narrow(traced_pass: Pass) -> Iterator[int]:
    for position in range(len(traced_pass.body)):
        alive = crossing(traced_pass, position)
        if len(alive) == 1:
            value = traced_pass.values.get(alive[0])
            if isinstance(value, Tensor) and value.ndim > 1 and len(value) == TRACE_BATCH and value.is_floating_point():
                yield position


def _held_together(root: nn.Module, body: Iterable[fx.Node]) -> Iterator[int]:
    """Yield the positions between the first and the last use of one and the same parameter or buffer."""
    uses: dict[int, tuple[int, int]] = {}
    for position, node in enumerate(body):
        for tensor in state_of(root, node):
            first, _ = uses.get(id(tensor), (position, position))
            uses[id(tensor)] = first, position
    for first, last in uses.values():
        yield from range(first + 1, last + 1)


def state_of(root: nn.Module, node: fx.Node) -> list[Tensor]:
    """Return the parameters and buffers that a node uses."""
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return [*module.parameters(), *module.buffers()]
    if node.op == "get_attr":
        value = attribute(root, str(node.target))
        return [value] if isinstance(value, Tensor) else []
    return []


def attribute(root: nn.Module, target: str) -> Any:
    """Return the attribute of a module that a dotted name leads to."""
    value: Any = root
    for name in target.split("."):
        value = getattr(value, name)
    return value


def _follows(root: nn.Module, node: fx.Node) -> bool:
    """Return whether a child adds no time: a runtime computes it with the one before, or it only renames axes."""
    child = root.get_submodule(str(node.target))
    own = type(child).__module__ == activation.__name__ and not isinstance(child, nn.MultiheadAttention)
    return own or isinstance(child, _BatchNorm | _DropoutNd | nn.Flatten | nn.Unflatten | nn.Identity)
