"""Smaller versions of the blocks of a trained network: each learns its block's output, on features that are kept."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hwnas.opened.groups import channel_axis
from hwnas.opened.network import OpenedNetwork
from hwnas.opened.operator import Opened
from hwnas.supernet.optimizers import eager
from hwnas.tasks import Task

BLOCK_BATCH = 64
LEARNING_RATE = 1e-3


class BlockFeatures(NamedTuple):
    """Tensors that enter and leave a block of the trained network, of samples to learn from and of others to be judged
    on."""

    entering: Tensor
    leaving: Tensor
    holdout_entering: Tensor
    holdout_leaving: Tensor


@dataclass(frozen=True)
class BlockDistiller:
    """A trained network, whose blocks teach smaller ones.

    Args:
        inputs: samples on whose features blocks learn.
        holdout: samples on which a network with one block replaced is compared with the trained one.
        epochs: passes of each block over the features.
    """

    network: OpenedNetwork
    inputs: Tensor
    holdout: Tensor
    task: Task
    epochs: int
    seed: int

    def blocks(self) -> Iterator[tuple[int, BlockFeatures]]:
        """Yield each block's number with its features; those of one block at a time are kept."""
        entering, holdout = self.inputs, self.holdout
        for index, teacher in enumerate(self._teachers):
            features = BlockFeatures(entering, _in_parts(teacher, entering), holdout, _in_parts(teacher, holdout))
            yield index, features
            entering, holdout = features.leaving, features.holdout_leaving

    def distilled(self, operator: Opened, features: BlockFeatures, entering: Tensor | None = None) -> nn.Module:
        """Return a block's smaller version after it has learned the block's output, the channels that it lacks aside.

        It begins with the leading channels of the trained block. The result depends on the operator, the seed and what
        enters it: features of the trained network if `entering` is left out. A whole block is left as it is there.
        """
        index, members = operator.origin.index, dict(operator.origin.members)
        module = self.network.part(index, members).eval()
        if entering is None:
            if not self._smaller(operator):
                return module
            entering = self._kept(index, features.entering, members)
        if not any(True for _ in module.parameters()):
            return module
        leaving = self._kept(index + 1, features.leaving, members)
        last = index == len(self.network.links) - 1
        module = _nearest(module, entering, leaving)
        told = hashlib.sha256(f"{self.seed} {index} {operator.widths}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(told[:4], "big"))
        adam = eager(torch.optim.Adam)(module.parameters(), LEARNING_RATE)
        batches = max(1, len(entering) // BLOCK_BATCH)
        cycle = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.epochs * batches)
        scale = float(leaving.var()) + 1e-12
        for _ in range(self.epochs):
            order = torch.randperm(len(entering), generator=generator)
            for some in torch.split(order, BLOCK_BATCH)[:batches]:
                out, target = module(entering[some]), leaving[some]
                loss = self.task.distill(out, target, 1.0) if last else (out - target).square().mean() / scale
                adam.zero_grad()
                loss.backward()
                adam.step()
                cycle.step()
        return module

    def divergence(
        self, index: int, replaced: nn.Module | None, members: dict[int, int], features: BlockFeatures
    ) -> float:
        """Return how far the outputs of the network go from its own with one block replaced, or left out if None.

        The replaced block reads the channels that it keeps; those that it lacks go on as the trained block made them:
        their loss is counted where they are not read. It is infinite of a block that gives other things than numbers.
        """
        if replaced is None:
            leaving = features.holdout_entering
        else:
            made = _in_parts(replaced, self._kept(index, features.holdout_entering, members))
            if not bool(made.isfinite().all()):
                return math.inf
            leaving = self._filled(index + 1, features.holdout_leaving, made, members)
        outputs = self._followed(leaving, index + 1)
        own = self.task.distill(self._expected, self._expected, 1.0)
        return max(0.0, float(self.task.distill(outputs, self._expected, 1.0) - own))

    def assembled(self, operators: Sequence[Opened]) -> list[nn.Module]:
        """Return these operators' modules, each distilled on what the ones before it make of the samples.

        So it makes up for what they do otherwise than the trained blocks (He et al., Channel pruning, 2017). Blocks up
        to the first that is smaller or left out are the trained ones.
        """
        wanted = {operator.origin.index: operator for operator in operators}
        modules: list[nn.Module] = []
        reached: Tensor | None = None
        for index, features in self.blocks():
            operator = wanted.get(index)
            if operator is None:
                reached = features.entering if reached is None else reached
                continue
            module = self.distilled(operator, features, reached)
            modules.append(module)
            if reached is not None or self._smaller(operator):
                members = dict(operator.origin.members)
                entering = self._kept(index, features.entering, members) if reached is None else reached
                reached = _in_parts(module, entering)
        return modules

    @cached_property
    def _teachers(self) -> list[nn.Module]:
        """The blocks of the trained network."""
        return [self.network.part(index, {}).eval() for index in range(len(self.network.links))]

    @cached_property
    def _expected(self) -> Tensor:
        """Outputs of the trained network for the samples that it is compared on."""
        return self._followed(self.holdout, 0)

    def _followed(self, x: Tensor, begin: int) -> Tensor:
        """Return the outputs of the trained network from what enters one of its blocks."""
        for teacher in self._teachers[begin:]:
            x = _in_parts(teacher, x)
        return x

    def _smaller(self, operator: Opened) -> bool:
        """Return whether a block lacks channels of the trained one."""
        return any(count < self.network.groups[number].group.size for number, count in operator.origin.members)

    def _kept(self, flow: int, x: Tensor, members: dict[int, int]) -> Tensor:
        return x.index_select(channel_axis(x.ndim), self.network.flows[flow].places(members))

    def _filled(self, flow: int, whole: Tensor, made: Tensor, members: dict[int, int]) -> Tensor:
        return whole.index_copy(channel_axis(whole.ndim), self.network.flows[flow].places(members), made)


def _in_parts(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(part) for part in torch.split(x, BLOCK_BATCH)])


def _nearest(module: nn.Module, entering: Tensor, leaving: Tensor) -> nn.Module:
    """Return a block with the statistics of its normalisation as they are, or as its features have them: whichever is
    nearer to what it learns. They stay so while it learns, as the trained block's do."""
    settled = copy.deepcopy(module)
    norms = [one for one in settled.modules() if isinstance(one, _BatchNorm)]
    if not norms:
        return module
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    _in_parts(settled, entering)
    for norm, own in zip(norms, (one for one in module.modules() if isinstance(one, _BatchNorm)), strict=True):
        norm.eval()
        norm.momentum = own.momentum
    far = [float((_in_parts(one, entering) - leaving).square().mean()) for one in (module, settled)]
    return settled if far[1] < far[0] else module
