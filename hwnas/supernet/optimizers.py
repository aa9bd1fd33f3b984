"""PyTorch's optimizers without its compiler, whose import takes 1.5 s of a processor when the first of them is made."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, cast

import torch

Optimizer = TypeVar("Optimizer", bound=torch.optim.Optimizer)

SHIELDED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
"""Methods that PyTorch hides from its compiler, which it imports to do so."""
_EAGER: dict[type, Any] = {}


def eager(kind: type[Optimizer]) -> type[Optimizer]:
    """Return the same optimizer for steps that are not compiled; they compute what they did.

    Example:
        >>> eager(torch.optim.SGD)([torch.zeros(3)], lr=0.1).defaults["lr"]
        0.1
    """
    if kind not in _EAGER:
        methods = {name: inspect.unwrap(getattr(kind, name)) for name in SHIELDED}
        step = torch.no_grad()(inspect.unwrap(kind.step))
        _EAGER[kind] = type(kind.__name__, (kind,), {**methods, "step": step})
    return cast(type[Optimizer], _EAGER[kind])
