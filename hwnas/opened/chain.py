"""Opened network as a chain of segments, as deep as its repeating blocks go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from hwnas.errors import SpaceError, raised
from hwnas.opened.levels import Levels, calls_of, examples, recorded, residual
from hwnas.ops import Shape
from hwnas.traced.chain import Piece, children_of, free_slot, spans_of
from hwnas.traced.graph import TRACE_BATCH, Pass, Untraceable
from hwnas.traced.identity import digest, structures
from hwnas.traced.root import on_meta
from hwnas.traced.segment import Segment, part_of

MODES = (False, True)


@dataclass(frozen=True)
class Link:
    """One segment of the chain."""

    slot: str
    classes: str
    digest: str
    parts: Mapping[bool, fx.Graph]
    entering: Shape
    optional: bool
    """True if it computes x + f(x), so that it can be left out."""

    def of(self, root: nn.Module) -> Segment:
        """Return the segment of a network with the same structure."""
        return Segment(root, self.parts)


def chain_of(root: nn.Module, shape: Shape, where: str) -> list[Link]:
    """Return the segments of a network, which stays as it is.

    Raises:
        SpaceError: it does not run, returns something else than one tensor, or cannot be recorded.
    """
    with on_meta(root):
        images = examples(shape)
        try:
            calls = calls_of(root.eval(), images)
            opened = Levels(root, calls).opened()
            passes = {mode: recorded(root.train(mode), (images,), {}, opened)[0] for mode in MODES}
        except Exception as error:  # whatever the user's forward raises
            raise _not_opened(where, shape, error) from error
        root.eval()
        for found in passes.values():
            _check_output(found.output, where)
        if len({tuple(map(str, _called(found))) for found in passes.values()}) > 1:
            raise _refused(
                where,
                "in training its forward calls other children than in evaluation",
                "One chain of operators is trained and exported",
                "Leave auxiliary outputs out of the module that the function returns",
            )
        return _links(root, passes)


def _links(root: nn.Module, passes: Mapping[bool, Pass]) -> list[Link]:
    known = structures(root, [found.graph for found in passes.values()])
    spans = {mode: list(spans_of(root, passes[mode], blocks=True)) for mode in MODES}
    if [children_of(passes[False], *span) for span in spans[False]] != [
        children_of(passes[True], *span) for span in spans[True]
    ] or not spans[False]:
        spans = {mode: [(0, len(passes[mode].body))] for mode in MODES}
    links: dict[str, Link] = {}
    for evaluated, trained in zip(spans[False], spans[True], strict=True):
        piece = Piece(root, passes[False], evaluated)
        parts = {mode: part_of(passes[mode].graph, *span) for mode, span in ((False, evaluated), (True, trained))}
        slot = free_slot(piece.slot, links)
        alike = piece.entering == piece.leaving
        optional = alike and _adds_to_its_input(Segment(root, parts), piece.entering)
        links[slot] = Link(slot, piece.classes, digest(root, parts, known), parts, piece.entering, optional)
    return list(links.values())


def _adds_to_its_input(segment: Segment, shape: Shape) -> bool:
    images = torch.empty(TRACE_BATCH, *shape, device="meta")
    try:
        return residual(segment.eval(), images)
    except Exception:
        return False


def _called(found: Pass) -> list[str]:
    return [str(node.target) for node in found.body if node.op == "call_module"]


def _check_output(output: object, where: str) -> None:
    if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != TRACE_BATCH:
        what = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise _refused(
            where,
            f"the network returns {what} for {TRACE_BATCH} inputs",
            "It returns one tensor, (batch, ...)",
            "Return the logits alone, in a module of yours around it",
        )


def _not_opened(where: str, shape: Shape, error: Exception) -> SpaceError:
    size = "x".join(map(str, shape))
    why = str(error) if isinstance(error, Untraceable) else raised(error)
    if "meta" in why and ("item" in why or "meta tensor" in why.lower()):
        return _refused(
            where,
            f"its forward branches on values of data, or reads them ({why})",
            "What a network computes depends on shapes and settings alone, or it is another network for each image",
            "Replace the branch by torch.where, or take it out of the module that the function returns",
        )
    if ("missing" in why and "positional argument" in why) or "forward takes" in why:
        return _refused(
            where,
            f"its forward takes other arguments than one input ({why})",
            "A network has one input tensor, (batch, ...)",
            "Return a module of yours around it that takes one tensor",
        )
    return _refused(
        where,
        f"the network cannot be followed at input {size} ({why})",
        "It runs on inputs of the stated shape, (batch, *shape), in evaluation and in training",
        "Correct the module, or the shape that `--input` or the function states",
    )


def _refused(where: str, problem: str, allowed: str, do: str) -> SpaceError:
    return SpaceError(problem, where=where, allowed=allowed, do=do)
