"""A network cut in two: the head that runs on the edge, and the tail that runs in the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.network import Network

if TYPE_CHECKING:
    from torch import nn


def split_network(network: Network, cut: int) -> tuple[Network, Network]:
    """Return the networks of the first `cut` operators and of the others.

    Args:
        network: a chain of at least two operators.
        cut: number of operators of the head, at least 1 and fewer than the network has.

    Returns:
        The head, and the tail, whose input is the boundary.

    Raises:
        ConfigError: there is no such cut.

    Example:
        >>> from hwnas.ops.classifier import Classifier
        >>> from hwnas.ops.conv import Conv
        >>> network = Network((Conv(1, 8, stride=2), Classifier(8, 10)), ("stem", "head"), (1, 8, 8))
        >>> split_network(network, 1)[1].input_shape
        (8, 4, 4)
    """
    count = len(network.operators)
    if not 0 < cut < count:
        cuts = f"Cuts of this network are 1 to {count - 1}" if count > 1 else "A network of one operator has no cut"
        raise ConfigError(
            f"a network of {count} operators is cut after operator {cut}",
            where="cut",
            allowed=cuts,
            do="Name another cut",
        )
    head = Network(network.operators[:cut], network.slots[:cut], network.input_shape, network.kind)
    return head, Network(network.operators[cut:], network.slots[cut:], network.shapes[cut], network.kind)


def split_module(module: nn.Module, cut: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the two parts of a network's module, which share its weights and statistics.

    Args:
        module: as `hwnas.network.build` returns it: one child for each operator. Where its outputs are scaled, the
            tail's are.
        cut: number of operators of the head.

    Returns:
        The head and the tail.
    """
    from torch import nn

    from hwnas.tasks.output_scale import Scaled

    if isinstance(module, Scaled):
        head, tail = split_module(module.module, cut)
        return head, nn.Sequential(Scaled(tail, module.factor, module.shift)).train(module.training)
    children = list(module.named_children())
    head, tail = nn.Sequential(), nn.Sequential()
    for number, (name, child) in enumerate(children):
        (head if number < cut else tail).add_module(name, child)
    return head.train(module.training), tail.train(module.training)
