"""int8 and fp16 files: near to PyTorch, integer all through, and what their runtimes offer."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from hwnas import pipeline
from hwnas.errors import ConfigError, ExportError, MissingExtra
from hwnas.export import format_of, quantize_onnx
from hwnas.network import build, lower
from hwnas.ops import Operator, Shape
from hwnas.ops.bottleneck import Bottleneck
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.conv1d import Conv1d
from hwnas.ops.mbconv import MBConv
from hwnas.ops.mlp import MLP
from hwnas.ops.regressor import Regressor
from hwnas.ops.tcn import TCN
from hwnas.runtimes import RUNTIMES, offered, open_runtime
from hwnas.space import read_space
from hwnas.workspace.workspace import open_run
from tests.helpers.experiments import FEW, written
from tests.helpers.modules import trained_looking

pytestmark = pytest.mark.usefixtures("uncached")

CASES = [(name, precision) for name in RUNTIMES for precision in offered(name) if precision != "fp32"]
INTEGER = [name for name, precision in CASES if precision == "int8"]
OPERATORS: dict[str, tuple[Operator, Shape]] = {
    "conv, hard swish": (Conv(3, 8, kernel=3, stride=2, activation="hswish"), (3, 9, 9)),
    "mbconv, residual, squeeze-excite": (MBConv(8, 8, 3, 4, se=True, activation="hswish"), (8, 8, 8)),
    "mbconv, silu": (MBConv(8, 16, 5, 2, stride=2, activation="silu"), (8, 8, 8)),
    "bottleneck, pooled shortcut": (Bottleneck(16, 32, stride=2), (16, 7, 7)),
    "conv1d": (Conv1d(6, 8, kernel=5, stride=2, activation="hswish"), (6, 20)),
    "tcn": (TCN(8, 16, dilation=2), (8, 20)),
    "mlp": (MLP(8, 16, positions=5), (8, 5)),
    "regressor of a signal": (Regressor(8, 2, features=16), (8, 9)),
    "classifier": (Classifier(16, 10, features=32, hidden=24, activation="hswish"), (16, 4, 4)),
}
DIGITS = Path(__file__).resolve().parent.parent / "search_spaces" / "digits.yaml"


def export(runtime: str, module: nn.Module, shape: Shape, path: Path, **given: object) -> Path:
    made: Path = format_of(runtime).exporter(module, shape, path, **given)
    return made


def decibels(expected: np.ndarray, found: np.ndarray) -> float:
    """The signal's power over the error's."""
    return float(10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()))


@pytest.fixture
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(("runtime", "precision"), CASES)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_of_lower_precision_stays_near_to_pytorch(
    runtime: str, precision: str, batch: int, tmp_path: Path
) -> None:
    space = read_space(DIGITS)
    network = lower(space, space.largest())
    module = trained_looking(build(network)).eval()
    images = torch.randn(32, *network.input_shape)
    with torch.no_grad():
        expected = module(images).numpy()
    path = export(
        runtime,
        module,
        network.input_shape,
        tmp_path / "m",
        batch=batch,
        precision=precision,
        calibration=images.numpy(),
    )
    found = open_runtime(runtime, precision=precision, batch=batch).load(path).run(images.numpy())
    assert found.dtype == np.float32
    assert 100 > decibels(expected, found) > (40 if precision == "fp16" else 20)
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.9


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("runtime", INTEGER)
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_that_is_timed_alone_has_no_float_in_it(runtime: str, name: str, tmp_path: Path) -> None:
    operator, shape = OPERATORS[name]
    path = export(runtime, operator.module(), shape, tmp_path / "m", precision="int8", whole=False)
    loaded = open_runtime(runtime, precision="int8").load(path)
    assert {loaded.inputs[0][1].dtype, loaded.outputs[0][1].dtype} <= {"int8", "uint8"}  # type: ignore[attr-defined]
    loaded.invoke()
    found = integer_kernels(path) if runtime == "onnxruntime" else tflite_types(path)
    assert not found.keys() & {"QuantizeLinear", "DequantizeLinear", "Conv", "Mul", "Add", "HardSigmoid", "float32"}
    with torch.no_grad():
        images = torch.randn(4, *shape)
        assert loaded.run(images.numpy()).shape == tuple(operator.module().eval()(images).shape)


def integer_kernels(path: Path) -> Counter[str]:
    """What ONNX Runtime runs after its own optimisation."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def tflite_types(path: Path) -> Counter[str]:
    """Types of all tensors of a TFLite file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    return Counter(np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details())


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("runtime", INTEGER)
def test_an_operators_integers_stand_for_pytorchs_numbers(runtime: str, tmp_path: Path) -> None:
    operator, shape = OPERATORS["mbconv, residual, squeeze-excite"]
    module, images = trained_looking(operator.module()).eval(), torch.randn(8, *shape)
    path = export(
        runtime, module, shape, tmp_path / "m", precision="int8", whole=False, calibration=images.numpy()
    )  # fmt: skip
    with torch.no_grad():
        expected = module(images).numpy()
    assert decibels(expected, open_runtime(runtime, precision="int8").load(path).run(images.numpy())) > 20


def test_integers_of_unknown_meaning_can_be_timed_and_not_evaluated(tmp_path: Path) -> None:
    path = export("onnxruntime", nn.Conv2d(2, 2, 1), (2, 3, 3), tmp_path / "m", precision="int8", whole=False)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    loaded = open_runtime("onnxruntime", precision="int8").load(path)
    loaded.invoke()
    with pytest.raises(ExportError, match="does not say what the integers stand for"):
        loaded.run(np.zeros((1, 2, 3, 3), np.float32))


@pytest.mark.parametrize("runtime", INTEGER)
def test_equal_biases_do_not_keep_a_convolution_in_floats(runtime: str, tmp_path: Path) -> None:
    """Exporters write equal constants once; fresh normalisations all have the same bias."""
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, groups=4))
    for child in (module[0], module[2]):
        nn.init.zeros_(child.bias)  # type: ignore[arg-type]
    path = export(runtime, module, (4, 5, 5), tmp_path / "m", precision="int8", whole=False)
    if runtime == "onnxruntime":
        assert integer_kernels(path)["QLinearConv"] == 2
    else:
        assert "float32" not in tflite_types(path)


@pytest.mark.parametrize(("runtime", "precision"), CASES)
def test_lower_precisions_are_written_in_silence_and_leave_all_as_it_was(
    runtime: str, precision: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    operator, shape = OPERATORS["mbconv, residual, squeeze-excite"]
    module = trained_looking(operator.module()).train()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    handlers = list(logging.root.handlers)
    path = export(runtime, module, shape, tmp_path / "m", precision=precision)
    open_runtime(runtime, precision=precision).load(path).invoke()
    assert capfd.readouterr() == ("", "")
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())
    assert any(isinstance(child, nn.Hardswish) for child in module.modules())
    assert all(child.training for child in module.modules())
    assert (logging.root.handlers, logging.root.manager.disable) == (handlers, 0)
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("runtime", INTEGER)
def test_a_file_is_the_same_each_time(runtime: str, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardswish())
    files = [export(runtime, module, (3, 6, 6), tmp_path / name, precision="int8").read_bytes() for name in "ab"]
    assert files[0] == files[1]


@pytest.mark.parametrize("runtime", INTEGER)
def test_a_module_without_operators_is_written_as_well(runtime: str, tmp_path: Path) -> None:
    for whole in (True, False):
        path = export(runtime, nn.Identity(), (8, 1, 1), tmp_path / "m", precision="int8", whole=whole)
        open_runtime(runtime, precision="int8").load(path).invoke()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_unknown_precision_is_not_written(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="precision `int3` cannot be written") as caught:
        export(runtime, nn.ReLU(), (1, 2, 2), tmp_path / "m", precision="int3")
    assert "fp32" in caught.value.allowed


@pytest.mark.parametrize(("runtime", "precision"), [("onnxruntime", "fp16"), ("pytorch", "int8"), ("tflite", "bf16")])
def test_a_precision_that_is_not_offered_names_those_that_are(runtime: str, precision: str) -> None:
    with pytest.raises(ConfigError, match=f"precision `{precision}` is not offered by `{runtime}`") as caught:
        open_runtime(runtime, precision=precision)
    assert ", ".join(offered(runtime)) in caught.value.allowed


def test_without_the_quantiser_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in [name for name in sys.modules if name.startswith("ai_edge_quantizer")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(MissingExtra, match=r'pip install "hwnas\[convert\]"'):
        export("tflite", nn.ReLU(), (1, 2, 2), tmp_path / "m", precision="int8")


@pytest.mark.slow
def test_a_tier_of_int8_ships_int8_files_calibrated_on_training_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    quantize = quantize_onnx.quantize_onnx

    def spied(path: Path, batches: Sequence[np.ndarray], *, whole: bool, **options: Any) -> None:
        seen.extend(batches if whole else [])
        quantize(path, batches, whole=whole, **options)

    setups = {"cpu": {"runtime": "onnxruntime", "precision": "int8"}}
    export = {"picks": ["best"], "formats": ["onnx"], "agreement": 0.5, "calibration_samples": 20}
    path = written(tmp_path, FEW, setups=setups, search={"trials": 4}, export=export)
    for verb in (pipeline.train, pipeline.bench, pipeline.search):
        verb(path, runs=tmp_path / "runs")
    monkeypatch.setattr("hwnas.export.onnx.quantize_onnx", spied)
    (manifest,) = pipeline.export(path, runs=tmp_path / "runs")
    (model,) = json.loads(manifest.read_text())["models"]
    (file,) = model["files"]
    assert (file["precision"], file["name"]) == ("int8", "best.onnx")
    assert file["max_difference"] > 1e-4
    assert 0.5 <= file["top1_agreement"] <= 1
    assert 0 < file["test_top1"] <= 1
    dataset = open_run(path, runs=tmp_path / "runs").dataset
    known = {image.tobytes() for image in dataset.train.every().numpy()}
    assert len(seen) == 20
    assert all(image.tobytes() in known for batch in seen for image in batch)
    kinds = {node.op_type for node in onnx.load(manifest.parent / file["name"]).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
