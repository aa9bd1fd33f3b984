"""Candidates before they are judged on samples, and the bytes of bodies that follow from a network alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwnas.collaborate.cascades import CascadePoint, Pair
from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.collaborate.learned.deferral import RULE
from hwnas.collaborate.plan import Candidate
from hwnas.collaborate.wire import Shape, answer_bytes
from hwnas.errors import ConfigError
from hwnas.latency.posterior import Floats
from hwnas.network import Network
from hwnas.tasks import Task
from hwnas.tasks.confidence import calibration_error
from hwnas.tasks.ends import elements_of

NUMBER_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}


@dataclass(frozen=True)
class Promise:
    """The loss that a cascade may have: accuracy `epsilon` against the cloud, with probability `1 - delta`."""

    epsilon: float = 0.01
    delta: float = 0.05

    def shared(self, cascades: int) -> Promise:
        """Return the promise of each of so many cascades that are certified on the same samples, so that whichever of
        them is chosen holds this one (Bonferroni)."""
        return replace(self, delta=self.delta / max(cascades, 1))

    def facts(self, pair: Pair, point: CascadePoint, is_tested: bool) -> dict[str, Any]:
        """Return the entries of a cascade under this promise, ready for JSON; some are not tested for it."""
        rows, why, learned = pair.parts.judging, None, pair.deferral if point.rule == RULE else None
        if not is_tested:
            why = (
                "others beat it on validation samples, so that it was not tested; its threshold holds without a promise"
            )
        elif point.guarantee is None:
            samples = len(pair.parts.calibration)
            why = (
                f"no threshold is certified by {samples:,} samples for epsilon {self.epsilon:g} and delta "
                f"{self.delta:.3g}, the share of one cascade; this one holds on them alone"
            )
        return {
            "error_correlation": pair.error_correlation,
            "edge_accuracy": float(pair.edge.scores[rows].mean()),
            "cloud_accuracy": float(pair.cloud.scores[rows].mean()),
            "temperature": pair.edge.temperature,
            "deferral": None if learned is None else learned.as_dict(),
            "calibration_error": calibration_error(
                pair.confidences[point.rule][rows], (pair.edge.scores if learned is None else pair.keeps)[rows]
            ),
            "no_guarantee": why,
        }


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


def plain_answer_shape(task: Task) -> Shape:
    """Return the shape of one sample's answer, of a task whose networks have one input and one output.

    Raises:
        ConfigError: they have several, or other inputs than numbers in float32.
    """
    if len(task.inputs) == 1 and len(task.outputs) == 1 and task.inputs[0].dtype == "float32":
        return tuple(task.outputs[0].shape)
    raise ConfigError(
        f"networks of the task have inputs {', '.join(one.name for one in task.inputs)} and outputs "
        f"{', '.join(one.name for one in task.outputs)}",
        where=f"task `{type(task).__name__}`",
        allowed="A deployment's networks have one of each, in float32",
        do="Export the networks alone, by `hwnas export` without `--plan`",
    )
