"""A training-free proxy as a scorer of architectures: what searches and populations are scored with."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import final

import torch
from torch import Tensor

from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
from hwnas.accuracy.zero_cost_proxies.definition import Definition
from hwnas.accuracy.zero_cost_proxies.probe import made, probe, refusal
from hwnas.data import Dataset
from hwnas.errors import ConfigError
from hwnas.network import Network
from hwnas.quantities import Metric
from hwnas.registry import member
from hwnas.space import AnySpace, Architecture

FINGERPRINT_NETWORKS = 20
"""Number of random networks that, beside its ends, distinguish a space from an edited one."""


@final
@dataclass(frozen=True, eq=False)
class TrainingFree:
    """Architecture -> score; the same architecture always gets the same one.

    It goes to other processes if `lower` does, such as `partial(hwnas.network.lower, space)`.
    """

    name: str
    definition: Definition
    lower: Callable[[Architecture], Network]
    seed: int
    inputs: Tensor | None = None
    """(batch, ...) of a data set; None where noise serves."""
    targets: Tensor | None = None
    device: str = "cpu"
    networks: str = ""
    """Digest of the space's networks, for stores: an edited space has the old one's name and picks."""

    def __call__(self, architecture: Architecture) -> float:
        network = self.lower(architecture)
        return probe(
            self.name,
            self.definition,
            network,
            seed=self.seed,
            inputs=self.inputs,
            targets=self.targets,
            device=self.device,
        )

    @property
    def metric(self) -> str:
        """Name under which scores are stored."""
        return str(Metric("score", self.name))

    @cached_property
    def producer(self) -> str:
        """Identifier of how a stored score was made: equal producers give equal scores."""
        definition = self.definition
        text = f"{self.name} version={definition.version}"
        if definition.draws:
            text += f" seed={self.seed} init={definition.initialization} mode={definition.mode} {definition.dtype}"
        text += f" repeats={definition.repeats}" if definition.repeats > 1 else ""
        text += f" resolution={definition.resolution}" if definition.resolution is not None else ""
        text += f" batch={definition.batch}" if definition.batch else ""
        text += f" {self._input}" if definition.data else ""
        text += f" device={self.device}" if self.device != "cpu" else ""
        return text + (f" space={self.networks}" if self.networks else "")

    @property
    def _input(self) -> str:
        if self.inputs is None:
            return "images=noise" + (" labels=random" if self.definition.labels else "")
        seen = hashlib.sha256(self.inputs.numpy().tobytes())
        if self.targets is not None:
            seen.update(self.targets.numpy().tobytes())
        return f"images={seen.hexdigest()[:8]}"


def training_free_scorer(
    name: str,
    lower: Callable[[Architecture], Network],
    dataset: Dataset | None,
    *,
    seed: int,
    batch: int | None = None,
    resolution: int | None = None,
    device: str = "cpu",
    space: AnySpace | None = None,
) -> TrainingFree:
    """Return the scorer of a proxy by its name; its `metric` and its `producer` go with it.

    Args:
        name: in `TRAINING_FREE`.
        lower: architecture -> network.
        dataset: whose first training images are looked at; None is the data-free mode, with noise and random labels.
        seed: of weights and noise.
        batch, resolution: of the images, instead of the definition's own; ignored by a proxy that looks at no images.
        device: where modules run.
        space: where scores are stored beyond one session: what its networks are becomes part of the producer.

    Raises:
        ConfigError: an unknown name, a batch or resolution below 1, or a data set with fewer images.
    """
    definition: Definition = member(TRAINING_FREE, name, what="proxy", where="training-free proxies")
    for what, number in (("batch", batch), ("resolution", resolution)):
        if number is not None and number < 1:
            raise ConfigError(
                f"`{what}` is {number}", where=f"proxy `{name}`", allowed="Whole numbers from 1 on", do="Correct it"
            )
    if definition.batch:  # one that looks at no images has neither
        definition = replace(
            definition, batch=batch or definition.batch, resolution=resolution or definition.resolution
        )
    inputs = targets = None
    if dataset is not None and definition.data:
        inputs, targets = _first(dataset, definition.batch, name)
    targets = targets if definition.labels else None
    networks = "" if space is None else fingerprint(map(lower, _known(space)))
    return TrainingFree(name, definition, lower, seed, inputs, targets, device, networks)


def fingerprint(networks: Iterable[Network]) -> str:
    """Return eight hexadecimal digits that change with any operator, or with the input."""
    digest = hashlib.sha256()
    for network in networks:
        digest.update(repr((network.input_shape, [operator.describe() for operator in network.operators])).encode())
    return digest.hexdigest()[:8]


def _known(space: AnySpace) -> Iterator[Architecture]:
    """Yield the ends of a space and some networks between them, always the same."""
    rng = random.Random(0)
    yield from (space.smallest(), space.largest())
    yield from (space.random(rng) for _ in range(FINGERPRINT_NETWORKS))


def check_holds(scorer: TrainingFree, ends: Sequence[Architecture]) -> None:
    """Refuse a proxy whose definition speaks of none of a space's ends, its smallest and largest network.

    Raises:
        ConfigError: it gives the reason.
    """
    definition, networks = scorer.definition, [scorer.lower(end) for end in ends]
    reasons = [refusal(definition, one, partial(made, definition, one, scorer.seed)) for one in networks]
    if all(reason is not None for reason in reasons):
        raise ConfigError(
            f"its definition does not hold for the networks of this space: {reasons[0]}",
            where=f"proxy `{scorer.name}`",
            allowed="docs/how-to/proxies.md lists the networks of each proxy; params and macs take any network",
            do="Use another proxy",
        )


def _first(dataset: Dataset, count: int, name: str) -> tuple[Tensor, Tensor]:
    if len(dataset.train) < count:
        raise ConfigError(
            f"the data set `{dataset.name}` has {len(dataset.train)} training samples, the batch is {count}",
            where=f"proxy `{name}`",
            allowed="A batch has as many samples as there are, or fewer",
            do="Give a smaller `batch`, or score without data",
        )
    return dataset.train.batch(torch.arange(count)), dataset.train.targets[:count]
