"""How weights are drawn before a network is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from hwnas.accuracy.zero_cost_proxies.weights import weighted_layers


def _as_built(module: nn.Module) -> None:
    """PyTorch's defaults, and what operators draw of their own."""


def _kaiming(module: nn.Module) -> None:
    """Kaiming normal over the inputs, biases zero."""
    for layer in weighted_layers(module):
        nn.init.kaiming_normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _xavier(module: nn.Module) -> None:
    """Xavier normal, biases zero."""
    for layer in weighted_layers(module):
        nn.init.xavier_normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _normal(module: nn.Module) -> None:
    """Standard normal, biases zero."""
    for layer in weighted_layers(module):
        nn.init.normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


INITIALISATIONS: Mapping[str, Callable[[nn.Module], None]] = {  # convolutions and linear layers; all else as built
    "pytorch": _as_built,
    "kaiming": _kaiming,
    "xavier": _xavier,
    "normal": _normal,
}
