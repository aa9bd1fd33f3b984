"""A part of a network as a separate module: some children, and the part of `forward` between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from torch import Tensor, fx, nn

from hwnas.traced.graph import attribute

Forward = Callable[[nn.Module, Tensor], Tensor]


@final
class Segment(nn.Module):
    """Children of a network under their own names, so that parameters are named as they are in the whole of it.

    Args:
        root: the network; its children are taken over, not copied.
        graphs: the graphs to compute, by `training`.
    """

    def __init__(self, root: nn.Module, graphs: Mapping[bool, fx.Graph]) -> None:
        super().__init__()
        nodes = [node for graph in graphs.values() for node in graph.nodes]
        for node in sorted(nodes, key=lambda node: node.op != "call_module"):  # a child may hold an attribute in use
            if node.op in ("call_module", "get_attr"):
                _place(self, root, str(node.target))
        self._forwards = tuple(_forward_of(root, graphs[training]) for training in (False, True))

    def forward(self, x: Tensor) -> Tensor:
        return self._forwards[1 if self.training else 0](self, x)


def part_of(graph: fx.Graph, start: int, stop: int) -> fx.Graph:
    """Return the nodes of a graph's body from `start` to before `stop`, as a graph with one input and one output."""
    body = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    (placeholder,) = [node for node in graph.nodes if node.op == "placeholder"]
    inside = set(body[start:stop])
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    entering = {node for inner in inside for node in inner.all_input_nodes} - inside or {placeholder}
    (entry,) = entering
    copies[entry] = part.placeholder("x")
    for node in body[start:stop]:
        copies[node] = part.node_copy(node, lambda old: copies[old])
    (leaving,) = {node for node in inside if any(user not in inside for user in node.users)}
    part.output(copies[leaving])
    return part


def _forward_of(root: nn.Module, graph: fx.Graph) -> Forward:
    forward: Forward = type(fx.GraphModule(root, graph)).forward
    return forward


def _place(holder: nn.Module, root: nn.Module, target: str) -> None:
    """Give `holder` the attribute of `root` with a dotted name, under the same name."""
    source, (*path, name) = root, target.split(".")
    for part in path:
        source = getattr(source, part)
        if part not in holder._modules:
            holder.add_module(part, nn.Module())
        holder = holder.get_submodule(part)
    if name in holder._modules or name in holder._parameters or name in holder._buffers:
        return
    value: Any = attribute(source, name)
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        kept = name in source._buffers and name not in source._non_persistent_buffers_set
        holder.register_buffer(name, value, persistent=kept)
    else:
        setattr(holder, name, value)
