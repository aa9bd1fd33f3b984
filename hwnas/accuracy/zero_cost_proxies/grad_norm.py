"""`grad_norm`: how long the gradient is after one batch.

Definition: the sum over convolutions and linear layers of the Euclidean norm of the weight's gradient of the
cross-entropy loss (Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021).
Input: 64 images with labels. Normalisation: batch statistics (training mode). Initialisation: PyTorch's.
"""

from __future__ import annotations

import torch

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.weights import over_gradients


def grad_norm(subject: ProxyInput) -> float:
    """Return the score, from one forward and one backward pass."""
    torch.autograd.backward(subject.loss(subject.inputs, subject.targets))
    return over_gradients(subject.module, lambda weight, gradient: torch.linalg.vector_norm(gradient))


GRAD_NORM = Definition(grad_norm, batch=64, data=True, labels=True)
