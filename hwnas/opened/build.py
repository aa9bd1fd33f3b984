"""Function of an opened network's space: from choices to operators by slot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, final

from hwnas.errors import ConfigError
from hwnas.opened.source import NetworkSource, opened

if TYPE_CHECKING:
    from hwnas.opened.decisions import Decision
    from hwnas.opened.network import OpenedNetwork
    from hwnas.opened.operator import Opened
    from hwnas.ops import Operator, Shape

Choices = tuple[tuple[str, tuple[Any, ...]], ...]


@final
@dataclass(frozen=True)
class OpenedBuild:
    """Function of a space: the networks that an opened network holds, as operators by slot."""

    source: NetworkSource
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
        parts = self.source.file.digest, self.source.function, self.source.weights_digest, choices, optional
        if self.source.scores is not None:
            parts = *parts, self.source.scores.digest  # type: ignore[assignment]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

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
        by_slot: dict[str, dict[tuple[Operator, Shape], None]] = {}
        for index, link in enumerate(self.network.links):
            for _, operator in self.forms(index):
                if operator is not None:
                    shape = entering_shape(self.network, index, dict(operator.origin.members))
                    by_slot.setdefault(link.slot, {})[operator, shape] = None
        return by_slot

    def forms(self, index: int) -> list[tuple[dict[str, Any], Opened | None]]:
        """Return every form of a segment with the options that make it; None stands for one that is left out."""
        network, (decisions, optional) = self.network, self.kept
        numbers, depth = network.numbers[index], f"{network.links[index].slot}.depth"
        open_ones = [decision for decision in decisions if any(number in decision.members[0] for number in numbers)]
        several: list[tuple[dict[str, Any], Opened | None]] = []
        if network.links[index].slot in optional:
            several.append(({depth: 0}, None))
        whole = {depth: 1} if several else {}
        for places in product(*(range(len(decision.options)) for decision in open_ones)):
            picked = list(zip(open_ones, places, strict=True))
            kept = {n: one.members[at][n] for n in numbers for one, at in picked if n in one.members[at]}
            options: dict[str, Any] = {one.name: one.options[at] for one, at in picked}
            several.append(({**options, **whole}, _operator(self.source, index, tuple(kept.items()))))
        return several


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
def _operator(source: NetworkSource, index: int, members: tuple[tuple[int, int], ...]) -> Opened:
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


def opened_build(space: object) -> OpenedBuild:
    """Return the function of an opened network's space.

    Raises:
        ConfigError: the space is of another kind.
    """
    if is_opened(space):
        build: OpenedBuild = space.build  # type: ignore[attr-defined]
        return build
    raise ConfigError(
        "`blockwise` compares blocks with those of a trained network, and the space is of another kind",
        where="accuracy: source",
        allowed="A network of yours that is opened: `space: {network: FILE.py:FUNCTION, weights: FILE}`",
        do="Open one, or name another source",
    )


def is_opened(space: object) -> bool:
    """Return whether a space is that of a network that was opened."""
    return isinstance(getattr(space, "build", None), OpenedBuild)
