"""Source of an opened network: the function that makes it, its weights, and the choices that are left open."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from hwnas.errors import SpaceError
from hwnas.io.regular import read_regular
from hwnas.registry import SourceFile

if TYPE_CHECKING:
    from torch import nn

    from hwnas.opened.decisions import Decision
    from hwnas.opened.network import OpenedNetwork
    from hwnas.ops import Operator, Shape

FORM = "The function takes no arguments and returns a torch.nn.Module, or the module and its input shape"
Choices = tuple[tuple[str, tuple[Any, ...]], ...]


@final
@dataclass(frozen=True)
class Source:
    """Function that makes a module, and the file of its weights; both as they were when they were read first."""

    file: SourceFile
    function: str
    weights: Path | None
    weights_digest: str
    """SHA-256 of the file of weights; empty without one."""
    input_shape: tuple[int, ...] | None
    """Shape of one input; None where the function states it."""

    @property
    def where(self) -> str:
        """Place in errors."""
        return f"{self.file.path}:{self.function}"


def weights_digest(path: Path | None) -> str:
    """Return the SHA-256 of a file; empty without one."""
    return "" if path is None else hashlib.sha256(read_regular(path)).hexdigest()


def module_of(source: Source) -> tuple[nn.Module, Shape]:
    """Return a new module of the function with the weights of the file, and the shape of one input.

    Raises:
        ConfigError, SpaceError: the function returns something else, or the weights do not fit.
    """
    import torch
    from torch import nn

    from hwnas.opened.weights import load_weights
    from hwnas.registry import calling, load_source

    function = getattr(load_source(source.file), source.function)
    with torch.random.fork_rng(devices=[]), calling(function, SpaceError, where=source.where, allowed=FORM):
        torch.manual_seed(0)
        made = function()
    module, shape = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(shape, nn.Module):
        module, shape = shape, module
    if not isinstance(module, nn.Module):
        raise SpaceError(
            f"the function returns {type(made).__name__}", where=source.where, allowed=FORM, do="Return the module"
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
def opened(source: Source) -> OpenedNetwork:
    """Return the opened network of a source, once for each process.

    Raises:
        ConfigError, SpaceError: it cannot be opened.
    """
    import torch

    from hwnas.opened.network import OpenedNetwork

    with torch.device("cpu"):  # it may be asked for first where operators are built on `meta`
        module, shape = module_of(source)
        return OpenedNetwork(module, shape, source.where)


@final
@dataclass(frozen=True)
class OpenedBuild:
    """Function of a space: the networks that an opened network holds, as operators by slot."""

    source: Source
    choices: Choices | None
    """Choices that are open, each with its options; None for all that there are."""

    @property
    def network(self) -> OpenedNetwork:
        """The opened network."""
        return opened(self.source)

    @property
    def identity(self) -> str:
        """Digest of the code, the weights and the choices, sixteen hexadecimal digits."""
        decisions, optional = self.kept
        choices = [(decision.name, decision.options) for decision in decisions]
        told = self.source.file.digest, self.source.function, self.source.weights_digest, choices, optional
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def __call__(self, choose: Callable[[str, Sequence[Any]], Any]) -> tuple[Shape, dict[str, Operator]]:
        network, (decisions, optional) = self.network, self.kept
        deciding = {number: decision for decision in decisions for number in decision.members[0]}
        chain: dict[str, Operator] = {}
        for index, link in enumerate(network.links):
            if link.slot in optional and not choose(f"{link.slot}.depth", (0, 1)):
                continue
            members: dict[int, int] = {}
            for number in network.numbers[index]:
                if (decision := deciding.get(number)) is not None:
                    option = choose(decision.name, decision.options)
                    members[number] = decision.members[decision.options.index(option)][number]
            chain[link.slot] = _operator(self.source, index, tuple(members.items()))
        return network.shape, chain

    @property
    def kept(self) -> tuple[tuple[Decision, ...], tuple[str, ...]]:
        """Decisions that are open, and slots that may be left out."""
        return _kept(self)

    def operators_by_slot(self) -> dict[str, dict[tuple[Operator, Shape], None]]:
        """Return every operator that a network of the space can have in each slot, with its input shape."""
        from itertools import product

        network, (decisions, _) = self.network, self.kept
        by_slot: dict[str, dict[tuple[Operator, Shape], None]] = {}
        for index, link in enumerate(network.links):
            numbers = network.numbers[index]
            own = [decision for decision in decisions if any(number in decision.members[0] for number in numbers)]
            for picked in product(*(decision.members for decision in own)):
                kept = {number: one[number] for number in numbers for one in picked if number in one}
                operator = _operator(self.source, index, tuple(kept.items()))
                by_slot.setdefault(link.slot, {})[operator, entering_shape(network, index, kept)] = None
        return by_slot


def entering_shape(network: OpenedNetwork, index: int, members: Mapping[int, int]) -> Shape:
    """Return the shape that enters a segment where groups keep so many members."""
    shape, width = network.links[index].entering, network.flows[index].width(members)
    return (*shape[:-1], width) if len(shape) == 2 else (width, *shape[1:])


@lru_cache(maxsize=8)
def _kept(build: OpenedBuild) -> tuple[tuple[Decision, ...], tuple[str, ...]]:
    from hwnas.opened.decisions import narrowed

    network = build.network
    optional = [link.slot for link in network.links if link.optional]
    if build.choices is None:
        return network.decisions, tuple(optional)
    return narrowed(network.decisions, dict(build.choices), optional, build.source.where)


@lru_cache(maxsize=100_000)
def _operator(source: Source, index: int, members: tuple[tuple[int, int], ...]) -> Operator:
    from hwnas.opened.operator import Opened, OpenedOrigin

    network, kept = opened(source), dict(members)
    sizes = {number: kept.get(number, network.groups[number].group.size) for number in network.numbers[index]}
    link, whole = network.links[index], tuple(sizes.items())
    return Opened(
        network.flows[index].width(kept),
        network.flows[index + 1].width(kept),
        link.classes,
        link.digest,
        ",".join(map(str, sizes.values())),
        OpenedOrigin(source, index, whole),
    )
