"""Initialisation of weights before a network is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from hwnas.accuracy.zero_cost_proxies.weights import weighted_layers


def _as_built(module: nn.Module) -> None:
    """Keep PyTorch's defaults, and the weights that operators draw themselves."""


def _kaiming(module: nn.Module) -> None:
    """Draw weights from Kaiming normal over the inputs, biases zero."""
    for layer in weighted_layers(module):
        nn.init.kaiming_normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _xavier(module: nn.Module) -> None:
    """Draw weights from Xavier normal, biases zero."""
    for layer in weighted_layers(module):
        nn.init.xavier_normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _normal(module: nn.Module) -> None:
    """Draw weights from the standard normal distribution, biases zero."""
    for layer in weighted_layers(module):
        nn.init.normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


INITIALIZATIONS: Mapping[str, Callable[[nn.Module], None]] = {  # convolutions and linear layers; all else as built
    "pytorch": _as_built,
    "kaiming": _kaiming,
    "xavier": _xavier,
    "normal": _normal,
}
