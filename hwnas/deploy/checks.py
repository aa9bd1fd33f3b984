"""Files of a deployment, run one after the other and compared with the whole network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.errors import ExportError
from hwnas.tasks import Task

if TYPE_CHECKING:
    from hwnas.export.bundle import LoadedFile

Array = NDArray[Any]

ONE_RUNTIME, TWO_RUNTIMES = 1e-5, 1e-4
"""Largest difference of an output of both halves from the whole's in fp32, relative to outputs above 1."""
SAME_ANSWERS = 0.995
"""Least share of samples on which both halves answer as the whole in the same precision."""


@dataclass(frozen=True)
class ParityLimit:
    """Requirement on both halves against a reference.

    Args:
        against: the reference, in words.
        difference: largest one of an output; None where rounding makes it meaningless.
        agreement: least share of samples with the same answer.
    """

    against: str
    difference: float | None
    agreement: float


@dataclass(frozen=True)
class Check:
    """Result of a comparison.

    Args:
        against: the reference, in words.
        samples: number of them.
        max_difference: largest difference of an output.
        agreement: share of samples with the same answer.
    """

    against: str
    samples: int
    max_difference: float
    agreement: float

    def as_dict(self) -> dict[str, Any]:
        """Return the entry, ready for JSON."""
        return asdict(self)


def through(head: LoadedFile, tail: LoadedFile, codec: BoundaryCodec, inputs: Array) -> Array:
    """Return what both halves answer, each boundary encoded and decoded as it is on its way."""
    boundary = np.asarray(head.run(inputs))
    shape = boundary.shape[1:]
    seen = np.stack([codec.decode(codec.encode(one), shape) for one in boundary])
    outputs: Array = np.asarray(tail.run(seen))
    return outputs


def compare_outputs(reference: Array, outputs: Array, task: Task, limit: ParityLimit, where: Sequence[Path]) -> Check:
    """Return the comparison of outputs with a reference.

    Raises:
        ExportError: they differ by more than the limit allows.
    """
    agreement = task.agreement(reference, outputs)
    check = Check(limit.against, len(outputs), float(agreement.max_difference), float(agreement.share))
    scale = max(agreement.scale, float(np.abs(reference).max(initial=0.0)), 1.0)
    too_far = limit.difference is not None and not agreement.max_difference <= limit.difference * scale
    if too_far or not agreement.share >= limit.agreement or not np.isfinite(outputs).all():
        wanted = f"outputs within {limit.difference:g}, and " if limit.difference is not None else ""
        raise ExportError(
            f"both halves differ from {limit.against} by up to {agreement.max_difference:.3g}, and give the same "
            f"answer to {agreement.share:.1%} of {len(outputs)} samples",
            where=" and ".join(map(str, where)),
            allowed=f"They give {wanted}the same answer to {limit.agreement:.1%}",
            do="Take a plan of another cut or codec, or raise `export.calibration_samples`",
        )
    return check
