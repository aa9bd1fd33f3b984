"""Importance of channels on data: how large what they carry is, or how the loss changes without them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from hwnas.opened.channel_scores import ChannelScores, scores_of
from hwnas.ops import Shape
from hwnas.supernet.slicing.channel_groups import Group, ParameterAxis
from hwnas.tasks import Batch, Task
from hwnas.tasks.ends import call


def scores_on_data(
    module: nn.Module, shape: Shape, groups: Sequence[Group], kind: str, batches: Iterable[Batch], task: Task
) -> ChannelScores:
    """Return the importance of the members of each group that layers read, in the order of the module's channels.

    `activations`: the root mean square of what each member carries times the L1 norm of weights that read it (Sun et
    al., Wanda, 2024). `taylor`: the mean square, over samples, of the loss's first-order change when the member is set
    to zero wherever it is read (Molchanov et al., Importance Estimation for Neural Network Pruning, 2019).
    """
    reading = _Reading(copy.deepcopy(module).eval().requires_grad_(True), groups)
    score = reading.taylor if kind == "taylor" else reading.activations
    totals: dict[str, Tensor] = {}
    count = 0
    for batch in batches:
        inputs = task.fitted(batch.inputs, shape)
        for name, value in score(inputs, batch, task).items():
            totals[name] = totals.get(name, 0) + value
        count += len(batch.targets)
    return scores_of(kind, {name: (value / max(count, 1)).numpy() for name, value in totals.items()})


class _Reading:
    """Layers that read members of groups, with what they are handed in a pass."""

    def __init__(self, module: nn.Module, groups: Sequence[Group]) -> None:
        self.module = module
        self.readers = [(group, readers) for group in groups if (readers := _readers(module, group))]
        self._carried: dict[nn.Module, list[tuple[Tensor, list[Tensor]]]] = {}

    def activations(self, inputs: Any, batch: Batch, task: Task) -> dict[str, Tensor]:
        """Return, by group, the sums over samples of what members carry times the norms of weights that read it."""
        self._run(inputs, grad=False)
        scores: dict[str, Tensor] = {}
        for group, readers in self.readers:
            total = torch.zeros(group.size, dtype=torch.float64)
            for layer, entry in readers:
                norms = _members(_weight(layer).detach().abs().double().movedim(1, 0).flatten(1).sum(1)[None], entry)
                for x, _ in self._carried.get(layer, ()):
                    carried = _members(_by_channel(layer, x.double().square(), mean=True), entry, mean=True)
                    total += (carried.sqrt() * norms).sum(0)
            scores[group.name] = total
        return scores

    def taylor(self, inputs: Any, batch: Batch, task: Task) -> dict[str, Tensor]:
        """Return, by group, the sums over samples of the squared first-order change of the loss without a member."""
        outputs = self._run(inputs, grad=True)
        samples = len(batch.targets)
        (task.loss(outputs, batch) * samples).backward()  # type: ignore[no-untyped-call]
        scores: dict[str, Tensor] = {}
        for group, readers in self.readers:
            change = torch.zeros(samples, group.size, dtype=torch.float64)
            for layer, entry in readers:
                for x, gradients in self._carried.get(layer, ()):
                    if gradients:
                        change += _members(_by_channel(layer, (x * gradients[0]).double()), entry)
            scores[group.name] = change.square().sum(0)
        self.module.zero_grad()
        return scores

    def _run(self, inputs: Any, *, grad: bool) -> Any:
        self._carried.clear()
        layers = {layer for _, readers in self.readers for layer, _ in readers}
        handles = [layer.register_forward_pre_hook(self._note) for layer in layers]
        try:
            with torch.set_grad_enabled(grad):
                return call(self.module, inputs)
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, layer: nn.Module, args: tuple[Any, ...]) -> None:
        x, gradients = args[0], list[Tensor]()
        if x.requires_grad:
            x.register_hook(gradients.append)
        self._carried.setdefault(layer, []).append((x.detach(), gradients))


def _readers(module: nn.Module, group: Group) -> list[tuple[nn.Module, ParameterAxis]]:
    """Return the layers whose weights read the members of a group along their axis 1."""
    readers = []
    for entry in group.places:
        name, _, own = entry.parameter.rpartition(".")
        layer = module.get_submodule(name)
        plain = isinstance(layer, nn.Linear) or (isinstance(layer, _ConvNd) and not layer.transposed)
        if plain and own == "weight" and entry.axis == 1:
            readers.append((layer, entry))
    return readers


def _weight(layer: nn.Module) -> Tensor:
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight


def _by_channel(layer: nn.Module, x: Tensor, *, mean: bool = False) -> Tensor:
    """Return (samples, channels that one output reads): sums, or means, over places and groups of a convolution."""
    fold = torch.Tensor.mean if mean else torch.Tensor.sum
    if isinstance(layer, _ConvNd):
        return fold(torch.unflatten(x, 1, (layer.groups, -1)).movedim(2, 1).flatten(2), dim=2)
    return fold(x.movedim(-1, 1).unsqueeze(-1).flatten(2), dim=2)


def _members(values: Tensor, entry: ParameterAxis, *, mean: bool = False) -> Tensor:
    """Return (samples, members) of (samples, channels)."""
    fold = partial(torch.mean if mean else torch.sum, dim=(1, 3))
    folded: Tensor = fold(torch.unflatten(entry.stretch(values, 1), 1, (entry.before, -1, entry.after)))
    return folded
