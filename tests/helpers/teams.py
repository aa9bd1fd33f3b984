"""What the processes of a team open in tests: little to import, little to train."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from hwnas.data import Dataset
from hwnas.data.dataset import Split
from hwnas.data.source import Stored
from hwnas.errors import ConfigError
from hwnas.space import parse_space
from hwnas.supernet import Recipe, Supernet
from hwnas.supernet.distributed import WorkerSpec
from hwnas.supernet.process_group import ProcessGroup

SPACE = parse_space(
    {
        "name": "tiny",
        "input": {"channels": 1, "resolution": 8},
        "classes": 4,
        "stages": [
            {"name": "stem", "op": "conv", "stride": 2, "width": [8, 16]},
            {"name": "s1", "op": "mbconv", "width": 16, "depth": [1, 2], "kernel": [3, 5], "expand": 1},
            {"name": "head", "op": "classifier", "dropout": 0.2},
        ],
    },
    where="tiny.yaml",
)
TWO = Recipe(
    epochs=2, batch_size=32, learning_rate=0.02, augment="shift", calibration_batches=1, processes=2, ema_decay=0.5,
    strategy="spy.py:told",
)  # fmt: skip


def random_data() -> Dataset:
    """200 images to learn from, 50 to validate on."""
    generator = torch.Generator().manual_seed(0)
    pool = Stored(torch.randn(250, 1, 8, 8, generator=generator))
    labels = torch.randint(0, 4, (250,), generator=generator)
    mean, std = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    splits = [Split(pool, places, labels[places], mean, std) for places in torch.arange(250).split([200, 50])]
    return Dataset("random", ("a", "b", "c", "d"), splits[0], splits[1], None)


def part_of(folder: Path, own: Path, number: int, **changes: Any) -> WorkerSpec:
    """A part whose strategy is in the folder `own`."""
    return WorkerSpec(Supernet(SPACE), SPACE, random_data(), replace(TWO, **changes), folder, 0, own)


def unopened(number: int) -> WorkerSpec:
    """A part that cannot be opened."""
    raise ConfigError("nothing is here", where=f"process {number}", allowed="Something", do="Correct it")


def added_up(rank: int, folder: str) -> None:
    """Two parameters' gradients, of which process 1 lacks the second, added up; what comes out, in a file."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    held = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    held[0].grad = torch.full((2,), 1.0 + rank)
    if rank == 0:
        held[1].grad = torch.full((2,), 5.0)
    team = ProcessGroup(rank, 2)
    team.all_reduce_(team.gradients(held))
    told = [None if one.grad is None else one.grad.tolist() for one in held]
    Path(folder, f"told-{rank}.json").write_text(json.dumps(told))
    distributed.destroy_process_group()


ONE = replace(TWO, processes=1, strategy="sandwich", augment="crop_flip", checkpoint_every=2)
RECIPES = {
    "average, parts": replace(ONE, grad_accumulation_steps=2),
    "adamw, fp32, teacher": replace(ONE, optimizer="adamw", learning_rate=0.01, teacher="one.py:one", ema_decay=0.0),
    "sorted, halving": replace(ONE, sort_channels_at=(2,), on_divergence="halve_lr"),
    "single path": replace(ONE, strategy="single_path", ema_decay=0.0),
}
