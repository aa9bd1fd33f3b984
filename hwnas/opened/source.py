"""Source of an opened network: the function that makes it, its weights, and the choices that are left open."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, final

from hwnas.errors import SpaceError
from hwnas.io.regular import read_regular
from hwnas.registry import SourceFile

if TYPE_CHECKING:
    from torch import nn

    from hwnas.opened.channel_scores import ChannelScores
    from hwnas.opened.network import OpenedNetwork
    from hwnas.ops import Shape

FUNCTION_FORM = "The function takes no arguments and returns a torch.nn.Module, or the module and its input shape"


@final
@dataclass(frozen=True)
class NetworkSource:
    """Function that makes a module, and the file of its weights; both as they were when they were read first."""

    file: SourceFile
    function: str
    weights: Path | None
    weights_digest: str
    """SHA-256 of the file of weights; empty without one."""
    input_shape: tuple[int, ...] | None
    """Shape of one input; None where the function states it."""
    importance: str | None = None
    """Name in `IMPORTANCES` that the user stated; None if none."""
    scores: ChannelScores | None = None
    """Importance by which channels are sorted, in place of the L1 norm of weights."""

    @property
    def where(self) -> str:
        """Place in errors."""
        return f"{self.file.path}:{self.function}"


def weights_digest(path: Path | None) -> str:
    """Return the SHA-256 of a file; empty without one."""
    return "" if path is None else hashlib.sha256(read_regular(path)).hexdigest()


def module_of(source: NetworkSource) -> tuple[nn.Module, Shape]:
    """Return a new module of the function with the weights of the file, and the shape of one input.

    Raises:
        ConfigError, SpaceError: the function returns something else, or the weights do not fit.
    """
    import torch
    from torch import nn

    from hwnas.opened.weights import load_weights
    from hwnas.registry import calling, load_source

    function = getattr(load_source(source.file), source.function)
    with torch.random.fork_rng(devices=[]), calling(function, SpaceError, where=source.where, allowed=FUNCTION_FORM):
        torch.manual_seed(0)
        made = function()
    module, shape = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(shape, nn.Module):
        module, shape = shape, module
    if not isinstance(module, nn.Module):
        raise SpaceError(
            f"the function returns {type(made).__name__}",
            where=source.where,
            allowed=FUNCTION_FORM,
            do="Return the module",
        )
    shape = source.input_shape or shape or getattr(module, "input_shape", getattr(function, "input_shape", None))
    if not isinstance(shape, list | tuple) or not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise SpaceError(
            f"the input shape is {shape!r}",
            where=source.where,
            allowed="Whole numbers without the batch axis, such as 3,32,32",
            do="Return (module, (3, 32, 32)), or say `--input 3,32,32` or `input: [3, 32, 32]`",
        )
    if source.weights is not None:
        load_weights(module, source.weights)
    return module, tuple(shape)


@lru_cache(maxsize=8)
def opened(source: NetworkSource) -> OpenedNetwork:
    """Return the opened network of a source, once for each process.

    Raises:
        ConfigError, SpaceError: it cannot be opened.
    """
    import torch

    from hwnas.opened.network import OpenedNetwork

    with torch.device("cpu"):  # it may be asked for first where operators are built on `meta`
        module, shape = module_of(source)
        return OpenedNetwork(module, shape, source.where, None if source.scores is None else source.scores.values)
