"""`jacob_cov`: how unlike one another images move the outputs of a network.

Definition: J is, for each image, the gradient of the sum of its outputs by the image; v are the eigenvalues of the
correlation matrix of these rows; the score is -sum(log(v + k) + 1 / (v + k)) with k = 1e-5 (Mellor et al., Neural
Architecture Search without Training, first version of 2020, arXiv:2006.04647v1).
Input: 32 images (256 in the source). Normalisation: batch statistics (training mode). Initialisation: PyTorch's.
"""

from __future__ import annotations

import torch

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput

_K = 1e-5


def jacob_cov(subject: ProxyInput) -> float:
    """Return the score, from one forward and one backward pass."""
    images = subject.inputs.clone().requires_grad_()
    (jacobian,) = torch.autograd.grad(subject.module(images).sum(), images)
    values = torch.linalg.eigvalsh(torch.corrcoef(jacobian.flatten(1).double()))
    shifted = values.clamp_min(0) + _K  # a correlation matrix has no negative ones; rounding has
    return -float((shifted.log() + 1 / shifted).sum())


JACOB_COV = Definition(jacob_cov, batch=32, data=True)
