"""The whole network that a function returns: made, given its sizes, moved to `meta`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from hwnas.errors import SpaceError, raised
from hwnas.ops import Shape
from hwnas.space import Architecture, FunctionSpace

LAZY = UninitializedParameter, UninitializedBuffer


def new_root(space: FunctionSpace, architecture: Architecture, shape: Shape) -> nn.Module:
    """Return the module of an architecture from the function, with weights; on `meta` where that is the default."""
    if torch.get_default_device().type != "meta":
        root = module_in(space.blueprint(architecture, weights=True))
        materialise(root, shape, space)
        return root
    root = module_in(space.blueprint(architecture))
    materialise(root, shape, space)
    _to_meta(root)
    return root


def module_in(built: Any) -> nn.Module:
    """Return the module in what a function returned."""
    root: nn.Module = built[1] if isinstance(built, tuple) else built
    return root


def stated_shape(space: FunctionSpace, built: Any) -> Shape | None:
    """Return the shape of one image of the network that a function returned; None if it returned no module.

    Raises:
        SpaceError: no shape is stated, or an impossible one.
    """
    shape, module = built if isinstance(built, tuple) and len(built) == 2 else (None, built)
    if not isinstance(module, nn.Module):
        return None
    if shape is None:
        shape = getattr(module, "input_shape", getattr(space.build, "input_shape", None))
    if not isinstance(shape, list | tuple) or not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise SpaceError(
            f"the input shape of {type(module).__name__} is {shape!r}",
            where=f"space `{space.name}`",
            allowed="The function returns (input_shape, module), or the module or the function has an attribute"
            " `input_shape`: whole numbers without the batch axis, such as (3, 32, 32)",
            do=f"Write `return (3, 32, 32), network`, or `{space.name}.input_shape = (3, 32, 32)` after the function",
        )
    return tuple(shape)


def materialise(root: nn.Module, shape: Shape, space: FunctionSpace) -> None:
    """Run a network once if some of its layers take their sizes from their first input.

    Raises:
        SpaceError: it does not run.
    """
    tensors = [*root.parameters(), *root.buffers()]
    if not any(isinstance(value, LAZY) for value in tensors):
        return
    modes = {module: module.training for module in root.modules()}
    structure_only = any(value.device.type == "meta" for value in tensors)
    try:
        with torch.no_grad(), on_meta(root) if structure_only else nullcontext():
            root.eval()(torch.zeros(2, *shape, device="meta" if structure_only else None))
    except Exception as error:
        raise does_not_run(space, shape, error) from error
    for module, mode in modes.items():
        module.training = mode


@contextmanager
def on_meta(root: nn.Module) -> Iterator[None]:
    """Put all tensors of a network on `meta` for the duration of the context; then put the earlier ones back."""
    modes = {module: module.training for module in root.modules()}
    before = _to_meta(root)
    try:
        yield
    finally:
        for store, name, value in before:
            store[name] = value
        for module, mode in modes.items():
            module.training = mode


def _to_meta(root: nn.Module) -> list[tuple[dict[str, Any], str, Tensor]]:
    """Put all tensors on `meta`, ties kept, and return the earlier ones with their stores and names."""
    twins: dict[int, Tensor] = {}
    before = []
    for module in root.modules():
        stores: list[dict[str, Any]] = [module._parameters, module._buffers, vars(module)]
        for store in stores:
            for name, value in list(store.items()):
                if isinstance(value, Tensor) and not _is_there(value):
                    before.append((store, name, value))
                    twin = twins.setdefault(id(value), value.detach().to("meta"))
                    if isinstance(value, nn.Parameter) and not isinstance(twin, nn.Parameter):
                        twin = twins[id(value)] = nn.Parameter(twin, requires_grad=value.requires_grad)
                    store[name] = twin
    return before


def _is_there(value: Tensor) -> bool:
    return value.device.type == "meta" or isinstance(value, LAZY)


def does_not_run(space: FunctionSpace, shape: Shape, error: Exception) -> SpaceError:
    """Return the error of a network that fails on images of the stated shape."""
    return SpaceError(
        f"the network fails at input {'x'.join(map(str, shape))} ({raised(error)})",
        where=f"space `{space.name}`",
        allowed="Every network of the space runs on images of its input shape, (batch, *input_shape)",
        do="Correct the module, or the input shape that the function states",
    )
