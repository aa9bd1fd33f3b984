"""Score of a network as a sum over its blocks, each of which learned its block of a trained network (Puzzle, 2025)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

import torch
from torch import nn

from hwnas.accuracy.block_distillation import BlockDistiller
from hwnas.accuracy.source import AccuracyContext
from hwnas.errors import ConfigError, RunError, reason
from hwnas.io.atomic import write_file
from hwnas.io.regular import read_regular
from hwnas.network import Network, build
from hwnas.opened.build import OpenedBuild, opened_build
from hwnas.opened.operator import Opened
from hwnas.space import Architecture
from hwnas.supernet.batchnorm import calibration_inputs
from hwnas.words import counted

DISTILLED_EPOCHS = 4
HOLDOUT_SAMPLES = 256
FEWEST_SAMPLES = 64


@final
@dataclass(frozen=True)
class BlockwiseAccuracy:
    """Sum, below 0, of how far the outputs of a trained network go from its own with each block replaced alone.

    Args:
        build: function of the space, a network that was opened.
        lower: architecture -> network.
        distiller: makes the distiller when it is needed.
        folder: folder in which the sums' parts are kept.
        producer: identifier of how the scores are made.
    """

    build: OpenedBuild
    lower: Callable[[Architecture], Network]
    distiller: Callable[[], BlockDistiller]
    folder: Path
    producer: str

    def __call__(self, architecture: Architecture) -> float:
        return -sum(self.parts(architecture).values())

    def parts(self, architecture: Architecture) -> dict[str, float]:
        """Return what each block adds to the sum, those that are left out too, by slot."""
        network = self.lower(architecture)
        chosen = {s: o.widths for s, o in zip(network.slots, network.operators, strict=True) if isinstance(o, Opened)}
        slots = [link.slot for link in self.build.network.links]
        return {slot: self.divergences[slot, chosen.get(slot, "")] for slot in slots}

    @cached_property
    def divergences(self) -> dict[tuple[str, str], float]:
        """How far outputs go with each block replaced, by slot and widths; the empty text stands for left out.

        Those of a slot are kept when all of it is done: an interrupted distillation continues.
        """
        file = self.folder / f"{hashlib.sha256(self.producer.encode()).hexdigest()[:12]}.json"
        kept = _read_divergences(file) if file.is_file() else {}
        if len(kept) < len(self.build.network.links):
            distiller = self.distiller()
            for index, features in distiller.blocks():
                slot = self.build.network.links[index].slot
                if slot not in kept:
                    kept[slot] = {}
                    for _, operator in self.build.forms(index):
                        members = {} if operator is None else dict(operator.origin.members)
                        module = None if operator is None else distiller.distilled(operator, features)
                        kept[slot][_widths(operator)] = distiller.divergence(index, module, members, features)
                    write_file(file, json.dumps(kept))
        return {(slot, widths): value for slot, values in kept.items() for widths, value in values.items()}

    def assembled(self, network: Network) -> nn.Module:
        """Return a network of blocks that were distilled one after the other, in evaluation."""
        module = build(network)
        blocks = self.distiller().assembled([one for one in network.operators if isinstance(one, Opened)])
        for slot, block in zip(network.slots, blocks, strict=True):
            module.get_submodule(slot).load_state_dict(block.state_dict())
        return module.eval()


def _read_divergences(file: Path) -> dict[str, dict[str, float]]:
    """Return divergences by slot and widths.

    Raises:
        RunError: the file is damaged.
    """
    try:
        content: object = json.loads(read_regular(file))
        if not isinstance(content, dict) or not all(isinstance(forms, dict) for forms in content.values()):
            raise ValueError("it holds other things")
    except (OSError, ValueError) as error:
        raise RunError(
            f"divergences of blocks cannot be read ({reason(error)})",
            where=str(file),
            allowed="It holds an object of numbers for each block that was distilled",
            do="Delete it: the blocks are distilled again",
        ) from error
    return content


def _widths(operator: Opened | None) -> str:
    return "" if operator is None else operator.widths


def blockwise(context: AccuracyContext) -> BlockwiseAccuracy:
    """Return the score by distilled blocks of a network of the user's.

    Raises:
        ConfigError: the space is of another kind, or samples are too few.
    """
    build_of = opened_build(context.space)
    settings, epochs = context.settings, context.settings.epochs or DISTILLED_EPOCHS
    count = settings.calibration_batches * settings.batch_size
    if (there := min(count, len(context.dataset().train))) < FEWEST_SAMPLES:
        raise ConfigError(
            f"blocks learn from {counted(there, 'sample')}",
            where="accuracy: calibration_batches, batch_size",
            allowed=f"{FEWEST_SAMPLES} training samples or more",
            do="Raise `calibration_batches` or `batch_size`, or give more data",
        )

    def distiller() -> BlockDistiller:
        dataset = context.dataset()
        drawn = calibration_inputs(
            dataset, count=settings.calibration_batches, batch_size=settings.batch_size, seed=context.seed
        )
        holdout = dataset.validation.first(settings.samples or HOLDOUT_SAMPLES).every()
        network = build_of.network
        task = dataset.train.fit(context.space.task)
        fitted = [task.fitted(part, network.shape) for part in (torch.cat(drawn), holdout)]
        return BlockDistiller(network, fitted[0], fitted[1], task, epochs, context.seed)

    facts = f"samples={count} holdout={settings.samples or HOLDOUT_SAMPLES} epochs={epochs} seed={context.seed}"
    producer = f"blockwise network={build_of.identity} data={context.dataset().name} {facts}"
    return BlockwiseAccuracy(build_of, context.lower, distiller, context.folder / "blockwise", producer)
