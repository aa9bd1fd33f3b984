"""Modules as training leaves them."""

from __future__ import annotations

import torch
from torch import nn

from hwnas.ops.attention import Embedding, EncoderLayer


def trained_looking(module: nn.Module) -> nn.Module:
    """The module with normalisation statistics that folding must get right, and with positions that count."""
    for child in module.modules():
        if isinstance(child, Embedding | EncoderLayer):
            for parameter in child.parameters():
                parameter.data += torch.randn_like(parameter) / parameter.shape[-1] ** 0.5
        if isinstance(child, nn.BatchNorm2d):
            child.running_mean = torch.randn(child.num_features)
            child.running_var = torch.rand(child.num_features) + 0.5
            nn.init.normal_(child.weight, 1, 0.3)
            nn.init.normal_(child.bias)
    return module
