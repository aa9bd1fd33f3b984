"""A network that is about to be written as files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwnas.network import Network
from hwnas.tasks import Batch, Task

if TYPE_CHECKING:
    from torch import nn

    from hwnas.export.bundle import Array, LoadedFile
    from hwnas.export.mixed.kernels import Mixed
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
    quantized: dict[str, Any] | None = None
    """Entry on its training with the rounding of int8; None if there was none."""
    mixed: Mixed | None = None
    """Operators that are int8, of a network with a precision for each; None of others."""
    layer: str | None = None
    """Last linear layer of the module, whose input files give as a second output; None if they do not."""

    @property
    def exported(self) -> nn.Module:
        """The module with names for its outputs where there are several."""
        from hwnas.ops.several import NamedOutputs

        names = [spec.name for spec in self.task.outputs]
        if self.layer is None:
            return self.module if len(names) == 1 else NamedOutputs(self.module, names)
        from hwnas.adapt.head import WithFeatures

        return NamedOutputs(WithFeatures(self.module, self.layer), [*names, "features"])

    def answering(self, loaded: LoadedFile) -> LoadedFile:
        """Return a file of the network as one that gives its outputs alone."""
        from hwnas.export.bundle import FirstOutput

        return loaded if self.layer is None else FirstOutput(loaded)
