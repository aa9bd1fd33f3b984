"""Trial of a network before it is trusted: its numbers show what tracing cannot see."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hwnas.errors import SpaceError
from hwnas.ops import Operator, Shape
from hwnas.ops.operator import new_module
from hwnas.space import Architecture, FunctionSpace
from hwnas.traced.root import does_not_run, new_root
from hwnas.traced.together import together

IMAGES = 2


def try_out(space: FunctionSpace, architecture: Architecture, shape: Shape, chain: Mapping[str, Operator]) -> None:
    """Build a network twice and run it beside its chain of operators, with real weights.

    Raises:
        SpaceError: buffers differ from build to build or change while the network runs, so that networks which share
            weights would not be what they are alone; or the chain computes something else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        root, other = (new_root(space, architecture, shape) for _ in range(2))
        _refuse_chance(root, other, space)
        images = torch.randn(IMAGES, *shape)
        with together():
            operators = nn.Sequential(*(new_module(operator) for operator in chain.values()))
        state = root.state_dict()
        operators.load_state_dict({key: state[key.split(".", 1)[1]] for key in operators.state_dict()})
        try:
            with torch.no_grad():
                expected: Tensor = root.eval()(images)
                chained: Tensor = operators.eval()(images)
        except Exception as error:
            raise does_not_run(space, shape, error) from error
        if not torch.allclose(expected, chained, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise _refused(
                space,
                "the chain of its operators computes something else than the network",
                "Children work on what they are handed, not on what others left behind",
                "Hand a child what it needs through `forward`",
            )
        _refuse_memory(root, images, space)


def _refuse_chance(root: nn.Module, other: nn.Module, space: FunctionSpace) -> None:
    again = dict(other.named_buffers())
    for name, buffer in root.named_buffers():
        if name not in again or not torch.equal(buffer, again[name]):
            raise _refused(
                space,
                f"the buffer `{name}` differs from build to build",
                "Buffers are not shared: each network has those that it was built with, and they must be repeatable",
                "Draw it from a generator of its own, `torch.Generator().manual_seed(0)`, or make it a parameter",
            )


def _refuse_memory(root: nn.Module, images: Tensor, space: FunctionSpace) -> None:
    """Raise SpaceError if a buffer changes in training; only the statistics of batch normalisation are recomputed."""
    buffers = {
        f"{prefix}.{name}" if prefix else name: (buffer, buffer.clone())
        for prefix, module in root.named_modules()
        if not isinstance(module, _BatchNorm)
        for name, buffer in module.named_buffers(recurse=False)
    }
    with torch.no_grad():
        root.train()(images)
    for name, (after, before) in buffers.items():
        if not torch.equal(after, before):
            raise _refused(
                space,
                f"the buffer `{name}` changes while the network runs",
                "Batch normalisation alone keeps statistics, which are recomputed for each network",
                "Use batch normalisation, or layers that keep nothing, such as `nn.InstanceNorm2d` as it comes",
            )


def _refused(space: FunctionSpace, met: str, allowed: str, do: str) -> SpaceError:
    return SpaceError(met, where=f"space `{space.name}`", allowed=allowed, do=do)
