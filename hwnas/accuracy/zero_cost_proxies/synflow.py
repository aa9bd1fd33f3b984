"""`synflow`: how much flows through the weights, were they all positive.

Definition: with the absolute value of every parameter, R is the sum of the outputs for an image of ones; the score is
the sum over convolutions and linear layers of |w * dR/dw| (Tanaka et al., Pruning Neural Networks without any Data by
Iteratively Conserving Synaptic Flow, NeurIPS 2020; as a score of networks Abdelfattah et al., ICLR 2021).
Input: one image of ones. Normalisation: passed by, batch and layer normalisation alike, because it would divide out
what is to be measured. Initialisation: PyTorch's. Precision: double; the product of so many layers leaves the range of
single precision, in which 120 of 300 cells of NAS-Bench-201 overflow or vanish.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.weights import over_gradients

NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def synflow(subject: ProxyInput) -> float:
    """Return the score, from one forward and one backward pass of a single image."""
    module = subject.module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    for layer in module.modules():
        if isinstance(layer, NORMALIZATIONS):
            layer.register_forward_hook(_passed_by)
    module(torch.ones_like(subject.inputs)).sum().backward()
    return over_gradients(module, lambda weight, gradient: (weight * gradient).abs().sum())


def _passed_by(layer: nn.Module, entering: tuple[Tensor, ...], leaving: Tensor) -> Tensor:
    return entering[0]


SYNFLOW = Definition(synflow, batch=1, mode="eval", dtype="float64")
