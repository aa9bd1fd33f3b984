"""`fisher`: how much the loss depends on each channel being there.

Definition: a channel's value is half the mean over the images of (sum over its places of a * dL/da) squared, where a
is what leaves a convolution or a linear layer and L the cross-entropy loss of one batch; the score is the sum over
all channels of these layers (Theis et al., Faster Gaze Prediction with Dense Networks and Fisher Pruning, 2018;
Turner et al., BlockSwap, ICLR 2020; as a score of networks Abdelfattah et al., ICLR 2021). Tokens are places.
Input: 64 images with labels. Normalisation: batch statistics (training mode). Initialisation: PyTorch's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.weights import weighted_layers


def fisher(subject: ProxyInput) -> float:
    """Return the score, from one forward and one backward pass, for which the output of each layer is kept."""
    kept: list[tuple[nn.Module, Tensor]] = []

    def keep(layer: nn.Module, entering: tuple[Tensor, ...], leaving: Tensor) -> Tensor:
        kept.append((layer, leaving))
        return leaving.clone()  # what comes next may work in place

    for layer in weighted_layers(subject.module):
        layer.register_forward_hook(keep)
    loss = subject.loss(subject.inputs, subject.targets)
    outputs = [leaving for _, leaving in kept]
    gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, outputs, allow_unused=True)
    return sum(
        _value(layer, (leaving * gradient).detach())
        for (layer, leaving), gradient in zip(kept, gradients, strict=True)
        if gradient is not None
    )


def _value(layer: nn.Module, product: Tensor) -> float:
    """Return the value of all channels of a layer: the last axis if it is linear, as it may run over tokens, else the
    second."""
    by_channel = product.movedim(-1, 1) if isinstance(layer, nn.Linear) else product
    sums = by_channel.flatten(2).sum(2) if by_channel.ndim > 2 else by_channel
    return float(sums.double().square().mean(0).sum() / 2)


FISHER = Definition(fisher, batch=64, data=True, labels=True)
