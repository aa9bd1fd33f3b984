"""Latency of a network whose operators are of two precisions, from the tables of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from hwnas.latency.model import LatencyModel
from hwnas.mixed_precision.boundaries import BoundaryCosts, boundary_costs, tensors_of
from hwnas.mixed_precision.programme import OPERATOR_PRECISIONS, Chain, Floats
from hwnas.network import Network


@final
@dataclass(frozen=True, eq=False)
class MixedLatency:
    """The sum of what each operator adds in its precision and of the conversions between them.

    A network of one precision takes exactly what the model of that precision predicts: conversions at the ends of an
    int8 file are part of that, and what its call takes beyond one in fp32 is spread over its operators.

    Args:
        fp32: the model of the set-up in fp32.
        int8: that of the set-up in int8.
        boundaries: the conversions.
    """

    fp32: LatencyModel
    int8: LatencyModel
    boundaries: BoundaryCosts
    _boundaries_ms: dict[tuple[str, object], float] = field(default_factory=dict, repr=False)

    def chain(self, network: Network, losses: Sequence[float]) -> Chain:
        """Return what the programme needs; `losses` are of each operator in int8.

        Raises:
            TableError: an operator has no row in one of the tables.
        """
        links = list(network.links)
        (constant_ms, plain), (int8_constant_ms, integer) = self.fp32.linear(links), self.int8.linear(links)
        between = np.zeros((len(links) + 1, 2, 2))
        for number, shape in enumerate(tensors_of(network)):
            between[number, 0, 1], between[number, 1, 0] = (self._boundary_ms(to, shape) for to in ("int8", "fp32"))
        ends = float(between[0, 0, 1] + between[-1, 1, 0])
        spread = (int8_constant_ms - constant_ms - ends) / len(links)
        ms: Floats = np.stack([plain, integer + spread], axis=1)
        lost = np.stack([np.zeros(len(links)), np.asarray(losses, dtype=float)], axis=1)
        return Chain(ms, lost, between, constant_ms)

    def predict_ms(self, network: Network, int8: Sequence[bool]) -> float:
        """Return the expected latency of an assignment: which operators are int8.

        Raises:
            TableError: as `chain`.
        """
        ms, _ = self.chain(network, [0.0] * len(network.operators)).price([int(one) for one in int8])
        self.fp32.refuse_senseless(np.array([ms]))
        return ms

    @property
    def origin(self) -> str:
        """Sources of the predictions."""
        return f"rows in {' and '.join(OPERATOR_PRECISIONS)}, boundaries {self.boundaries.origin}"

    def _boundary_ms(self, to: str, shape: object) -> float:
        key = to, shape
        if key not in self._boundaries_ms:
            self._boundaries_ms[key] = self.boundaries.ms(to, shape)  # type: ignore[arg-type]
        return self._boundaries_ms[key]


def mixed_latency(fp32: LatencyModel, int8: LatencyModel) -> MixedLatency:
    """Return the model of networks in two precisions, from the models of both."""
    return MixedLatency(fp32, int8, boundary_costs(int8.rows))
