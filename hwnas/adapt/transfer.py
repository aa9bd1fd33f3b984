"""Weights of a trained supernet in the supernet of another space: by their names, rows of the head by class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwnas.adapt.classes import ClassMatch
from hwnas.adapt.head import last_linear
from hwnas.network import lower
from hwnas.space import AnySpace
from hwnas.supernet import Supernet
from hwnas.supernet.weights import key_of


@dataclass(frozen=True, eq=False)
class Transfer:
    """State of a supernet with the weights of another one.

    Args:
        state: of the new supernet.
        taken: names of the weights that were taken.
        begun: names of those that begin anew, because the trained space has none of the name and the shape.
    """

    state: dict[str, Tensor]
    taken: tuple[str, ...]
    begun: tuple[str, ...]


def transferred(old: Supernet, space: AnySpace, new: Supernet, new_space: AnySpace, match: ClassMatch) -> Transfer:
    """Return the weights of a trained supernet as those of a new one.

    Weights of one name and one shape are taken. The last layer's rows go by the names of the classes; of new classes
    they begin anew.

    Args:
        old: trained on `space`.
        space: of it.
        new: with its first weights.
        new_space: of it.
        match: of the classes.
    """
    state, trained = {name: value.clone() for name, value in new.state_dict().items()}, old.state_dict()
    head, own_head = head_keys(old, space), head_keys(new, new_space)
    taken, begun = list[str](), list[str]()
    for name, value in state.items():
        if name in own_head and head:
            rows = trained[head[own_head.index(name)]]
            if match.shared and rows.shape[1:] == value.shape[1:]:
                value[list(match.columns)] = rows[list(match.old_columns)].to(value.device)
                taken.append(name)
                continue
        elif name in trained and trained[name].shape == value.shape:
            value.copy_(trained[name])
            taken.append(name)
            continue
        begun.append(name)
    return Transfer(state, tuple(taken), tuple(begun))


def head_keys(supernet: Supernet, space: AnySpace) -> tuple[str, ...]:
    """Return the names of the weights of the last linear layer; none if the networks do not end in one."""
    from hwnas.errors import ConfigError

    network = lower(space, space.largest())
    module = supernet.extract(network)
    try:
        layer = last_linear(module, network.input_shape, where=space.name)
    except ConfigError:
        return ()
    slot, operator = network.slots[-1], network.operators[-1]
    local = layer.removeprefix(f"{slot}.")
    with torch.no_grad():
        names = [name for name, _ in module.get_submodule(layer).named_parameters()]
    return tuple(key_of(operator.scope(slot), f"{local}.{name}") for name in names)
