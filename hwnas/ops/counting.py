"""Counts of an operator, made by running its module on the meta device: no formula is written by hand."""

from __future__ import annotations

import weakref
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from hwnas.errors import HwnasError, SpaceError, raised, reason
from hwnas.ops.count_cache import Counts
from hwnas.ops.operator import Operator, Shape
from hwnas.tasks.ends import TensorSpec, examples, shape_text
from hwnas.user_code import place_of, source_of


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages that operations allocate and free; `peak` is the most bytes that lived at once."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live: dict[int, int] = {}  # address of a storage -> its bytes
        self._constant = {t.untyped_storage()._cdata for t in [*module.parameters(), *module.buffers()]}

    def count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address not in self._live and address not in self._constant:
            self._live[address] = storage.nbytes()
            self.peak = max(self.peak, sum(self._live.values()))
            weakref.finalize(storage, self._live.pop, address, None)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.count(leaf)
        return out


def _as_a_runtime_fuses(module: nn.Module) -> nn.Module:
    """The module as an inference runtime holds it: normalisation folded away, activations in place.

    An activation of torch's own that can work in place neither allocates nor changes a shape, so it is left out: what
    runs on `meta` then takes half the time. GELU is one; PyTorch alone has no such form of it.
    """
    for child in module.modules():
        for name, grandchild in child.named_children():
            own = type(grandchild).__module__.startswith("torch.nn.")
            in_place = own and (hasattr(grandchild, "inplace") or isinstance(grandchild, nn.GELU))
            if in_place or isinstance(grandchild, nn.modules.batchnorm._BatchNorm):
                setattr(child, name, nn.Identity())
        if hasattr(child, "inplace"):
            child.inplace = True  # type: ignore[assignment]
    return module


def _params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _run(fused: nn.Module, input_shape: Shape) -> Counts:
    inputs = list(examples(input_shape, 1, "meta"))
    with torch.no_grad(), FlopCounterMode(display=False) as flops, _LiveBytes(fused) as live:
        for tensor in inputs:
            live.count(tensor)
            del tensor
        output = fused(*[inputs.pop(0) for _ in range(len(inputs))])
    return flops.get_total_flops() // 2, live.peak, _shape_of(output)


def _shape_of(output: Any) -> Shape:
    """Return the shape of outputs; several are a tuple of tensors."""
    if isinstance(output, Tensor):
        return tuple(output.shape[1:])
    if not isinstance(output, tuple) or not output or not all(isinstance(tensor, Tensor) for tensor in output):
        raise TypeError(f"it returned {type(output).__name__}, no tensor and no tuple of tensors")
    return tuple(
        TensorSpec(f"output_{number}", tuple(tensor.shape[1:]), str(tensor.dtype).removeprefix("torch."))
        for number, tensor in enumerate(output, 1)
    )


@lru_cache(maxsize=256)
def _fused(operator: Operator) -> tuple[int, nn.Module]:
    """Parameters of an operator, and its module on `meta`; an operator occurs at one input shape after another."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        module = operator.module()  # an error of which is told by `_built`
        if not isinstance(module, nn.Module):
            raise TypeError(f"`module` returned {type(module).__name__}, no torch.nn.Module")
        module = module.to("meta").eval()
    return _params(module), _as_a_runtime_fuses(module)


def count_params(operator: Operator) -> int:
    """The trainable numbers of an operator, which is built and not run.

    Raises:
        SpaceError: it cannot be built.
    """
    return _built(operator)[0]


def _built(operator: Operator) -> tuple[int, nn.Module]:
    try:
        return _fused(operator)
    except HwnasError:
        raise
    except Exception as error:  # a user's module may raise anything
        raise _failed(operator, "the module cannot be built", error) from error


def count(operator: Operator, input_shape: Shape) -> Counts:
    """Run an operator at one input shape, and count.

    Raises:
        SpaceError: the operator's module cannot be built, or does not run at that input shape.
    """
    _, fused = _built(operator)
    try:
        return _run(fused, input_shape)
    except HwnasError:
        raise
    except Exception as error:
        raise _failed(operator, f"the module fails at input {shape_text(input_shape)}", error) from error


def _failed(operator: Operator, problem: str, error: Exception) -> SpaceError:
    source = source_of(type(operator))
    return SpaceError(
        f"{problem} ({raised(error) if source else reason(error)})",
        where=operator.describe() + (f" in {place_of(error, source.path)}" if source else ""),
        allowed="An operator must run at every input shape that the space gives it",
        do="Correct the operator's knobs, or the resolution and strides before it",
    )
