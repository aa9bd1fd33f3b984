"""A shipped file agrees with PyTorch, or it is refused."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import ExportError
from hwnas.export.bundle import Array, Criterion, compare, outputs_of, write_model
from hwnas.export.onnx import export_onnx
from hwnas.io.checksum import sha256_of
from hwnas.runtimes import open_runtime
from hwnas.tasks import Batch

LOGITS = np.array([[0.0, 1.0], [3.0, 2.0], [0.5, 0.6], [9.0, 0.0]], dtype=np.float32)
LABELS = np.array([1, 0, 0, 0])
IMAGES = np.zeros((4, 1, 2, 2), dtype=np.float32)
TEST = Batch(IMAGES, LABELS)


@dataclass(frozen=True)
class File:
    """A model file that always gives the same."""

    gives: Array

    def run(self, inputs: Array) -> Array:
        assert inputs is IMAGES
        return self.gives


def test_equal_outputs_agree() -> None:
    parity = compare(LOGITS, File(LOGITS.copy()), TEST, path=Path("x"), criterion=Criterion(1e-9))
    assert (parity.max_difference, parity.agreement, parity.quality) == (0.0, 1.0, 0.75)


def test_a_small_difference_is_told_with_what_it_changes() -> None:
    moved = LOGITS + np.array([[0, 0], [0, 0], [0.2, 0], [0, 0]], dtype=np.float32)
    parity = compare(LOGITS, File(moved), TEST, path=Path("x"), criterion=Criterion(0.25))
    assert parity.max_difference == pytest.approx(0.2)
    assert (parity.agreement, parity.quality) == (0.75, 1.0)


@pytest.mark.parametrize("value", [0.3, -0.3, float("nan"), float("inf"), -float("inf")])
def test_a_difference_beyond_the_tolerance_is_refused(value: float) -> None:
    off = LOGITS.copy()
    off[2, 1] += value
    with pytest.raises(ExportError, match="differ from PyTorch's by up to") as caught:
        compare(LOGITS, File(off), TEST, path=Path("b/best.onnx"), criterion=Criterion(0.25))
    assert (caught.value.where, caught.value.allowed) == ("b/best.onnx", "A shipped file agrees within 0.25")


def test_a_lower_precision_is_judged_by_the_classes_that_it_names() -> None:
    far = LOGITS * 1.3 + np.array([[0, 0], [0, 0], [0.2, 0], [0, 0]], dtype=np.float32)
    parity = compare(LOGITS, File(far), TEST, path=Path("x"), criterion=Criterion(agreement=0.75))
    assert (parity.max_difference > 1, parity.agreement, parity.quality) == (True, 0.75, 1.0)
    with pytest.raises(
        ExportError, match=r"PyTorch's class on 75.0% .* \(Top-1 accuracy 100.0%, PyTorch's 75.0%\)"
    ) as caught:
        compare(LOGITS, File(far), TEST, path=Path("b/best.onnx"), criterion=Criterion(agreement=0.76))
    assert (caught.value.where, "export.agreement" in caught.value.do) == ("b/best.onnx", True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused_at_every_precision(value: float) -> None:
    off = LOGITS.copy()
    off[3, 0] = value
    with pytest.raises(ExportError, match="differ from PyTorch's"):
        compare(LOGITS, File(off), TEST, path=Path("x"), criterion=Criterion(agreement=0.1))


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (3, 2), (4,), (4, 2, 1)], ids=str)
def test_outputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ExportError, match="it gives outputs of shape"):
        compare(LOGITS, File(np.zeros(shape, np.float32)), TEST, path=Path("x"), criterion=Criterion(100))


def test_logits_do_not_depend_on_batches_and_modes() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    images = np.random.default_rng(0).standard_normal((10, 1, 2, 2), dtype=np.float32)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(images)).numpy()
    for batch_size in (1, 3, 10, 99):
        np.testing.assert_allclose(outputs_of(module.train(), images, batch_size=batch_size), expected, atol=1e-6)


def test_a_written_model_is_checked_as_a_whole(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    path = write_model(module, (1, 2, 2), tmp_path / "new" / "folder" / "best.onnx", export_onnx)
    images = np.random.default_rng(0).standard_normal((5, 1, 2, 2), dtype=np.float32)
    loaded, expected = open_runtime("onnxruntime").load(path), outputs_of(module, images)
    parity = compare(expected, loaded, Batch(images, np.zeros(5, np.int64)), path=path, criterion=Criterion(1e-4))
    assert (parity.max_difference < 1e-5, parity.agreement) == (True, 1.0)
    with torch.no_grad():
        module[1].bias.add_(1)
    with pytest.raises(ExportError, match="differ from PyTorch's by up to 1"):
        compare(
            outputs_of(module, images),
            loaded,
            Batch(images, np.zeros(5, np.int64)),
            path=path,
            criterion=Criterion(1e-4),
        )
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
