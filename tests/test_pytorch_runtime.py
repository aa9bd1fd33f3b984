"""PyTorch's runtime: its files run no code, and the process is left as it was."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas.errors import ConfigError, ExportError
from hwnas.export.pytorch import export_pytorch
from hwnas.ops.mbconv import MBConv
from hwnas.runtimes import open_runtime
from hwnas.runtimes.pt2 import read_program
from hwnas.runtimes.pytorch import CpuModel, PyTorch

SHAPE = (8, 6, 6)


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a block with every kind of layer."""
    module = MBConv(8, 8, kernel=3, expand=2, se=True, activation="hswish").module()
    return export_pytorch(module, SHAPE, tmp_path_factory.mktemp("block") / "block.pt2")


class Gadget:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def gadget(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Gadget(marker), buffer)
    return buffer.getvalue()


def forged(source: Path, to: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of an archive with some members changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return to


def retargeted(source: Path, to: Path, target: str, **arguments: Any) -> Path:
    """A copy whose first call is of another operator."""

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        model = json.loads(content)
        call = model["graph_module"]["graph"]["nodes"][0]
        call["target"] = target
        if arguments:
            call["inputs"] = [{"name": name, "arg": arg, "kind": 1} for name, arg in arguments.items()]
        return json.dumps(model).encode()

    return forged(source, to, change)


def test_a_pickle_among_the_weights_is_refused_and_not_run(block: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(Gadget(marker)))  # noqa: S301  # the gadget does work
    marker.unlink()

    def change(name: str, content: bytes) -> bytes:
        if name.endswith("weights/model_weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true')
        return gadget(marker) if "weights/weight_" in name else content

    with pytest.raises(ExportError, match="is a pickle, which may run code"):
        open_runtime("pytorch").load(forged(block, tmp_path / "evil.pt2", change))
    assert not marker.exists()


def test_pickled_sample_inputs_are_not_looked_at(block: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    evil = forged(
        block, tmp_path / "evil.pt2", lambda name, content: gadget(marker) if "sample_inputs" in name else content
    )
    open_runtime("pytorch").load(evil).invoke()
    assert not marker.exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system", "_operator.add", "torch.ops.aten", "torch.ops.aten.conv2d", "torch.ops.prim.device.default",
        "torch.ops.aten.nothing.default", "torch.ops.aten.conv2d.__class__", "torch.ops.higher_order.cond",
    ],
)  # fmt: skip
def test_only_aten_operators_are_called(target: str, block: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot load the file"):
        open_runtime("pytorch").load(retargeted(block, tmp_path / "evil.pt2", target))


@pytest.mark.parametrize("target", ["torch.ops.aten.from_file.default", "torch.ops.aten.save.default"])
def test_no_operator_reaches_a_file(target: str, block: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    arguments = {"filename": {"as_string": str(victim)}, "shared": {"as_bool": True}, "size": {"as_int": 9}}
    with pytest.raises(ExportError, match="is no operator on tensors"):
        open_runtime("pytorch").load(retargeted(block, tmp_path / "evil.pt2", target, **arguments))
    assert not victim.exists()


def test_a_file_holds_no_traces_of_this_machine_and_no_normalisation(block: Path) -> None:
    with zipfile.ZipFile(block) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert b"stack_trace" not in content
    assert b"site-packages" not in content
    assert b"hwnas/ops" not in content
    targets = {call.target for call in read_program(block).calls}
    assert "torch.ops.aten.conv2d.default" in targets
    assert not any("norm" in target for target in targets)


def test_pytorch_itself_reads_the_file(block: Path) -> None:
    images = torch.randn(1, *SHAPE)
    with torch.no_grad():
        expected = torch.export.load(block).module()(images).numpy()  # made above, so it may be unpickled
    np.testing.assert_allclose(open_runtime("pytorch").load(block).run(images.numpy()), expected, atol=1e-5)


class Odd(nn.Module):
    """Several results, constants, casts, text arguments, and a normalisation that no Sequential holds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.scale = torch.arange(4.0).reshape(4, 1, 1)
        self.register_buffer("shift", torch.full((4, 1, 1), 0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.norm(self.conv(x)).chunk(2, dim=1)
        largest, where = first.max(dim=1, keepdim=True)
        joined = torch.cat([functional.gelu(second, approximate="tanh") * self.scale, where.to(torch.float32)], dim=1)
        return functional.interpolate(joined, scale_factor=2.0, mode="nearest") + largest.mean() + self.shift.sum()


def test_unusual_operators_are_computed_as_pytorch_does(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, images = Odd().eval(), torch.randn(3, *SHAPE)
        module.norm.running_mean.normal_()
        with torch.no_grad():
            expected = module(images).numpy()
        loaded = open_runtime("pytorch", batch=3).load(export_pytorch(module, SHAPE, tmp_path / "odd.pt2", batch=3))
    np.testing.assert_allclose(loaded.run(images.numpy()), expected, atol=1e-5)


class Reused(nn.Module):
    """One convolution in two places, with a normalisation behind it in one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1, bias=False)
        self.normed = nn.Sequential(self.conv, nn.BatchNorm2d(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.normed(x)


def test_folding_leaves_the_other_uses_of_a_convolution(tmp_path: Path) -> None:
    module, images = Reused().eval(), torch.ones(1, *SHAPE)
    nn.init.constant_(module.normed[1].bias, 3.0)
    with torch.no_grad():
        expected = module(images).numpy()
    loaded = open_runtime("pytorch").load(export_pytorch(module, SHAPE, tmp_path / "reused.pt2"))
    np.testing.assert_allclose(loaded.run(images.numpy()), expected, atol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_half_precision_is_in_the_file(whole: bool, tmp_path: Path) -> None:
    module = build_block()
    path = export_pytorch(module, SHAPE, tmp_path / "half.pt2", precision="fp16", whole=whole)
    program = read_program(path)
    assert {stored.dtype for stored in program.tensors.values()} == {"float16"}
    assert program.inputs[0].dtype == ("float32" if whole else "float16")
    assert all(tensor.dtype == torch.float32 for tensor in module.state_dict().values() if tensor.is_floating_point())


def build_block() -> nn.Module:
    return MBConv(8, 8, kernel=3, expand=2).module().eval()


def test_a_precision_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"precision `int8` cannot be written.*fp32, fp16"):
        export_pytorch(nn.ReLU(), SHAPE, tmp_path / "model.pt2", precision="int8")


def observed(block: Path, threads: int) -> tuple[CpuModel, list[tuple[int, bool, bool]]]:
    """A loaded model that notes threads, flushing and inference mode at each call."""
    loaded = open_runtime("pytorch", threads=threads).load(block)
    assert isinstance(loaded, CpuModel)
    seen: list[tuple[int, bool, bool]] = []

    def module(given: Tensor) -> Tensor:
        flushed = bool((torch.tensor(1e-38) * torch.tensor(1e-2)) == 0)
        seen.append((torch.get_num_threads(), flushed, torch.is_inference_mode_enabled()))
        return given

    return dataclasses.replace(loaded, module=module), seen


def test_a_call_runs_as_the_set_up_says_and_leaves_the_process_as_it_was(block: Path) -> None:
    before = torch.get_num_threads()
    model, seen = observed(block, threads=before + 1)
    model.invoke()
    model.run(np.ones((1, *SHAPE), np.float32))
    assert seen == [(before + 1, True, True)] * 2
    assert torch.get_num_threads() == before
    assert torch.tensor(1e-38) * torch.tensor(1e-2) != 0
    assert not torch.is_inference_mode_enabled()


def test_a_sample_is_so_many_calls(block: Path) -> None:
    model, seen = observed(block, threads=1)
    assert model.sample_ns(5) > 0
    assert len(seen) == 5


def test_what_is_timed_is_channel_last(block: Path) -> None:
    loaded = open_runtime("pytorch").load(block)
    assert isinstance(loaded, CpuModel)
    assert loaded.given[0].is_contiguous(memory_format=torch.channels_last)
    assert loaded.module(*loaded.given).is_contiguous(memory_format=torch.channels_last)


def test_the_file_stays_as_it_is_given(block: Path) -> None:
    """The input of a timing is not written to, so that every call computes the same."""
    loaded = open_runtime("pytorch").load(block)
    assert isinstance(loaded, CpuModel)
    before = loaded.given[0].clone()
    loaded.sample_ns(3)
    assert torch.equal(loaded.given[0], before)


def test_the_version_is_part_of_the_set_up() -> None:
    runtime = open_runtime("pytorch")
    assert isinstance(runtime, PyTorch)
    assert runtime.setup.runtime_version == torch.__version__
