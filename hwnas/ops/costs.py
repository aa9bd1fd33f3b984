"""Costs of an operator: derived by running its module on the meta device, or kept from an earlier time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hwnas.ops.count_cache import count_cache
from hwnas.ops.operator import Operator, Shape


@dataclass(frozen=True)
class Costs:
    """Costs of one operator or network at batch 1 in float32."""

    params: int
    """Trainable numbers, normalisation included."""
    macs: int
    """Multiply-adds of convolutions, linear layers and matrix products; one multiply-add counts 1."""
    activation_bytes: int
    """Most bytes of activations alive at once while it runs, input included."""
    output_shape: Shape


def check_built(operator: Operator) -> None:
    """Build an operator's module on `meta`, and do nothing with it; not one that was built before.

    Raises:
        SpaceError: it cannot be built.
    """
    operator_params(operator)


@cache
def operator_params(operator: Operator) -> int:
    """The trainable numbers of an operator, which is built on `meta` and not run.

    Raises:
        SpaceError: it cannot be built.
    """
    if (known := count_cache().params_of(operator)) is not None:
        return known
    from hwnas.ops.counting import count_params

    params = count_params(operator)
    count_cache().add_params(operator, params)
    return params


@cache
def operator_costs(operator: Operator, input_shape: Shape) -> Costs:
    """Costs of one operator at one input shape, cached.

    Raises:
        SpaceError: the operator's module cannot be built, or does not run at that input shape.
    """
    params, known = operator_params(operator), count_cache().counts_of(operator, input_shape)
    if known is None:
        from hwnas.ops.counting import count

        known = count(operator, input_shape)
        count_cache().add_counts(operator, input_shape, known)
    return Costs(params, *known)


@cache
def operator_sums(operator: Operator, input_shape: Shape) -> tuple[int, int]:
    """Parameters and multiply-adds of one operator, those of its summands: a kind with many forms made of few parts is
    counted without running them all.

    Raises:
        SpaceError: as `operator_costs`.
    """
    parts = [operator_costs(part, input_shape) for part in operator.summands]
    return sum(part.params for part in parts), sum(part.macs for part in parts)
