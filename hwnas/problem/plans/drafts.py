"""Candidates before they are judged on samples, and the bytes of bodies that follow from a network alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.collaborate.cuts import elements_of
from hwnas.collaborate.plan import Candidate
from hwnas.collaborate.wire import answer_bytes
from hwnas.latency.posterior import Floats
from hwnas.network import Network

NUMBER_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}


@dataclass(frozen=True)
class Promise:
    """The loss that a cascade may have: accuracy `epsilon` against the cloud, with probability `1 - delta`."""

    epsilon: float = 0.01
    delta: float = 0.05


@dataclass(frozen=True, eq=False)
class Draft:
    """A candidate with the accuracy of the whole network, which rounding and compressing are taken not to raise.

    Args:
        candidate: as it would be without loss.
        judge: returns the candidate as its answers to held-out samples show it.
    """

    candidate: Candidate
    judge: Callable[[], Candidate]


def boundary_bytes(network: Network, codec: BoundaryCodec, packed: Sequence[float] | None) -> Floats:
    """Return (operators + 1,) bytes of bodies at every cut; infinity at the ends, where no boundary is sent.

    `packed` has the content's bytes at every cut, of a codec that packs.
    """
    bodies = []
    for cut in range(1, len(network.operators)):
        shape = network.shapes[cut]
        content = elements_of(shape) * NUMBER_BYTES[codec.precision] if packed is None else round(packed[cut])
        bodies.append(codec.format(shape).body_bytes(content))
    return np.array([np.inf, *bodies, np.inf], dtype=float)


def network_answer_bytes(network: Network) -> int:
    """Return the bytes of an answer's body; of several outputs, as if each had one."""
    return sum(answer_bytes(spec.shape) for spec in network.task.outputs)
