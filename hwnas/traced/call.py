"""Call of the function of a space: its network as operators by slot, whichever form it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.errors import SpaceError
from hwnas.ops import Operator, Shape
from hwnas.space import Architecture, FunctionSpace
from hwnas.traced.together import together


def call(space: FunctionSpace, architecture: Architecture) -> tuple[Shape, Mapping[str, Operator]]:
    """Return the input shape and the operators by slot of the network that the function returns for an architecture.

    Raises:
        SpaceError: it returns neither operators nor a module, or a module that is no network.
    """
    built = space.blueprint(architecture)
    if isinstance(built, tuple) and len(built) == 2 and isinstance(built[1], Mapping):
        shape, chain = built
        if not chain or not all(isinstance(operator, Operator) for operator in chain.values()):
            raise _no_network(space, built)
        try:
            return tuple(map(int, shape)), chain
        except (TypeError, ValueError) as error:
            raise _no_network(space, built) from error
    from hwnas.ops.costs import operator_costs
    from hwnas.traced.chain import chain_of
    from hwnas.traced.root import stated_shape

    if (stated := stated_shape(space, built)) is None:
        raise _no_network(space, built)
    chain, entering = chain_of(space, architecture, stated, built), stated
    with together():  # costs of new operators, from one module
        for operator in chain.values():
            entering = operator_costs(operator, entering).output_shape
    return stated, chain


def _no_network(space: FunctionSpace, built: Any) -> SpaceError:
    return SpaceError(
        f"the function returns {type(built).__name__}",
        where=f"space `{space.name}`",
        allowed="It returns (input_shape, {slot: Operator}) or (input_shape, module), the shape without the batch axis",
        do="Return the shape, and the operators by slot or a torch.nn.Module",
    )
