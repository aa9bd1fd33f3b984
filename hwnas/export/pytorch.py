"""PyTorch -> .pt2, the archive of torch.export."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from hwnas.export import FORMATS, check_input, check_precision
from hwnas.export.draft import drafted
from hwnas.export.fold import folded
from hwnas.export.quantize import Images
from hwnas.ops import Shape
from hwnas.tasks.ends import Tensors, examples

TORCH_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def export_pytorch(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    *,
    batch: int = 1,
    precision: str = "fp32",
    calibration: Images | None = None,
    whole: bool = True,
) -> Path:
    """Write the module as a .pt2 archive of a fixed batch and return its path.

    The archive holds a graph of ATen operators as JSON and the weights as bytes. Normalisation is folded into the
    convolution before it, so that whoever runs the file has that too. It carries no stack traces: they would hold this
    machine's folders. Takes 20 to 70 ms a module, after 1 s for the first.

    Args:
        precision: fp32 or fp16.
        calibration: not used; no precision here needs it.
        whole: the file takes and gives float32 at fp16 too, otherwise its ends are in its own precision.

    Raises:
        ConfigError: another precision, or one that a network with such inputs has not.
        ExportError: the module cannot be converted, or the file cannot be written.
    """
    check_precision(precision, FORMATS["pt2"])
    check_input(precision, input_shape)
    with drafted(module, path, to="PT2") as draft:
        made = folded(module).requires_grad_(False)
        inputs = examples(input_shape, batch)
        if precision != "fp32":
            made = made.to(TORCH_DTYPES[precision])
            if whole:
                made = _Cast(made, TORCH_DTYPES[precision])
            else:
                inputs = tuple(_cast(tensor, TORCH_DTYPES[precision]) for tensor in inputs)
        program = torch.export.export(made.eval(), inputs)
        for node in program.graph.nodes:
            for name in ("stack_trace", "nn_module_stack", "torch_fn"):
                node.meta.pop(name, None)
        archive = io.BytesIO()
        torch.export.save(program, archive)
        draft.write_bytes(archive.getvalue())
    return path


class _Cast(nn.Module):
    """A module of a lower precision that takes and gives float32."""

    def __init__(self, body: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.body, self.dtype = body, dtype

    def forward(self, *inputs: Tensor) -> Tensors:
        out = self.body(*[_cast(tensor, self.dtype) for tensor in inputs])
        return tuple(_cast(tensor, torch.float32) for tensor in out) if isinstance(out, tuple) else out.float()


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor in another precision; whole numbers as they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
