"""The last linear layer of a classifier: found, replaced, fitted to other classes."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hwnas.adapt.board.logistic import HEAD_PENALTIES, Fit, Head, standardised
from hwnas.adapt.board.logistic import cross_entropy as loss_of
from hwnas.data import Split
from hwnas.data.batches import batches
from hwnas.errors import ConfigError
from hwnas.network import Network
from hwnas.ops import Shape
from hwnas.supernet.batchnorm import estimate
from hwnas.supernet.optimizers import eager
from hwnas.tasks.ends import call, examples


def last_linear(module: nn.Module, shape: Shape, *, where: str) -> str:
    """Return the name of the linear layer whose output is that of the module.

    Raises:
        ConfigError: there is none.
    """
    made: list[tuple[str, Tensor]] = []
    hooks = [
        child.register_forward_hook(lambda _child, _inputs, out, name=name: made.append((name, out)))
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear)
    ]
    try:
        with torch.no_grad():
            output = call(module.eval(), _example(module, shape))
    finally:
        for hook in hooks:
            hook.remove()
    names = [name for name, out in made if isinstance(output, Tensor) and _same(out, output)]
    if not names:
        raise ConfigError(
            "the network does not end in a linear layer",
            where=where,
            allowed="Penultimate features are what the last `nn.Linear` takes, and its output is the network's",
            do="Take `--how norm`, or a network whose head is linear",
        )
    return names[-1]


def _example(module: nn.Module, shape: Shape) -> Any:
    inputs = tuple(tensor.to(next(module.parameters()).device) for tensor in examples(shape, 2))
    return inputs if len(inputs) > 1 else inputs[0]


def _same(made: Tensor, output: Tensor) -> bool:
    return made.ndim == 2 and made.shape == output.shape and torch.equal(made, output)


def head_of(module: nn.Module, name: str, classes: tuple[str, ...]) -> Head:
    """Return the rows of a linear layer."""
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    bias = _numbers(layer.bias) if "bias" in dict(layer.named_parameters()) else np.zeros(layer.out_features)
    return Head(_numbers(layer.weight), bias, classes)


def _numbers(value: Tensor) -> Any:
    return value.detach().cpu().double().numpy()


def with_head(module: nn.Module, name: str, head: Head) -> nn.Module:
    """Return a copy of a module whose linear layer of that name has other rows, and as many."""
    changed = copy.deepcopy(module)
    layer = changed.get_submodule(name)
    own = nn.Linear(head.weight.shape[1], len(head.classes), device=next(layer.parameters()).device)
    with torch.no_grad():
        own.weight.copy_(torch.from_numpy(head.weight))
        own.bias.copy_(torch.from_numpy(head.bias))
    path, _, leaf = name.rpartition(".")
    setattr(changed.get_submodule(path), leaf, own)
    return changed.train(module.training)


def for_classes(network: Network, classes: int) -> Network:
    """Return a network as one of so many classes, for what asks its task; its module is not built from it."""
    last = replace(network.operators[-1], out_channels=classes)
    return replace(network, operators=(*network.operators[:-1], last))


@final
class WithFeatures(nn.Module):
    """A module with a second output: what its last linear layer takes.

    Args:
        body: the module.
        name: of that layer.
    """

    def __init__(self, body: nn.Module, name: str) -> None:
        super().__init__()
        self.body = copy.deepcopy(body)
        self.kept: list[Tensor] = []
        path, _, leaf = name.rpartition(".")
        parent = self.body.get_submodule(path)
        setattr(parent, leaf, _Kept(parent.get_submodule(leaf), self.kept))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, classes) and features (N, width)."""
        logits = self.body(*inputs)
        return logits, self.kept.pop()


@final
class _Kept(nn.Module):
    """A layer whose input is kept: converters follow it, and the network between needs no change."""

    def __init__(self, layer: nn.Module, kept: list[Tensor]) -> None:
        super().__init__()
        self.layer, self.kept = layer, kept

    def forward(self, x: Tensor) -> Any:
        self.kept[:] = [x]
        return self.layer(x)


@dataclass(frozen=True, eq=False)
class PenultimateFeatures:
    """Penultimate features (N, width) of a split's samples, with their labels."""

    values: Any
    labels: Any


def features_of(
    module: nn.Module, name: str, network: Network, split: Split, *, batch_size: int = 256
) -> PenultimateFeatures:
    """Return what the last linear layer of a module takes for each sample of a split, in the split's order."""
    taken: list[Tensor] = []
    device = next(module.parameters()).device
    hook = module.get_submodule(name).register_forward_pre_hook(lambda _layer, inputs: taken.append(inputs[0].cpu()))
    labels = []
    try:
        with torch.no_grad():
            for batch in batches(split, batch_size):
                call(module.eval(), network.task.fitted(batch.inputs, network.input_shape).to(device))
                labels.append(batch.targets)
    finally:
        hook.remove()
    return PenultimateFeatures(torch.cat(taken).numpy(), torch.cat(labels).numpy())


def fit_head(train: PenultimateFeatures, validation: PenultimateFeatures, start: Head) -> Fit:
    """Return the head for labelled features, of least cross-entropy; the validation samples choose the penalty.

    The same objective as `board.logistic.fitted` has, minimised by PyTorch's L-BFGS in float64.
    """
    heads = [fitted_by_torch(train, start, strength) for strength in HEAD_PENALTIES]
    losses = [loss_of(head.logits(validation.values), validation.labels) for head in heads]
    best = int(np.argmin(losses))
    accuracy = heads[best].accuracy(validation.values, validation.labels)
    return Fit(heads[best], HEAD_PENALTIES[best], accuracy, len(validation.labels))


def fitted_by_torch(train: PenultimateFeatures, start: Head, strength: float) -> Head:
    """Return the head of least penalised cross-entropy."""
    features, mean, scale = standardised(train.values)
    x, labels = torch.from_numpy(features), torch.from_numpy(train.labels)
    centre = torch.from_numpy(start.weight * scale)
    weight = centre.clone().requires_grad_()
    bias = torch.from_numpy(start.bias + start.weight @ mean).requires_grad_()
    solver = eager(torch.optim.LBFGS)([weight, bias], max_iter=300, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = cross_entropy(x @ weight.T + bias, labels) + strength / 2 * (weight - centre).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    own = weight.detach().numpy() / scale
    return Head(own, bias.detach().numpy() - own @ mean, start.classes)


def accuracy_on(module: nn.Module, network: Network, split: Split) -> dict[str, float | int | None]:
    """Return the task's first metric of a module on a split, with its standard error."""
    scored = estimate(module, network, split)
    return {"value": scored.value, "error": scored.error, "samples": len(split)}
