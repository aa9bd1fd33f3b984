"""Networks: an architecture as a chain of operators, and the operators of a whole space."""

from hwnas.network.chain import (
    Network,
    bound_task,
    build,
    costs,
    first_shape,
    known_operators,
    lower,
    make_operator,
)
from hwnas.network.operators import (
    Placed,
    decided_once,
    layer_placements,
    operators_by_slot,
    operators_of,
    placements,
)

__all__ = [
    "Network",
    "Placed",
    "bound_task",
    "build",
    "costs",
    "decided_once",
    "first_shape",
    "known_operators",
    "layer_placements",
    "lower",
    "make_operator",
    "operators_by_slot",
    "operators_of",
    "placements",
]
