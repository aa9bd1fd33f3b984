"""Layers of torch.nn as expressions that construct them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, str, type(None))
NOT_SETTINGS = ("device", "dtype", "self")
"""Parameters of constructors that are no settings."""


class Uncovered(Exception):
    """Reason why a module cannot be written as source."""


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is one of torch.nn without children."""
    own = type(module).__module__.startswith("torch.nn.modules.") and type(module) is getattr(
        nn, type(module).__name__, None
    )
    return own and (type(module) is nn.MultiheadAttention or not list(module.children()))


def layer_source(layer: nn.Module) -> str:
    """Return an expression that constructs a layer of torch.nn as it is, but for its weights.

    Raises:
        Uncovered: no expression gives the same layer.

    Example:
        >>> layer_source(nn.Conv2d(3, 8, 3, padding=1, bias=False))
        'nn.Conv2d(3, 8, 3, padding=1, bias=False)'
    """
    for source in _candidates(layer):
        try:
            twin = eval(source, {"nn": nn, "torch": torch})  # noqa: S307  # of a class of torch.nn and plain values
        except Exception:  # constructors raise anything
            continue
        if _settings(twin) == _settings(layer) and _shapes(twin) == _shapes(layer):
            return source
    raise Uncovered(f"the layer {type(layer).__name__} cannot be constructed from its settings")


def _candidates(layer: nn.Module) -> Iterator[str]:
    for short in (True, False):
        yield f"nn.{type(layer).__name__}({', '.join(_arguments(layer, short))})"
    yield f"nn.{layer!r}".replace("\n", " ")


def _arguments(layer: nn.Module, short: bool) -> Iterator[str]:
    """Yield the arguments that are not at their defaults; `short` with one number for equal ones."""
    positional = True
    for name, parameter in inspect.signature(type(layer).__init__).parameters.items():
        if name in NOT_SETTINGS or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = _setting(layer, name)
        if short and isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        if parameter.default is parameter.empty and positional:
            yield repr(value)
        elif not _same(value, parameter.default):
            positional = False
            yield f"{name}={value!r}"
        else:
            positional = False


def _setting(layer: nn.Module, name: str) -> Any:
    if name == "bias":
        return any(value is not None for key, value in layer._parameters.items() if "bias" in key and key[-2:] != "_k")
    if name == "add_bias_kv":
        return getattr(layer, "bias_k", None) is not None
    return getattr(layer, name, None)


def _same(value: Any, default: Any) -> bool:
    return bool(value == default) or (isinstance(value, tuple) and bool(value) and set(value) == {default})


def _settings(layer: nn.Module) -> Mapping[str, Any]:
    """Return the plain attributes, which decide what a layer computes."""
    own = {name: value for name, value in vars(layer).items() if not name.startswith("_") and name != "training"}
    return {name: value for name, value in own.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple | list) else isinstance(value, PLAIN)


def _shapes(layer: nn.Module) -> Mapping[str, tuple[torch.Size, torch.dtype]]:
    state: Mapping[str, Tensor] = layer.state_dict()
    return {name: (value.shape, value.dtype) for name, value in state.items()}
