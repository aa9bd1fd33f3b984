"""The moving average of weights, which is scored and exported in place of the last ones."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar, final

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

Module = TypeVar("Module", bound=nn.Module, covariant=True)


@final
class EMA(Generic[Module]):
    """A twin of a module whose weights follow those of the module.

    After step n the twin moves by `1 - min(decay, (1 + n) / (10 + n))` of the way, so that the first steps, which are
    still near the initial weights, are soon forgotten.
    """

    def __init__(self, module: Module, decay: float) -> None:
        self.module = copy.deepcopy(module)
        self.decay = decay

    def update(self, module: nn.Module, step: int) -> None:
        """Take step `step`, counted from 1 since the beginning of training, into account."""
        keep = min(self.decay, (1 + step) / (10 + step))
        own, others = (list(one.parameters()) for one in (self.module, module))
        with torch.no_grad():
            get_ema_multi_avg_fn(keep)(own, others, None)  # type: ignore[no-untyped-call]
