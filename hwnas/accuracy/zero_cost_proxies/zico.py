"""`zico`: how large gradients are beside how much they differ between batches.

Definition: over two batches, for each weight the mean of its gradient's magnitude over the deviation of its gradient;
the score is the sum over convolutions and linear layers of the logarithm of the layer's sum of these. Weights whose
gradient does not deviate are left out (Li et al., ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on
Gradients, ICLR 2023). The source's code does not clear gradients between batches, so that its second gradient is the
sum of both; that is no part of the definition, and ranks are the same within .02 (docs/results/accuracy.md).
Input: 32 images with labels, as two batches of 16 (two of 128 in the source). Normalisation: statistics of each batch
(training mode). Initialisation: PyTorch's.
"""

from __future__ import annotations

import math

import torch

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.weights import weighted_layers

BATCHES = 2


def zico(subject: ProxyInput) -> float:
    """Return the score, from a forward and a backward pass of each half of the images."""
    weights = [layer.weight for layer in weighted_layers(subject.module)]
    gradients = []
    for inputs, targets in zip(subject.inputs.chunk(BATCHES), subject.targets.chunk(BATCHES), strict=True):
        loss = subject.loss(inputs, targets)
        gradients.append(torch.autograd.grad(loss, weights, allow_unused=True))
    terms = []
    for of_batches in zip(*gradients, strict=True):
        if (gradient := _stacked(of_batches)) is not None:
            deviation = gradient.std(0, correction=0)
            known = deviation > 0
            terms.append(float((gradient.abs().mean(0)[known] / deviation[known]).double().sum()))
    return math.fsum(math.log(term) for term in terms if term > 0) if any(terms) else math.nan


def _stacked(of_batches: tuple[torch.Tensor | None, ...]) -> torch.Tensor | None:
    """Return the gradients as (batches, weights); None for a layer that no gradient reaches."""
    reached = [gradient.flatten() for gradient in of_batches if gradient is not None]
    return torch.stack(reached) if len(reached) == BATCHES else None


ZICO = Definition(zico, batch=32, data=True, labels=True)
