"""`grasp`: how much each weight keeps the gradient flowing.

Definition: the sum over convolutions and linear layers of -w * (H g), where g is the gradient of the cross-entropy
loss of one batch with respect to these weights and H g the product of the loss's Hessian with it (Wang et al.,
Picking Winning Tickets Before Training by Preserving Gradient Flow, ICLR 2020; as a score of networks, with this
sign, Abdelfattah et al., ICLR 2021). The temperature of the loss is 1.
Input: 64 images with labels. Normalisation: batch statistics (training mode). Initialisation: PyTorch's.
PyTorch has no second derivative of `nn.Hardsigmoid`; the same function is computed as relu6(x + 3) / 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.weights import over_gradients, weighted_layers


def grasp(subject: ProxyInput) -> float:
    """Return the score, from one forward pass, a backward pass, and a backward pass through that."""
    module = subject.module
    for layer in module.modules():
        if isinstance(layer, nn.Hardsigmoid):
            layer.inplace = False
            layer.register_forward_hook(_hard_sigmoid)
    weights = [layer.weight for layer in weighted_layers(module)]
    loss = subject.loss(subject.inputs, subject.targets)
    gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
    squares = torch.stack([gradient.square().sum() for gradient in gradients if gradient is not None])
    torch.autograd.backward(squares.sum() / 2)  # the derivative of half of g * g is H g
    return -over_gradients(module, lambda weight, product: (weight * product).sum())


def _hard_sigmoid(layer: nn.Module, entering: tuple[Tensor, ...], leaving: Tensor) -> Tensor:
    return functional.relu6(entering[0] + 3) / 6


GRASP = Definition(grasp, batch=64, data=True, labels=True)
