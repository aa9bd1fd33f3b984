"""`ntk`: how evenly a network learns, by its neural tangent kernel.

Definition: K of two images is the product of the gradients of their summed outputs by all weights; the score is the
smallest over the largest eigenvalue of K, the inverse of its condition number (Chen et al., Neural Architecture Search
on ImageNet in Four GPU Hours, TE-NAS, ICLR 2021). A singular kernel has no score.
Input: 16 images (32 in the source), one at a time. Normalisation: the statistics of all of them together, so that the
outputs of an image do not depend on the others (training mode in the source, where the kernel is singular if the last
normalisation is followed by nothing but pooling). Initialisation: Kaiming normal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.weights import weighted_layers


def ntk(subject: ProxyInput) -> float:
    """Return the score, from one forward pass of all images, then a forward and a backward pass of each image."""
    module = subject.module
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = 1.0  # running statistics become the batch's
    with torch.no_grad():
        module(subject.inputs)
    module.eval()
    weights = [layer.weight for layer in weighted_layers(module)]
    gradients = torch.stack([_gradient(module(image).sum(), weights) for image in torch.split(subject.inputs, 1)])
    values = torch.linalg.eigvalsh((gradients @ gradients.T).double())
    return float(values[0] / values[-1]) if values[0] > 0 else math.nan


def _gradient(output: Tensor, weights: list[Tensor]) -> Tensor:
    """Return the gradients by all weights as one vector; a weight that is not used has a gradient of zeros."""
    gradients = torch.autograd.grad(output, weights, materialize_grads=True, allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


NTK = Definition(ntk, batch=16, data=True, initialization="kaiming")
