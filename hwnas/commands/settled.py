"""A network that is about to be written as files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwnas.network import Network
from hwnas.tasks import Batch, Task

if TYPE_CHECKING:
    from torch import nn

    from hwnas.export.bundle import Array
    from hwnas.ops import Shape


@dataclass(frozen=True, eq=False)
class Settled:
    """A network that is about to be written, and PyTorch's outputs for the test samples."""

    module: nn.Module
    """Module with outputs in the user's unit."""
    weights: str
    """Description of their origin."""
    network: Network
    task: Task
    """Task that knows the training targets."""
    calibration: Array
    """Training inputs, which int8 files take the ranges of their activations from."""
    test: Batch
    """Test samples, as arrays."""
    fed: Any
    """Inputs of the test samples as files take them."""
    input_shape: Shape
    """Shape of one of them."""
    outputs: Array
    tuned: dict[str, Any] | None = None
    """Entry on its fine-tuning in the manifest; None if there was none."""
