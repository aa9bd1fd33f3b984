"""Random changes of signals that keep their targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwnas.tasks.augmentation.images import moved_indices, random_spans

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class SignalAugmentation:
    """Random changes of a signal. Lengths are shares of its length, sizes are of normalised values."""

    shift: float = 0.0
    """Moved in time by up to this much; what comes in repeats the border."""
    scale: float = 0.0
    """Each channel is multiplied by a factor up to this far from 1."""
    noise: float = 0.0
    """Standard deviation of normal noise that is added."""
    time_mask: float = 0.0
    """Length of a stretch that is set to the mean, at random and partly outside (SpecAugment, Park et al. 2019)."""


SIGNAL_AUGMENTATIONS: Mapping[str, SignalAugmentation] = {
    "none": SignalAugmentation(),
    "shift": SignalAugmentation(shift=1 / 8),
    "scale": SignalAugmentation(scale=0.2),
    "noise": SignalAugmentation(noise=0.1),
    "time_mask": SignalAugmentation(time_mask=1 / 8),
    "scale_noise": SignalAugmentation(scale=0.2, noise=0.1),
    "shift_scale_noise": SignalAugmentation(shift=1 / 8, scale=0.2, noise=0.1),
    "shift_scale_noise_mask": SignalAugmentation(shift=1 / 8, scale=0.2, noise=0.1, time_mask=1 / 8),
}


def augment_signals(signals: Tensor, generator: torch.Generator, how: SignalAugmentation) -> Tensor:
    """Return normalised signals (N, C, L), each changed at random."""
    import torch

    if how == SignalAugmentation():
        return signals
    count, channels, length = signals.shape
    if how.shift:
        places = moved_indices(count, length, how.shift, generator)
        signals = signals.gather(2, places[:, None].expand(-1, channels, -1))
    if how.scale:
        factors = torch.rand(count, channels, 1, generator=generator).mul_(2).sub_(1).mul_(how.scale).add_(1)
        signals = signals * factors
    if how.noise:
        signals = signals + how.noise * torch.randn(signals.shape, generator=generator)
    if how.time_mask:
        signals = signals.masked_fill(random_spans(count, length, how.time_mask, generator)[:, None], 0.0)
    return signals
