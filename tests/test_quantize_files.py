"""`hwnas quantize`: files that were trained elsewhere, in int8: verdict, accuracy, what is written, what is refused."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwnas import pipeline
from hwnas.cli.entry import app
from hwnas.errors import ConfigError, DataError, HwnasError
from hwnas.measure.timing import Timing
from hwnas.quantization.answers import NO_SIGNAL_DB, FileOutputs, compared, flips, snr_db
from hwnas.quantization.result import Quantization, TimedFile
from hwnas.quantization.samples import FileSamples, read_samples
from tests.helpers.deployments import write_layers

SHAPE = (3, 12, 12)
QUICK = Timing(rounds=6, processes=0, warm_up_ms=0, min_sample_ms=0.2)


def write_data(path: Path, **more: Any) -> Path:
    rng = np.random.default_rng(3)
    arrays = {"inputs": rng.normal(size=(64, *SHAPE)).astype(np.float32), "targets": rng.integers(0, 5, 64)}
    np.savez(path, **{**arrays, **more})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantize")
    write_layers(path / "net.onnx", SHAPE)
    write_data(path / "data.npz")
    return path


@pytest.fixture(scope="module")
def quantized(folder: Path) -> Quantization:
    return pipeline.quantize(folder / "net.onnx", data=folder / "data.npz", out=folder / "out.int8.onnx", timing=QUICK)


def test_a_file_has_both_schemes_beside_fp32_and_a_verdict_by_the_interval(quantized: Quantization) -> None:
    assert [one.name for one in quantized.files] == ["fp32", "u8s8", "s8s8"]
    document = json.loads(json.dumps(quantized.as_dict(), allow_nan=False))
    assert document["low"] <= document["ratio"] <= document["high"]
    assert document["verdict"] == (
        "faster" if document["high"] < 1 else "slower" if document["low"] > 1 else "no difference"
    )
    assert document["best"] in ("u8s8", "s8s8")
    assert document["setup"]["runtime"] == "onnxruntime"


def test_int8_answers_as_fp32_does_and_its_cost_is_paired(quantized: Quantization) -> None:
    for one in quantized.files[1:]:
        accuracy = one.accuracy
        assert accuracy["samples"] == 32
        assert not accuracy["random_inputs"]
        assert accuracy["agreement"] > 0.9
        assert accuracy["snr_db"] > 20
        apart = (accuracy["gained"] - accuracy["lost"]) / 32
        assert accuracy["int8_top1"] - accuracy["fp32_top1"] == pytest.approx(apart)
        assert accuracy["low"] <= apart <= accuracy["high"]


def test_the_calibrator_is_never_worse_than_min_max_where_it_was_chosen(quantized: Quantization) -> None:
    for one in quantized.files[1:]:
        assert set(one.calibrators) == {"minmax", "percentile", "entropy"}
        assert one.calibrator
        assert one.calibrators[one.calibrator]["flips"] <= one.calibrators["minmax"]["flips"]


def test_the_costliest_operators_are_named(quantized: Quantization) -> None:
    for told in quantized.operators.values():
        assert 0 < len(told["nodes"]) <= 3
        assert told["nodes"][0]["ms"] > 0
        assert sum(kind["share"] for kind in told["types"]) <= 1 + 1e-9
    assert any(kind["operator"].startswith("Conv") for kind in quantized.operators["fp32"]["types"])
    assert any(kind["operator"] == "QLinearConv" for kind in quantized.operators["int8"]["types"])


def test_the_written_file_is_quantized_and_is_then_refused(folder: Path, quantized: Quantization) -> None:
    assert quantized.written == str(folder / "out.int8.onnx")
    assert quantized.reason == "asked for"
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(quantized.written).graph.node)
    with pytest.raises(ConfigError, match="quantized already"):
        pipeline.quantize(quantized.written, timing=QUICK)


def test_an_open_batch_is_one_and_random_inputs_write_nothing(tmp_path: Path, folder: Path) -> None:
    model = onnx.load(folder / "net.onnx")
    for port in (model.graph.input[0], model.graph.output[0]):
        port.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, tmp_path / "open.onnx")
    result = pipeline.quantize(tmp_path / "open.onnx", timing=QUICK)
    assert result.setup["batch"] == 1
    assert result.written is None
    assert result.files[1].accuracy["random_inputs"]
    assert any("random inputs" in one for one in result.notices)
    assert [one.name for one in tmp_path.iterdir()] == ["open.onnx"]


def one_node(path: Path, node: Any, ends: dict[str, list[Any]], dtype: int = TensorProto.FLOAT) -> Path:
    ports = [helper.make_tensor_value_info(name, dtype, shape) for name, shape in ends.items()]
    graph = helper.make_graph([node], "one", ports[:-1], ports[-1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def refused_files(folder: Path) -> dict[str, Path]:
    """Files by what their error says."""
    files = {}
    relu = helper.make_node("Relu", ["x"], ["y"])
    for name, content in (("text", b"not a network"), ("empty", b""), ("pickle", pickle.dumps({"w": 1}))):
        files[name] = folder / f"{name}.onnx"
        files[name].write_bytes(content)
    half = (folder / "net.onnx").read_bytes()
    (folder / "cut.onnx").write_bytes(half[: len(half) // 2])
    (folder / "cut.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\0" * 40)
    (folder / "text.tflite").write_bytes(b"not a network")
    (folder / "net.pth").write_bytes(pickle.dumps({"w": 1}))
    return {
        r"read as ONNX|no network": files["text"],
        "holds no network": files["empty"],
        "read as ONNX": files["pickle"],
        "cannot be read": folder / "cut.onnx",
        "LiteRT does not take it": folder / "cut.tflite",
        "cannot be read as TFLite": folder / "text.tflite",
        "pickle of PyTorch": folder / "net.pth",
        "does not exist": folder / "none.onnx",
        "control flow: If": one_node(
            folder / "if.onnx", helper.make_node("If", ["x"], ["y"]), {"x": [1, 4], "y": [1, 4]}
        ),
        "control flow: LSTM": one_node(
            folder / "lstm.onnx", helper.make_node("LSTM", ["x"], ["y"]), {"x": [1, 1, 4], "y": [1, 1, 4]}
        ),
        r"open shape \?,3,\?,4": one_node(folder / "open.onnx", relu, {"x": ["N", 3, "H", 4], "y": ["N", 3, "H", 4]}),
        "has 2 inputs": one_node(
            folder / "two.onnx", helper.make_node("Add", ["x", "z"], ["y"]), {"x": [1, 4], "z": [1, 4], "y": [1, 4]}
        ),
        "is int64": one_node(folder / "ids.onnx", relu, {"x": [1, 4], "y": [1, 4]}, TensorProto.INT64),
        "no operator with an integer form": one_node(
            folder / "sine.onnx", helper.make_node("Sin", ["x"], ["y"]), {"x": [1, 4], "y": [1, 4]}
        ),
    }


def test_what_cannot_be_quantized_is_refused_in_four_parts(tmp_path: Path) -> None:
    write_layers(tmp_path / "net.onnx", SHAPE)
    for words, path in refused_files(tmp_path).items():
        with pytest.raises(HwnasError) as caught:
            pipeline.quantize(path, timing=QUICK)
        error = caught.value
        assert re.search(words, error.met), (words, str(error))
        assert error.where == str(path)
        assert error.allowed
        assert error.do
        assert "\n" not in error.met


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"inputs": np.zeros((16, 3, 5, 5), np.float32)}, "samples of shape"),
        ({"inputs": np.full((64, *SHAPE), np.nan)}, "not finite"),
        ({"targets": np.zeros(7, int)}, "there are 64 inputs"),
        ({"inputs": np.zeros((4, *SHAPE)), "targets": np.zeros(4, int)}, "4 samples"),
    ],
)
def test_data_that_does_not_fit_is_refused(folder: Path, tmp_path: Path, more: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        pipeline.quantize(folder / "net.onnx", data=write_data(tmp_path / "d.npz", **more), timing=QUICK)


def test_the_float_file_is_never_written_over(folder: Path) -> None:
    before = (folder / "net.onnx").read_bytes()
    for out in (folder / "net.onnx", folder / "net.tflite", folder):
        with pytest.raises(ConfigError, match="-o"):
            pipeline.quantize(folder / "net.onnx", out=out, timing=QUICK)
    assert (folder / "net.onnx").read_bytes() == before


def test_without_out_only_a_faster_and_no_worse_file_is_written(tmp_path: Path) -> None:
    from hwnas.commands.quantize import decided

    def result(high: float, **accuracy: Any) -> Quantization:
        fast = TimedFile("u8s8", "minmax", 1, 1.0, 1.0, 0.5, 0.4, high, accuracy)
        return Quantization("net.onnx", {}, (fast,), "u8s8", {}, ())

    path = tmp_path / "net.onnx"
    target = tmp_path / "net.int8.onnx"
    assert decided(result(0.6), path, None, calibrated=True)[0] == target
    assert decided(result(1.2), path, None, calibrated=True)[0] is None
    assert decided(result(0.6), path, None, calibrated=False)[0] is None
    assert decided(result(0.6, p_value=0.01, difference=-0.1), path, None, calibrated=True)[0] is None
    assert decided(result(1.2), path, tmp_path / "x.onnx", calibrated=False)[0] == tmp_path / "x.onnx"
    target.write_text("of somebody's")
    assert decided(result(0.6), path, None, calibrated=True)[0] is None


def test_samples_whose_classes_take_turns_are_judged_in_all_of_them(tmp_path: Path) -> None:
    path = write_data(tmp_path / "turns.npz", targets=np.arange(64) % 2)
    samples = read_samples(path, (1, *SHAPE))
    assert samples.targets is not None
    assert set(samples.targets.tolist()) == {0, 1}
    parts = [len(part) for part in (samples.calibration, samples.choice, samples.judged)]
    assert (parts, len(np.unique(np.concatenate([samples.calibration, samples.choice, samples.judged]), axis=0))) == (
        [16, 16, 32],
        64,
    )


def test_answers_are_classes_only_where_a_sample_has_one_row_of_scores() -> None:
    scores = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)
    reference, other = FileOutputs((scores,)), FileOutputs((scores[:, ::-1],))
    assert flips(other, reference) == 2
    assert flips(reference, reference) == 0
    assert FileOutputs((np.zeros((2, 1, 4, 4), np.float32),)).classes is None
    assert FileOutputs((scores, scores)).classes is None
    assert snr_db(FileOutputs((scores * 1.1,)), reference) == pytest.approx(20, abs=0.01)
    assert snr_db(reference, reference) is None
    assert snr_db(FileOutputs((scores * np.nan,)), reference) == NO_SIGNAL_DB, "not the best calibrator, but the worst"
    assert snr_db(reference, FileOutputs((scores * 0,))) == NO_SIGNAL_DB
    judged = FileSamples(scores, scores, scores, np.array([1, 0]))
    entry = compared(other, reference, judged)
    assert (entry["lost"], entry["gained"], entry["int8_top1"]) == (2, 0, 0.0)


def test_the_command_prints_one_document(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from hwnas.quantization import sitting

    timed = sitting.time_files
    monkeypatch.setattr(sitting, "time_files", lambda files, runtime, timing, **rest: timed(files, runtime, QUICK))
    app(["quantize", str(folder / "net.onnx"), "--json"], standalone_mode=False)
    document = json.loads(capsys.readouterr().out)
    assert {"verdict", "ratio", "low", "high"} <= set(document)
    with pytest.raises(ConfigError, match="--shape a,b"):
        app(["quantize", str(folder / "net.onnx"), "--shape", "a,b"], standalone_mode=False)
