"""What a bundle carries beside its model files gives the same answers as hwnas does, without hwnas."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn
from torch.nn.functional import interpolate

from hwnas import pipeline
from hwnas.export.companions.program import program
from hwnas.export.ends.metadata import ENTRY
from hwnas.export.ends.raw_input import RawInput, divided_steps, front_of
from hwnas.export.manifest import read_manifest
from hwnas.export.onnx import export_onnx
from hwnas.export.plain.layers import Uncovered
from hwnas.export.plain.source import plain_network
from hwnas.export.staging import staged
from hwnas.export.standalone.images import decode_png, fitted
from hwnas.export.standalone.metrics import METRIC_FUNCTIONS, metric_of
from hwnas.export.standalone.steps import prepared
from hwnas.network import build, lower, make_operator
from hwnas.ops.logmel import LogMel
from hwnas.ops.operator import new_module
from hwnas.runtimes import open_runtime
from hwnas.tasks import Batch, open_task
from hwnas.tasks.ends import examples
from tests.helpers.exported import EXPERIMENT, SPACE
from tests.helpers.operators import EXAMPLES, input_of
from tests.helpers.tiny import tiny

Array = NDArray[Any]
RNG = np.random.default_rng(0)

# --- steps, in numpy ---


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1"])
@pytest.mark.parametrize("grey", [True, False])
def test_png_files_are_decoded_as_pillow_decodes_them(mode: str, grey: bool) -> None:
    pixels = RNG.integers(0, 256, (13, 21, 3), dtype=np.uint8)
    pixels[4:9] = np.linspace(0, 255, 21, dtype=np.uint8)[None, :, None]  # so that several filters are chosen
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, format="png")
    with Image.open(io.BytesIO(file.getvalue())) as opened:
        wanted = np.array(opened.convert("L" if grey else "RGB"))
    got = decode_png(file.getvalue(), grey)
    assert np.array_equal(got, wanted[None] if grey else np.moveaxis(wanted, -1, 0))


@pytest.mark.parametrize("kind", range(5))
def test_all_filters_of_png_are_undone(kind: int) -> None:
    rows = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    plain = np.zeros((7, 6, 3), np.int64)
    plain[1:, 1:] = rows
    left, above, corner = plain[1:, :-1], plain[:-1, 1:], plain[:-1, :-1]
    apart = np.stack([abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)])
    paeth = np.choose(apart.argmin(0), [left, above, corner])
    guess = [np.zeros_like(left), left, above, (left + above) // 2, paeth][kind]
    filtered = ((rows.astype(np.int64) - guess) % 256).astype(np.uint8).reshape(6, 15)
    body = zlib.compress(np.concatenate([np.full((6, 1), kind, np.uint8), filtered], 1).tobytes())

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = (5).to_bytes(4, "big") + (6).to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert np.array_equal(np.moveaxis(decode_png(file, False), 0, -1), rows)
    for cut in range(0, len(file) - 12, 3):
        with pytest.raises(ValueError):
            decode_png(file[:cut] + b"\0" + file[cut + 2 :], False)


@pytest.mark.parametrize(
    ("have", "size"), [((37, 51), (8, 8)), ((8, 8), (16, 12)), ((9, 64), (9, 9)), ((5, 7), (5, 7))]
)
def test_images_are_fitted_as_pillow_fits_them(have: tuple[int, int], size: tuple[int, int]) -> None:
    pixels = RNG.integers(0, 256, (*have, 3), dtype=np.uint8)
    wanted = np.array(ImageOps.fit(Image.fromarray(pixels), size[::-1], Image.Resampling.BILINEAR))
    assert np.array_equal(fitted(np.moveaxis(pixels, -1, 0)[None], size)[0], np.moveaxis(wanted, -1, 0))


def test_the_other_steps_are_those_of_pytorch() -> None:
    images = RNG.random((2, 3, 20, 14), dtype=np.float32)
    step = {"step": "resize", "size": [9, 21]}
    wanted = interpolate(torch.from_numpy(images), (9, 21), mode="bilinear", antialias=True).numpy()
    np.testing.assert_allclose(prepared(images, [step]), wanted, atol=1e-5)
    sounds = RNG.standard_normal((2, 1, 400), dtype=np.float32)
    operator = LogMel(1, 1, 1000, mels=6)
    knobs = {name: value for name, value in operator.knobs.items() if "channels" not in name}
    wanted = operator.module()(torch.from_numpy(sounds)).numpy()
    np.testing.assert_allclose(prepared(sounds, [{"step": "log_mel", **knobs}]), wanted, atol=1e-4)
    with pytest.raises(ValueError, match="unknown"):
        prepared(sounds, [{"step": "blur"}])


def outputs_and_targets(name: str) -> tuple[Array, Array, Array]:
    inputs = RNG.standard_normal((40, 3), dtype=np.float32)
    if name == "classification":
        return RNG.standard_normal((40, 4), dtype=np.float32), RNG.integers(0, 4, 40), inputs
    if name == "multilabel":
        return RNG.standard_normal((40, 4), dtype=np.float32), RNG.random((40, 4)) < 0.3, inputs
    if name == "regression":
        return inputs[:, :2] * 2, inputs[:, :2], inputs
    if name == "segmentation":
        targets = RNG.integers(0, 3, (4, 8, 6))
        targets[0, 0, 0] = 255
        return RNG.standard_normal((4, 3, 4, 3), dtype=np.float32), targets, inputs
    return inputs + RNG.standard_normal((40, 3), dtype=np.float32) / 5, RNG.integers(0, 2, 40), inputs


@pytest.mark.parametrize("name", METRIC_FUNCTIONS)
def test_metrics_are_those_of_the_task(name: str) -> None:
    outputs, targets, inputs = outputs_and_targets(name)
    task = open_task(name, where="test")
    tensors = (torch.from_numpy(values) for values in (inputs, targets))
    values = task.values(task.statistics(torch.from_numpy(outputs), Batch(*tensors)))
    assert set(METRIC_FUNCTIONS[name]) == {metric.name for metric in task.metrics}
    for metric in METRIC_FUNCTIONS[name]:
        computed = metric_of({"name": name, "options": {}}, metric)
        assert computed is not None
        assert computed(outputs, targets, inputs) == pytest.approx(values[metric].value, abs=1e-6)


def test_the_program_is_one_file_of_python_3_9() -> None:
    tree = ast.parse(program(), feature_version=(3, 9))
    defined = Counter(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    assert set(defined.values()) == {1}
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    assert set(Counter(target.id for target in targets if isinstance(target, ast.Name)).values()) == {1}
    lines = [line for line in program().splitlines() if line.startswith(("import ", "from "))]
    imports = {line.split()[1].partition(".")[0] for line in lines}
    assert imports - set(sys.stdlib_module_names) == {"numpy"}


# --- a network as plain PyTorch ---


def settled(module: nn.Module) -> nn.Module:
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.running_mean is not None:
            norm.running_mean.normal_()
            assert norm.running_var is not None
            norm.running_var.uniform_(0.5, 2)
    return module.eval()


def same_without_hwnas(module: nn.Module, shape: Any, folder: Path) -> str:
    """The source, which gives the module's outputs after its weights went through a file."""
    from safetensors.torch import save_file

    drawn = torch.Generator().manual_seed(1)
    inputs = [torch.randn(one.shape, generator=drawn) for one in examples(shape, 3)]
    plain = plain_network(module, shape, inputs[0], title="A network.", weights="w.safetensors")
    save_file(plain.state, folder / "w.safetensors")
    (folder / "w.py").write_text(plain.source)
    names: dict[str, Any] = {"__file__": str(folder / "w.py"), "__name__": "w"}
    exec(compile(plain.source, "w.py", "exec"), names)  # noqa: S102  # a generated file is what is tested
    with torch.no_grad():
        np.testing.assert_allclose(names["load"]()(inputs[0]), module(inputs[0]), atol=1e-5)
    assert "hwnas." not in plain.source
    return plain.source


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_operator_is_written_as_plain_pytorch(kind: str, tmp_path: Path) -> None:
    for knobs, *_ in EXAMPLES[kind]:
        operator = make_operator(kind, knobs, where="test")
        same_without_hwnas(settled(new_module(operator)), input_of(operator), tmp_path)


def test_networks_are_written_in_few_readable_lines(tmp_path: Path) -> None:
    space = tiny("digits")
    network = lower(space, space.largest())
    source = same_without_hwnas(settled(build(network)), network.input_shape, tmp_path)
    assert "return self.act(self.body(x) + self.shortcut(x))" in source
    assert max(map(len, source.splitlines())) <= 120
    assert len(source.splitlines()) < 150


class Hooked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.layer.register_forward_hook(lambda module, args, output: output * 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize("kind", [Hooked, Branching])
def test_what_source_cannot_say_is_refused(kind: type[nn.Module]) -> None:
    with pytest.raises(Uncovered):
        plain_network(kind().eval(), (3,), torch.ones(2, 3), title="x", weights="w")


# --- raw inputs, metadata, any batch ---

STEPS = [{"step": "divide", "by": 255}, {"step": "normalise", "mean": [0.3], "std": [0.37]}]


def test_steps_move_into_files_behind_what_stays_outside() -> None:
    resize = {"step": "resize", "size": [9, 9]}
    assert divided_steps([{"step": "decode"}, *STEPS, resize], 1) == ([{"step": "decode"}, resize], STEPS)


def test_a_front_computes_what_the_steps_say() -> None:
    sounds = RNG.integers(-2000, 2000, (3, 2, 300)).astype(np.float32)
    spectrum = {
        "step": "log_mel",
        "rate": 1000,
        "mels": 5,
        "window_ms": 30.0,
        "hop_ms": 20.0,
        "low_hz": 20.0,
        "high_hz": 0.0,
    }
    arithmetic = [{"step": "subtract", "by": 128}, {"step": "divide", "by": 2048}]
    steps = [*arithmetic, spectrum, {"step": "normalise", "mean": [-3.0, 1.0], "std": [2.0, 0.5]}]
    with torch.no_grad():
        got = front_of(steps, 2, 2)(torch.from_numpy(sounds)).numpy()
    np.testing.assert_allclose(got, prepared(sounds, steps), atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_of_raw_inputs_answers_as_one_behind_the_steps(precision: str, tmp_path: Path) -> None:
    space = tiny("digits")
    body = settled(build(lower(space, space.smallest())))
    raw = RNG.integers(0, 256, (32, 1, 8, 8)).astype(np.float32)
    normalised = prepared(raw, STEPS)
    runtime = open_runtime("onnxruntime", precision=precision)
    outputs = []
    for name, module, inputs in (
        ("raw", RawInput([front_of(STEPS, 1, 3)], body).eval(), raw),
        ("own", body, normalised),
    ):
        path = export_onnx(module, (1, 8, 8), tmp_path / f"{name}.onnx", precision=precision, calibration=inputs)
        outputs.append(runtime.load(path).run(inputs))
    largest = np.abs(outputs[1]).max()
    assert np.abs(outputs[0] - outputs[1]).max() <= largest * (1e-5 if precision == "fp32" else 0.02)
    import onnx

    kinds = [node.op_type for node in onnx.load(tmp_path / "raw.onnx").graph.node]
    if precision == "int8":
        assert kinds.index("Sub") < kinds.index("QuantizeLinear"), "numbers are scaled before they are quantised"


# --- a whole bundle ---


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    card = {"licence": "MIT", "data_licence": "CC-BY-4.0", "intended_use": "Digits of one person's forms."}
    export = {"picks": ["best"], "formats": ["onnx", "tflite"], "input": "raw", "dynamic_batch": True, "card": card}
    (folder / "space.yaml").write_text(SPACE)
    (folder / "few.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "export": export}))
    verbs: list[Callable[..., Any]] = [pipeline.train, pipeline.bench, pipeline.search, pipeline.export]
    for verb in verbs:
        verb(folder / "few.yaml", runs=folder / "runs")
    return folder / "runs" / "few" / "bundle" / "edge"


ALONE = """\
import runpy, sys
for name in ("hwnas", "torch", "PIL", "onnx", "optuna", "sklearn"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def alone(bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`predict.py` in a process that can import neither hwnas nor torch."""
    command = [sys.executable, "-I", "-c", ALONE, str(bundle / "predict.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=bundle.parent)


def digits(bundle: Path) -> tuple[Array, Array]:
    """The raw test images that the manifest names, as scikit-learn has them, and their labels."""
    from sklearn.datasets import load_digits

    spans = json.loads((bundle / "manifest.json").read_text())["test_images"]["indices"].split(",")
    ends = [(int(first), int(last or first)) for first, _, last in (span.partition("-") for span in spans)]
    chosen = [number for first, last in ends for number in range(first, last + 1)]
    return load_digits().images[chosen][:, None], load_digits().target[chosen]


@pytest.mark.slow
def test_the_program_alone_gives_the_accuracy_of_the_manifest_from_raw_inputs(bundle: Path, tmp_path: Path) -> None:
    images, labels = digits(bundle)
    np.savez(tmp_path / "data.npz", inputs=images, targets=labels)
    ran = alone(bundle, "--accuracy", str(tmp_path / "data.npz"), "--json")
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row["file"] for row in rows] == ["best.onnx", "best.tflite"], ran.stderr
    for row in rows:
        assert row["value"] == pytest.approx(row["manifest"], abs=1e-9)
        assert (row["samples"], row["value"] > 0.5) == (len(labels), True)
    ran = alone(bundle, "--selftest", "--json")
    assert (ran.returncode, [json.loads(line)["ok"] for line in ran.stdout.splitlines()]) == (0, [True, True])
    np.save(tmp_path / "one.npy", images[0, 0])
    ran = alone(bundle, str(tmp_path / "one.npy"), "--json")
    assert json.loads(ran.stdout)["class"] == str(labels[0])


@pytest.mark.slow
def test_the_program_names_what_it_cannot_use(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    np.save(tmp_path / "bad.npy", np.zeros((2, 2, 2, 2, 2)))
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "bright.png")
    np.savez(tmp_path / "no_targets.npz", inputs=np.zeros((1, 1, 8, 8)))
    for arguments in (
        ["missing.png"], [str(tmp_path / "bad.png")], [str(tmp_path / "bad.npy")], [str(tmp_path / "bright.png")],
        ["--model", "none.onnx"], ["--accuracy", "none.npz"], ["--accuracy", str(tmp_path / "no_targets.npz")], [],
    ):  # fmt: skip
        ran = alone(bundle, *arguments)
        assert (ran.returncode, "Traceback" in ran.stderr, "  next:" in ran.stderr) == (2, False, True), arguments


def facts_in(path: Path) -> dict[str, str]:
    """The facts in an ONNX or a TFLite file."""
    if path.suffix == ".onnx":
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    from ai_edge_litert import schema_py_generated

    model = schema_py_generated.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (index,) = (entry.buffer for entry in model.metadata if entry.name == ENTRY.encode())
    facts: dict[str, str] = json.loads(bytes(model.buffers[index].data))
    return facts


@pytest.mark.slow
def test_a_file_says_in_itself_what_it_is(bundle: Path) -> None:
    model = json.loads((bundle / "manifest.json").read_text())["models"][0]
    for name in ("best.onnx", "best.tflite"):
        facts = facts_in(bundle / name)
        assert (facts["model_id"], json.loads(facts["class_names"])) == (model["key"], model["classes"])
        assert json.loads(facts["mean"]) == model["preprocessing"]["mean"]
        assert json.loads(facts["preprocessing"]) == model["preprocessing"]


@pytest.mark.slow
def test_the_manifest_lists_every_file_and_the_card_tells_its_figures(bundle: Path) -> None:
    content = json.loads((bundle / "manifest.json").read_text())
    assert set(content["bundle"]["files"]) == {path.name for path in bundle.iterdir()} - {"manifest.json"}
    assert content["data"]["licence"] == "CC-BY-4.0"
    card = (bundle / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert (head["license"], head["pipeline_tag"]) == ("mit", "image-classification")
    value = content["models"][0]["test_top1"]["value"]
    assert head["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(value, abs=1e-4)
    assert f"{100 * value:.2f} %" in card
    for plot in ("plot-front.svg", "plot-recall.svg"):
        assert f"]({plot})" in card
        assert (bundle / plot).read_text().startswith("<svg")


@pytest.mark.slow
def test_a_card_that_was_edited_stays_and_a_signature_goes(bundle: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(bundle, tmp_path / "edge")
    for name, text in (("README.md", "mine"), ("bundle.sig", "old"), ("notes.txt", "mine")):
        (tmp_path / "edge" / name).write_text(text)
    with staged(tmp_path / "edge") as fresh:
        (fresh / "README.md").write_text("new")
    kept = {path.name: path.read_text() for path in (tmp_path / "edge").iterdir()}
    assert kept == {"README.md": "new", "own-1-README.md": "mine", "notes.txt": "mine"}


@pytest.mark.slow
def test_doctor_names_damaged_companions_and_notes_an_edited_card(bundle: Path) -> None:
    run, selftest, card = bundle.parents[1], bundle / "selftest.npz", bundle / "README.md"
    before = selftest.read_bytes(), card.read_bytes()
    selftest.write_bytes(before[0][:-1])
    card.write_bytes(before[1] + b"\n")
    issues = {Path(one.where).name: one.severity for one in pipeline.doctor(run).issues}
    selftest.write_bytes(before[0])
    card.write_bytes(before[1])
    assert issues == {"selftest.npz": "error", "README.md": "note"}
    assert pipeline.doctor(run).issues == ()
    assert {file.name for file in read_manifest(bundle / "manifest.json").companions} >= {"predict.py", "best.py"}
