"""`snip`: how much the loss depends on each weight being there.

Definition: the sum over convolutions and linear layers of |w * dL/dw|, L the cross-entropy loss of one batch. It is
the derivative with respect to a mask of ones on the weights (Lee et al., SNIP: Single-shot Network Pruning based on
Connection Sensitivity, ICLR 2019; as a score of networks Abdelfattah et al., ICLR 2021).
Input: 64 images with labels. Normalisation: batch statistics (training mode). Initialisation: PyTorch's.
"""

from __future__ import annotations

import torch

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.weights import over_gradients


def snip(subject: ProxyInput) -> float:
    """Return the score, from one forward and one backward pass."""
    torch.autograd.backward(subject.loss(subject.inputs, subject.targets))
    return over_gradients(subject.module, lambda weight, gradient: (weight * gradient).abs().sum())


SNIP = Definition(snip, batch=64, data=True, labels=True)
