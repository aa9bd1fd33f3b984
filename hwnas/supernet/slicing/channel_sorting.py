"""Channel sorting: the most important channels come first, so that narrower networks keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwnas.supernet.slicing.channel_groups import Group, ParameterAxis


@dataclass(frozen=True)
class Sorting:
    """Result of a sorting: the groups that were brought into order, and those that stay, each with its reason."""

    sorted: tuple[Group, ...]
    fixed: tuple[Group, ...]


def sort_channels(
    supernet: nn.Module,
    groups: Sequence[Group],
    optimizer: torch.optim.Optimizer | None = None,
    *,
    twins: Sequence[nn.Module] = (),
    judged: Callable[[nn.Module, Group], Tensor] | None = None,
) -> Sorting:
    """Reorder channels, heads and hidden units of a supernet, or of any module whose tensors the groups name, in place
    by falling importance; `elastic_groups` lists those of a supernet.

    The largest network computes what it did before; narrower ones get other members. The state of the optimizer for
    each weight, such as momentum, moves along, and so do the weights of `twins`, such as a moving average. Equals keep
    their order, so sorting twice changes nothing. `judged` takes the place of `importance`.
    """
    free = tuple(group for group in groups if group.fixed is None)
    for group in free:
        order = torch.argsort((judged or importance)(supernet, group), descending=True, stable=True)
        for place in group.places:
            also = (_tensor(twin, place.parameter).detach() for twin in twins)
            for tensor in (*_alike(_tensor(supernet, place.parameter), optimizer), *also):
                tensor.copy_(_moved(tensor, place, group.size, order.to(tensor.device)))
    return Sorting(free, tuple(group for group in groups if group.fixed is not None))


def importance(supernet: nn.Module, group: Group) -> Tensor:
    """Return the importance of each member of a group: the L1 norm of weights that read it, as in once-for-all.

    A weight reads along its axis 1. Members that no weight reads are judged by the weights that make them, along
    axis 0.
    """
    matrices = [place for place in group.places if _tensor(supernet, place.parameter).ndim > 1]
    reading = [place for place in matrices if place.axis == 1] or matrices or list(group.places)
    total = torch.zeros(group.size, dtype=torch.float64)
    for place in reading:
        value = _tensor(supernet, place.parameter).detach().cpu().double().abs()
        total += _apart(place.stretch(value), place, group.size).movedim(place.axis + 1, 0).flatten(1).sum(1)
    return total


def _tensor(module: nn.Module, name: str) -> Tensor:
    """Return a parameter or, of a network that keeps them, statistics and other buffers."""
    holder, _, own = name.rpartition(".")
    value: Tensor = getattr(module.get_submodule(holder), own)
    return value


def _alike(value: Tensor, optimizer: torch.optim.Optimizer | None) -> Iterable[Tensor]:
    """Yield a weight, its gradient, and the tensors of its shape that the optimizer keeps for it."""
    yield value.detach()
    if value.grad is not None:
        yield value.grad
    for kept in optimizer.state.get(value, {}).values() if optimizer is not None else ():
        if isinstance(kept, Tensor) and kept.shape == value.shape:
            yield kept


def _moved(value: Tensor, place: ParameterAxis, size: int, order: Tensor) -> Tensor:
    part = place.stretch(value)
    moved = _apart(part, place, size).index_select(place.axis + 1, order).flatten(place.axis, place.axis + 2)
    if place.length is None:
        return moved
    whole = value.clone()
    place.stretch(whole).copy_(moved)
    return whole


def _apart(value: Tensor, place: ParameterAxis, size: int) -> Tensor:
    """Return the tensor with the members of a group on a separate axis."""
    return torch.unflatten(value, place.axis, (place.before, size, place.after))
