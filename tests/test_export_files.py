"""Exported files: what they compute is what PyTorch computes."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import DiskError, ExportError
from hwnas.export import FORMATS, format_of
from hwnas.export.disk import unwritten
from hwnas.network import build, lower
from hwnas.ops import Operator, Shape
from hwnas.ops.bottleneck import Bottleneck
from hwnas.ops.cell import Cell
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.deepstem import DeepStem
from hwnas.ops.expandhead import ExpandHead
from hwnas.ops.fbconv import FBConv
from hwnas.ops.mbconv import MBConv
from hwnas.ops.patchembed import PatchEmbed
from hwnas.ops.readout import Readout
from hwnas.ops.reduction import Reduction
from hwnas.ops.resmbconv import ResMBConv
from hwnas.ops.tokenclassifier import TokenClassifier
from hwnas.ops.transformer import Transformer
from hwnas.runtimes import RUNTIMES, open_runtime
from hwnas.space import Knob, Space
from tests.helpers.modules import trained_looking
from tests.helpers.tiny import SPACES, tiny

pytestmark = pytest.mark.usefixtures("uncached")

OPERATORS: dict[str, tuple[Operator, Shape]] = {
    "conv": (Conv(3, 8, kernel=3, stride=2), (3, 9, 9)),
    "mbconv": (MBConv(8, 8, kernel=5, expand=2), (8, 6, 6)),
    "mbconv with squeeze-excite": (MBConv(8, 16, 3, 4, stride=2, se=True, activation="hswish"), (8, 8, 8)),
    "bottleneck": (Bottleneck(16, 32, stride=2), (16, 7, 7)),
    "fbconv": (FBConv(8, 8, kernel=3, expand=3), (8, 6, 6)),
    "fbconv with groups": (FBConv(8, 16, kernel=5, expand=1, stride=2, groups=2), (8, 7, 7)),
    "resmbconv": (ResMBConv(8, 16, 3, 4, stride=2, se=True, activation="silu"), (8, 8, 8)),
    "deepstem": (DeepStem(3, 16, hidden=8), (3, 14, 14)),
    "expandhead": (ExpandHead(8, 10, expand=6, hidden=24, activation="silu"), (8, 4, 4)),
    "classifier": (Classifier(16, 10, features=32, hidden=24), (16, 4, 4)),
    "patchembed": (PatchEmbed(3, 16, patch=4, grid=2), (3, 8, 8)),
    "transformer": (Transformer(24, 24, heads=3, head_width=0), (24, 5)),
    "transformer with relative positions": (Transformer(16, 16, 2, 1.5, head_width=8, relative=1), (16, 10)),
    "tokenclassifier": (TokenClassifier(16, 10, pool="mean"), (16, 5)),
    "cell": (Cell(8, 8, "nor_conv_3x3", "avg_pool_3x3", "skip_connect", "none", "nor_conv_1x1", "none"), (8, 5, 5)),
    "cell without a path": (Cell(8, 8, "none", "none", "nor_conv_3x3", "none", "none", "nor_conv_3x3"), (8, 5, 5)),
    "cell that skips": (Cell(8, 8, *["skip_connect"] * 6), (8, 5, 5)),
    "reduction": (Reduction(8, 16), (8, 6, 6)),
    "readout": (Readout(16, 10), (16, 4, 4)),
}

FAMILIES = (
    "attentive_nas",
    "cifar10_vit",
    "fbnet",
    "imu",
    "keywords",
    "mlperf_tiny_resnet8",
    "nas_bench_201",
    "ofa_mobilenet_v3_w1.0",
    "ofa_resnet50d",
    "shapes_segmentation",
    "tabular",
)
"""Spaces that together hold every operator: a conversion to TFLite takes seconds."""


class Sorted(nn.Module):
    """No converter takes it: two know no eigenvalues, and one wants no branch that hangs on values."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x).real if x.sum() < 1 else x


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def export(runtime: str, module: nn.Module, input_shape: Shape, path: Path, batch: int = 1) -> Path:
    made = format_of(runtime).exporter(module, input_shape, path, batch=batch)
    assert made == path
    return path


def assert_same(runtime: str, module: nn.Module, input_shape: Shape, path: Path, batch: int = 1) -> None:
    images = torch.randn(5, *input_shape)
    with torch.no_grad():
        expected = module.eval()(images).numpy()
    found = (
        open_runtime(runtime, batch=batch).load(export(runtime, module, input_shape, path, batch)).run(images.numpy())
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_every_runtime_runs_a_format_that_there_is() -> None:
    assert {name for spec in RUNTIMES.own.values() for name in spec.formats} == FORMATS.own.keys()


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operators_pt2_file_equals_pytorch(name: str, tmp_path: Path) -> None:
    """ONNX and TFLite files are held to that by the contract of operators."""
    operator, shape = OPERATORS[name]
    assert_same("pytorch", trained_looking(operator.module()), shape, tmp_path / "model")


def short(name: str) -> Space:
    """A shipped space with one layer a stage, because conversions are slow."""
    space = tiny(name)
    return replace(space, stages=tuple(replace(stage, depth=Knob((1,))) for stage in space.stages))


@pytest.mark.parametrize(
    ("runtime", "name"),
    [(runtime, name) for runtime in RUNTIMES for name in (FAMILIES if runtime == "tflite" else SPACES)],
)
def test_a_networks_file_equals_pytorch(runtime: str, name: str, tmp_path: Path) -> None:
    space = short(name)
    network = lower(space, space.random(random.Random(0)))
    assert_same(runtime, trained_looking(build(network)), network.input_shape, tmp_path / "model", batch=2)


def test_the_spaces_that_are_converted_for_tflite_hold_every_operator_of_the_others() -> None:
    kinds = {name: {block.op for stage in tiny(name).stages for block in stage.blocks} for name in SPACES}
    assert set().union(*kinds.values()) == set().union(*(kinds[name] for name in FAMILIES))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_exporting_is_silent_and_leaves_the_module_as_it_was(
    runtime: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    module = trained_looking(MBConv(4, 4, 3, 2).module())
    module.train()
    frozen = next(child for child in module.modules() if isinstance(child, nn.BatchNorm2d)).eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    export(runtime, module, (4, 4, 4), tmp_path / "model")
    assert capfd.readouterr() == ("", "")
    assert all(child.training != (child is frozen) for child in module.modules())
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_failed_conversion_names_the_modules_and_leaves_the_old_file(
    runtime: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    module = nn.Sequential(nn.ReLU(), Sorted())
    with pytest.raises(ExportError, match=r"the conversion to \w+ failed") as caught:
        export(runtime, module, (3, 3), path)
    assert "ReLU, Sorted" in caught.value.where
    assert len(caught.value.met.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    assert path.read_bytes() == b"old"
    assert module.training
    assert capfd.readouterr().out == ""


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot be written") as caught:
        export("onnxruntime", nn.ReLU(), (1, 2, 2), tmp_path / "file" / "model.onnx")
    assert str(tmp_path / "file") in caught.value.where


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        ("onnxruntime", "fp16"),
        ("pytorch", "fp32"),
        ("tflite", "fp32"),
        ("tflite", "int8"),
    ],
)
def test_a_file_that_the_disk_does_not_take_is_no_fault_of_the_network(
    runtime: str, precision: str, tmp_path: Path
) -> None:
    exporter = format_of(runtime).exporter
    (tmp_path / f".model.{os.getpid()}.part").symlink_to("/dev/full")  # where a draft is written
    with pytest.raises(DiskError, match=r"cannot be written \(No space left on device\)") as caught:
        exporter(Conv(3, 8, 3).module(), (3, 8, 8), tmp_path / "model", precision=precision)
    assert caught.value.where == str(tmp_path / "model")
    assert "operat" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_a_converter_makes_of_a_full_disk_is_seen_through(tmp_path: Path) -> None:
    def wrapped(cause: Exception) -> Exception:
        try:
            try:
                raise cause
            except Exception as error:
                raise RuntimeError("the flatbuffer was not serialised") from error
        except RuntimeError as error:
            return error

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/scratch")
    for error in (full, wrapped(full), wrapped(wrapped(full)), RuntimeError("write failed: No space left on device")):
        told = unwritten(error, tmp_path / "model")
        assert told is not None
        assert "No space left" in told.met
        assert told.where in ("/tmp/scratch", str(tmp_path / "model"))
    for error in (ValueError("no kernel"), wrapped(KeyError("x")), FileNotFoundError(2, "gone", "/of/an/operator")):
        assert unwritten(error, tmp_path / "model") is None
