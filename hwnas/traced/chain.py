"""A module as a chain of operators."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor, nn

from hwnas.errors import SpaceError
from hwnas.ops import Shape
from hwnas.space import Architecture, FunctionSpace
from hwnas.traced import graph
from hwnas.traced.graph import Pass, Untraceable
from hwnas.traced.identity import digest, digest_of_module, structures
from hwnas.traced.operator import MODES, SegmentOrigin, Traced
from hwnas.traced.root import does_not_run, materialise, module_in, on_meta
from hwnas.traced.segment import part_of

UNCUT = "network"
"""The slot of a network that is not cut."""
LONGEST = 40
"""Most characters of the name of a slot, and of the text on its children."""


def chain_of(space: FunctionSpace, architecture: Architecture, shape: Shape, built: Any) -> dict[str, Traced]:
    """Return the operators, by slot, of the network that a function returned: cut between top-level children, or whole.

    Raises:
        SpaceError: the network does not run, returns no tensor, or holds a layer that cannot share weights.
    """
    root = module_in(built)
    materialise(root, shape, space)
    refuse_recurrent(root, space)
    try:
        graphs = {mode: graph.graph_of(root, training=mode) for mode in MODES}
    except Untraceable as error:
        return _whole(space, architecture, shape, root, str(error))
    digests = structures(root, graphs.values())
    try:
        with on_meta(root):
            passes = {mode: graph.run(root, graphs[mode], shape, digests, training=mode) for mode in MODES}
    except Exception as error:
        raise does_not_run(space, shape, error) from error
    check_outputs({mode: passes[mode].output for mode in MODES}, space)
    spans = {mode: list(spans_of(root, passes[mode])) for mode in MODES}
    if [children_of(passes[False], *span) for span in spans[False]] != [
        children_of(passes[True], *span) for span in spans[True]
    ]:
        return _whole(space, architecture, shape, root, "in training its forward calls other children")
    if not spans[False]:
        return _whole(space, architecture, shape, root, "its forward calls no child")
    chain: dict[str, Traced] = {}
    for evaluated, trained in zip(spans[False], spans[True], strict=True):
        piece = Piece(root, passes[False], evaluated)
        parts = {False: part_of(graphs[False], *evaluated), True: part_of(graphs[True], *trained)}
        origin = SegmentOrigin(space, architecture, shape, (evaluated, trained))
        channels = channels_of(piece.entering), channels_of(piece.leaving)
        operator = Traced(*channels, piece.classes, digest(root, parts, digests), origin)
        chain[free_slot(piece.slot, chain)] = operator
    return chain


@dataclass(frozen=True)
class Piece:
    """One segment: the children that a pass calls between two positions."""

    root: nn.Module
    traced_pass: Pass
    span: tuple[int, int]

    @property
    def classes(self) -> str:
        names = children_of(self.traced_pass, *self.span)
        kinds = [type(self.root.get_submodule(name)).__name__ for name in names]
        return _short(" ".join(kind if n == 1 else f"{n}x{kind}" for kind, n in _runs(kinds)))

    @property
    def slot(self) -> str:
        """Name of the children with parameters, so that equal operators of one slot name their parameters alike."""
        body = self.traced_pass.body[slice(*self.span)]
        tensors_by_child = {str(node.target): graph.state_of(self.root, node) for node in body}
        holders = [
            name for name, tensors in tensors_by_child.items() if any(isinstance(t, nn.Parameter) for t in tensors)
        ]
        names = holders or children_of(self.traced_pass, *self.span)[:1]
        return _short("-".join(names).replace(".", "_"))

    @property
    def entering(self) -> Shape:
        return self._shape(self.span[0])

    @property
    def leaving(self) -> Shape:
        return self._shape(self.span[1])

    def _shape(self, position: int) -> Shape:
        (node,) = graph.crossing(self.traced_pass, position)
        return tuple(self.traced_pass.values[node].shape[1:])


def spans_of(root: nn.Module, traced_pass: Pass, *, blocks: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the first node and the end of each segment; `blocks` as of `graph.cuts`."""
    if not any(node.op == "call_module" for node in traced_pass.body):
        return
    start = 0
    for position in [*graph.cuts(root, traced_pass, blocks=blocks), len(traced_pass.body)]:
        yield start, position
        start = position


def children_of(traced_pass: Pass, start: int, stop: int) -> list[str]:
    """Return the names of the children that a segment calls, each once."""
    nodes = traced_pass.body[start:stop]
    return list(dict.fromkeys(str(node.target) for node in nodes if node.op == "call_module"))


def _whole(
    space: FunctionSpace, architecture: Architecture, shape: Shape, root: nn.Module, why: str
) -> dict[str, Traced]:
    module_digest = digest_of_module(root)
    try:
        with on_meta(root):
            outputs = {mode: graph.run_whole(root, shape, training=mode) for mode in MODES}
    except Exception as error:
        raise does_not_run(space, shape, error) from error
    check_outputs(outputs, space)
    channels = channels_of(shape), channels_of(tuple(outputs[False].shape[1:]))
    origin = SegmentOrigin(space, architecture, shape, None)
    return {UNCUT: Traced(*channels, _short(type(root).__name__), module_digest, origin, uncut=why)}


def check_outputs(outputs: Mapping[bool, Any], space: FunctionSpace) -> None:
    for training, output in outputs.items():
        if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != graph.TRACE_BATCH:
            what = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise SpaceError(
                f"the network returns {what} for {graph.TRACE_BATCH} images" + (" in training" if training else ""),
                where=f"space `{space.name}`",
                allowed="It returns one tensor, (batch, classes), in training and in evaluation",
                do="Return the logits alone; further outputs have no place in a chain of operators",
            )


def refuse_recurrent(root: nn.Module, space: FunctionSpace) -> None:
    for name, child in root.named_modules():
        if isinstance(child, nn.RNNBase):
            raise SpaceError(
                f"`{name}` is {type(child).__name__}, which keeps its weights in a list beside its parameters",
                where=f"space `{space.name}`",
                allowed="The supernet hands a module its weights through its parameters",
                do="Write the recurrence with `nn.Linear`, or with `nn.GRUCell` and its like",
            )


def channels_of(shape: Shape) -> int:
    """Return channels of a map (channels, height, width), width of tokens (tokens, width), or length of a vector."""
    return int(shape[-1] if len(shape) == 2 else shape[0])


def free_slot(slot: str, taken: Iterable[str]) -> str:
    names, number = {*taken}, 2
    while (named := slot if number == 2 else f"{slot}-{number - 1}") in names:
        number += 1
    return named


def _runs(words: Iterable[str]) -> list[tuple[str, int]]:
    return [(word, len(list(same))) for word, same in groupby(words)]


def _short(text: str) -> str:
    """Return the text, or its beginning and a hash of all of it."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 9]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"
