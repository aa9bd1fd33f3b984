"""Random changes of inputs that keep their targets: a table for each kind of input, chosen by its rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hwnas.errors import ConfigError, did_you_mean
from hwnas.tasks.augmentation.images import AUGMENTATIONS, augment_images
from hwnas.tasks.augmentation.signals import SIGNAL_AUGMENTATIONS, SignalAugmentation, augment_signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIGNAL, IMAGE = 2, 3
"""Ranks of inputs: (channels, length), (channels, height, width)."""
IN_PLACE = ("none", "scale", "noise", "scale_noise")
"""Those that move nothing, so that targets with a value for each place still fit."""


def augmentations_of(rank: int, *, moving: bool = True) -> Mapping[str, Any]:
    """Return the augmentations of inputs of a rank, by name; without `moving`, those that leave values in place."""
    table: Mapping[str, Any] = {SIGNAL: SIGNAL_AUGMENTATIONS, IMAGE: AUGMENTATIONS}.get(rank, {"none": None})
    return table if moving else {name: how for name, how in table.items() if name in IN_PLACE}


def augmented(inputs: Tensor, generator: torch.Generator, kind: str, known: Mapping[str, Any]) -> Tensor:
    """Return normalised inputs (N, ...), each changed at random as `known[kind]` says.

    Raises:
        ConfigError: an unknown augmentation.
    """
    if kind not in known:
        raise ConfigError(
            f"unknown augmentation `{kind}`",
            where="train",
            allowed=did_you_mean(kind, known),
            do="Use a known augmentation",
        )
    if kind == "none":
        return inputs
    how = known[kind]
    changed = augment_signals if isinstance(how, SignalAugmentation) else augment_images
    return changed(inputs, generator, how)
