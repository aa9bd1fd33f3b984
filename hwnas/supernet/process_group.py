"""The processes that train one supernet together: each goes through its parts of a batch, gradients are added up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, distributed
from torch.nn import Parameter


@final
@dataclass(frozen=True)
class ProcessGroup:
    """One process of `size`, `rank` counting from 0. Alone by default; else PyTorch's process group exists."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """True if this is the process that scores, writes and reports."""
        return self.rank == 0

    def shard(self, parts: int) -> range:
        """Return the indices of the parts of a batch that this process goes through."""
        return range(self.rank * parts // self.size, (self.rank + 1) * parts // self.size)

    def all_reduce_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one exchange. All have the same shapes everywhere."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, total in zip(tensors, torch.split(flat, sizes), strict=True):
            tensor.copy_(total.view(tensor.shape))

    def gradients(self, parameters: Iterable[Parameter]) -> list[Tensor]:
        """Return the gradients that any process has: where a network failed in one process, they are zeros there."""
        ordered = list(parameters)
        if self.size > 1:
            anywhere = torch.tensor(
                [one.grad is not None for one in ordered], dtype=torch.int32, device=ordered[0].device
            )
            distributed.all_reduce(anywhere)
            for one, processes in zip(ordered, anywhere.tolist(), strict=True):
                if processes and one.grad is None:
                    one.grad = torch.zeros_like(one)
        return [one.grad for one in ordered if one.grad is not None]

    def broadcast_first(self, value: str | None) -> str | None:
        """Return the value of the first process that has one; all processes must call this at the same point."""
        if self.size == 1:
            return value
        heard: list[str | None] = [None] * self.size
        distributed.all_gather_object(heard, value)
        return next((one for one in heard if one is not None), None)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()


SINGLE_PROCESS = ProcessGroup()
