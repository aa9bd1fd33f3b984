"""Data of an experiment and its space: what fits, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.data import Dataset
from hwnas.errors import HwnasError
from hwnas.workspace.workspace import open_run
from tests.helpers.data_files import signals, write_arrays, write_csv, write_wav
from tests.helpers.experiments import written

SPACE = """\
name: signals
input: {{{input}}}
{width}
stages:
{stages}
"""
CONV1D = "  - {name: stem, op: conv1d, width: [4, 8]}\n  - {name: head, op: classifier}"
CONV = CONV1D.replace("conv1d", "conv")


def opened(
    folder: Path, data: Any, input: str, stages: str = CONV1D, width: str = "classes: 3", **keys: Any
) -> Dataset:
    content = SPACE.format(input=input, width=width, stages=stages)
    return open_run(written(folder, content, data=data, **keys), runs=folder / "runs").dataset


def arrays(folder: Path, x: Any, y: Any) -> dict[str, Any]:
    return {"name": "arrays", "path": str(write_arrays(folder, x_train=x, y_train=y))}


def test_signals_fit_a_space_of_signals(tmp_path: Path) -> None:
    x, y = signals()
    dataset = opened(tmp_path, arrays(tmp_path, x, y), "shape: [2, [10, 20]]", train={"augment": "shift_scale_noise"})
    assert (dataset.shape, dataset.width) == ((2, 20), 3)


def test_images_of_one_channel_may_lack_its_axis(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((60, 6, 9), np.float32)
    dataset = opened(tmp_path, arrays(tmp_path, x, np.arange(60) % 3), "shape: [1, 12, 18]", CONV)
    assert dataset.shape == (1, 6, 9)


def test_sounds_fit_a_space_that_begins_with_the_front_end(tmp_path: Path) -> None:
    front = "  - {name: front, op: logmel, width: 1, rate: 1000, mels: 4, low_hz: 0}\n"
    data = {"name": "wav", "path": str(write_wav(tmp_path / "sounds")), "group": "_"}
    assert opened(tmp_path, data, "shape: [1, 200]", front + CONV).shape == (1, 200)


def test_numbers_fit_a_regression(tmp_path: Path) -> None:
    data = {"name": "csv", "path": str(write_csv(tmp_path)), "target": "two", "features": ["one"]}
    stages = "  - {name: body, op: mlp, width: [4, 8]}\n  - {name: head, op: regressor}"
    dataset = opened(tmp_path, data, "shape: [1]", stages, "outputs: 1")
    assert dataset.train.targets.dtype == torch.float32


X, Y = signals()
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "channels": ({"input": "shape: [3, 20]"}, "the data has 2 channels and 3 classes, the space expects 3 and 3"),
    "classes": ({"input": "shape: [2, 20]", "width": "classes: 4"}, "3 classes, the space expects 2 and 4"),
    "images for signals": ({"input": "channels: 2, resolution: 8", "stages": CONV}, "the data has inputs of 2x20"),
    "an augmentation of images": (
        {"input": "shape: [2, 20]", "train": {"augment": "crop_flip"}}, "`augment` is 'crop_flip'",
    ),
    "a resolution of signals": ({"input": "shape: [2, 20]", "more": {"resolution": 8}}, r"are of shape \(2, 20\)"),
    "numbers for classes": ({"input": "shape: [2, 20]", "y": np.linspace(0, 1, 60)}, r"labels are torch\.float64"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    change = dict(change)
    data = {**arrays(tmp_path, X, change.pop("y", Y)), **change.pop("more", {})}
    with pytest.raises(HwnasError, match=message) as caught:
        opened(tmp_path, data, **change)
    assert all((caught.value.met, caught.value.where, caught.value.allowed, caught.value.do))


EMBED = '''
from dataclasses import dataclass

from torch import nn

from hwnas import Operator


class _Embed(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.table = nn.Embedding(20, width)

    def forward(self, tokens):
        return self.table(tokens).movedim(-1, 1)


@dataclass(frozen=True)
class Embed(Operator):
    """Token ids below 20 to (width, length)."""

    def module(self):
        return _Embed(self.out_channels)
'''


@pytest.mark.parametrize(("largest", "message"), [(19, None), (20, "the data holds 0 to 20, the networks take whole")])
def test_tokens_lie_below_what_the_space_says(largest: int, message: str | None, tmp_path: Path) -> None:
    (tmp_path / "embed.py").write_text(EMBED)
    tokens = np.random.default_rng(0).integers(0, 20, (60, 8))
    tokens[0, 0] = largest
    stages = "  - {name: table, op: embed, width: [4, 8]}\n  - {name: head, op: classifier}\nplugins: [embed.py]"
    data, input = arrays(tmp_path, tokens, Y), "shape: [8], dtype: int64, below: 20"
    if message is None:
        assert opened(tmp_path, data, input, stages).train.every().dtype == torch.int64
        return
    with pytest.raises(HwnasError, match=message):
        opened(tmp_path, data, input, stages)
