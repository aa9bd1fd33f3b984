"""int8 simulated in PyTorch: beside the real files of both formats, and what is rounded where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas.errors import ExportError
from hwnas.export import FORMATS
from hwnas.export.simulation import simulated_int8
from hwnas.export.simulation.grid import Grid, rounded_weight
from hwnas.ops import Operator, Shape
from hwnas.ops.bottleneck import Bottleneck
from hwnas.ops.classifier import Classifier
from hwnas.ops.mbconv import MBConv
from hwnas.runtimes import open_runtime
from hwnas.workspace.measuring.setups import exporter_for
from tests.helpers.modules import trained_looking

RUNTIMES = {"onnxruntime": "onnx", "tflite": "tflite"}
CHAINS: dict[str, tuple[tuple[Operator, ...], Shape]] = {
    "relu, residual": ((MBConv(4, 4, 3, 4), MBConv(4, 8, 5, 3, stride=2), Classifier(8, 10)), (4, 8, 8)),
    "squeeze-excite, hard swish": (
        (MBConv(4, 4, 3, 4, se=True, activation="hswish"), Classifier(4, 10, features=16, activation="hswish")),
        (4, 8, 8),
    ),
    "silu": ((MBConv(4, 8, 3, 2, activation="silu"), Classifier(8, 10)), (4, 8, 8)),
    "bottleneck": ((Bottleneck(8, 16, stride=2), Classifier(16, 10)), (8, 8, 8)),
}


def decibels(expected: np.ndarray, outputs: np.ndarray) -> float:
    return float(10 * np.log10(np.square(expected).mean() / np.square(expected - outputs).mean()))


@pytest.mark.parametrize(
    ("name", "runtime"), [*((name, "onnxruntime") for name in CHAINS), ("squeeze-excite, hard swish", "tflite")]
)
def test_the_simulation_is_nearer_to_the_file_than_fp32(name: str, runtime: str, tmp_path: Path) -> None:
    operators, shape = CHAINS[name]
    torch.manual_seed(0)
    module = nn.Sequential(*(trained_looking(operator.module()) for operator in operators)).eval()
    rng = np.random.default_rng(0)
    calibration, inputs = (rng.standard_normal((count, *shape), dtype=np.float32) for count in (64, 100))
    file_format = FORMATS[RUNTIMES[runtime]]
    path = tmp_path / f"network{file_format.suffix}"
    exporter_for(file_format, 1, "int8", calibration=calibration)(module, shape, path)
    model = open_runtime(runtime, precision="int8").load(path)
    file = np.concatenate([model.run(one[None]) for one in inputs])
    simulated = simulated_int8(module, torch.from_numpy(calibration), file_format=RUNTIMES[runtime])
    with torch.no_grad():
        near, far = (of(torch.from_numpy(inputs)).numpy() for of in (simulated, module))
    assert decibels(file, near) > max(40, decibels(file, far))
    assert (near.argmax(1) == file.argmax(1)).mean() >= 0.97


def test_outputs_and_weights_are_on_their_grids() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(16, 3)).eval()
    inputs = torch.randn(40, 2, 4, 4)
    simulated = simulated_int8(module, inputs)
    with torch.no_grad():
        outputs = simulated(inputs)
    grid = simulated.grids[max(simulated.grids)]
    steps = outputs / grid.scale
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert len(simulated.grids) == 3  # the input, the activation with the convolution before it, the linear layer
    weight = module[0].weight
    assert isinstance(weight, Tensor)
    rounded, scale = rounded_weight(weight.detach()), weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert torch.allclose((rounded / scale).round() * scale, rounded, atol=1e-6)
    assert (rounded - weight).abs().max() <= scale.max() / 2 + 1e-6


def test_what_a_grid_holds() -> None:
    grid = Grid.over(-1.0, 2.0)
    values = torch.tensor([-5.0, -1.0, 0.0, 0.3, 2.0, 9.0])
    rounded = grid.rounded(values)
    assert rounded[2] == 0
    assert torch.allclose(rounded, values.clamp(-1, 2), atol=grid.scale)
    assert Grid.over(1.0, 3.0) == Grid.over(0.0, 3.0)


def test_gradients_pass_straight_through() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()
    inputs = torch.randn(20, 2, 4, 4)
    simulated = simulated_int8(module, inputs)
    weights = torch.randn(20, 3)  # not the outputs themselves: rounded ones would be compared with exact ones
    (weights * simulated(inputs)).sum().backward()
    twin = simulated.module
    plain = torch.autograd.grad((weights * twin(inputs)).sum(), list(twin.parameters()))
    for parameter, gradient in zip(twin.parameters(), plain, strict=True):
        assert parameter.grad is not None
        # less than 1: what rounding puts beyond the ends of its range has no gradient
        assert functional.cosine_similarity(parameter.grad.flatten(), gradient.flatten(), dim=0) > 0.95


def test_a_network_that_computes_something_else_each_time_is_refused() -> None:
    class Fickle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sigmoid() if len(x) > 4 else x.tanh()

    simulated = simulated_int8(Fickle(), torch.randn(8, 3))
    with pytest.raises(ExportError, match="call 1 of the network is `tanh`"):
        simulated(torch.randn(2, 3))


def test_the_module_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Hardswish()).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    simulated_int8(module, torch.randn(4, 2, 4, 4))(torch.randn(4, 2, 4, 4))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
