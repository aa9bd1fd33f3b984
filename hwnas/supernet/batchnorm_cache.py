"""Normalisation statistics of sub-networks, kept on the disk: recomputed once, read ever after."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hwnas.errors import RunError, reason
from hwnas.network import Network
from hwnas.supernet.batchnorm import bad_statistics, recalibrate
from hwnas.supernet.torch_file import DamagedFile, read_torch, write_torch
from hwnas.supernet.weights import Supernet

MAX_CACHED = 500
"""Most networks whose statistics are kept, those used last: statistics of a large network take some 100 KB."""


@final
@dataclass(frozen=True)
class BatchNormCache:
    """Statistics by network, in a separate folder for each `made_by`: the weights and the images they come from.

    They are a cache: statistics that are missing, damaged, or cannot be read or written are computed.
    """

    folder: Path
    made_by: str

    def extract_recalibrated(self, supernet: Supernet, network: Network, images: Iterable[Tensor]) -> nn.Module:
        """Return a stand-alone copy of a sub-network with its own statistics, in eval mode, as `settled` makes it.

        Raises:
            TrainingError: its statistics are not finite.
        """
        module, path = supernet.extract(network), self.path(network)
        known = _read(path)
        own = _statistics(module)
        if known is not None and _kinds(known) == _kinds(own):
            module.load_state_dict(known, strict=False)
            with contextlib.suppress(OSError):
                os.utime(path)
            return module.eval()
        recalibrate(module, network, images)
        _write(path, _statistics(module))
        return module

    def path(self, network: Network) -> Path:
        """Return the path of the file that keeps a network's statistics."""
        chain = [f"{slot}: {one.describe()}" for slot, one in zip(network.slots, network.operators, strict=True)]
        digest = hashlib.sha256("\n".join([str(network.input_shape), *chain]).encode()).hexdigest()
        return self.folder / hashlib.sha256(self.made_by.encode()).hexdigest()[:8] / f"{digest[:16]}.pt"


def check_statistics(path: Path) -> None:
    """Verify a file of statistics.

    Raises:
        RunError: it is damaged, or holds something else.
    """
    try:
        _checked(path)
    except (OSError, DamagedFile) as error:
        raise RunError(
            f"the statistics are damaged ({reason(error)})",
            where=str(path),
            allowed="Normalisation statistics are read as they were written; such a file is passed over",
            do="Do nothing: they are computed again when they are asked for",
        ) from error


def _kinds(statistics: dict[str, Tensor]) -> dict[str, object]:
    return {name: (value.shape, value.dtype) for name, value in statistics.items()}


def _statistics(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers of normalisation layers, by the module's own names."""
    return {
        f"{prefix}.{name}" if prefix else name: value
        for prefix, child in module.named_modules()
        if isinstance(child, _BatchNorm)
        for name, value in child.named_buffers(recurse=False)
    }


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        return _checked(path)
    except (OSError, DamagedFile):  # there is none, or what it held is computed again
        return None


def _checked(path: Path) -> dict[str, Tensor]:
    content = read_torch(path)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise DamagedFile("it holds other things than statistics by name")
    if (bad := bad_statistics(content)) is not None:
        raise DamagedFile(f"it holds {bad}")
    return content


def _write(path: Path, statistics: dict[str, Tensor]) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        write_torch(path, statistics)
        kept = sorted(path.parent.glob("*.pt"), key=lambda one: one.stat().st_mtime)
        for old in kept[:-MAX_CACHED]:
            old.unlink()
