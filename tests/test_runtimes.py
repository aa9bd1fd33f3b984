"""Runtimes: what they refuse, and that a loaded file is a function of its input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from hwnas.errors import ConfigError, ExportError, MissingExtra
from hwnas.export import format_of
from hwnas.runtimes import RUNTIMES, open_runtime

Files = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def relu_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The file of a ReLU on 2x3x4 images, by runtime and batch; each is made once."""
    folder = tmp_path_factory.mktemp("files")

    def file_of(runtime: str, batch: int) -> Path:
        path = folder / f"{runtime}-{batch}{format_of(runtime).suffix}"
        export = format_of(runtime).exporter
        return path if path.is_file() else export(nn.ReLU(), (2, 3, 4), path, batch=batch)

    return file_of


def test_a_runtime_says_what_it_is_valid_for() -> None:
    setup = open_runtime("onnxruntime", threads=2, batch=4, device="my board").setup
    assert (setup.device, setup.runtime, setup.threads, setup.precision, setup.batch) == (
        "my board", "onnxruntime", 2, "fp32", 4,
    )  # fmt: skip
    assert setup.runtime_version == sys.modules["onnxruntime"].__version__


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"name": "onnxruntim"}, "Did you mean `onnxruntime`"),
        ({"name": "onnxruntime", "precision": "fp16"}, "precision `fp16`"),
        ({"name": "tflite", "threads": 0}, "threads: 0"),
        ({"name": "onnxruntime", "batch": -1}, "batch: -1"),
    ],
)
def test_what_is_not_offered_is_refused(arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        open_runtime(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_any_number_of_images_keeps_its_order(name: str, batch: int, relu_files: Files) -> None:
    images = np.random.default_rng(1).standard_normal((7, 2, 3, 4)).astype(np.float32)
    outputs = open_runtime(name, batch=batch).load(relu_files(name, batch)).run(images)
    np.testing.assert_array_equal(outputs, np.maximum(images, 0))


@pytest.mark.parametrize("name", RUNTIMES)
def test_outputs_outlive_later_calls(name: str, relu_files: Files) -> None:
    loaded = open_runtime(name).load(relu_files(name, 1))
    ones = loaded.run(np.ones((1, 2, 3, 4), np.float32))
    loaded.run(np.full((1, 2, 3, 4), 5, np.float32))
    loaded.invoke()
    assert (ones == 1).all()


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_file_of_another_batch_is_refused(name: str, relu_files: Files) -> None:
    with pytest.raises(ExportError, match="batches of 1, the set-up is batch 3"):
        open_runtime(name, batch=3).load(relu_files(name, 1))


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("content", [None, b"", b"no model" * 50])
def test_an_unreadable_file_is_named(name: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExportError, match="cannot load the file") as caught:
        open_runtime(name).load(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("name", RUNTIMES)
def test_loading_and_running_print_nothing(name: str, relu_files: Files, capfd: pytest.CaptureFixture[str]) -> None:
    path = relu_files(name, 1)
    capfd.readouterr()
    open_runtime(name).load(path).invoke()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "packages", "command"),
    [
        ("onnxruntime", ["onnxruntime"], "pip install onnxruntime"),
        ("tflite", ["ai_edge_litert", "ai_edge_litert.interpreter"], r'pip install "hwnas\[tflite\]"'),
    ],
)
def test_a_missing_package_names_the_command(
    name: str, packages: list[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=command):
        open_runtime(name)


def test_tflite_runtime_serves_where_litert_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").touch()
    (tmp_path / "tflite_runtime" / "interpreter.py").write_text("class Interpreter: ...")
    (tmp_path / "tflite_runtime-2.14.0.dist-info").mkdir()
    (tmp_path / "tflite_runtime-2.14.0.dist-info" / "METADATA").write_text("Name: tflite-runtime\nVersion: 2.14.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    for package in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, package, None)
    assert open_runtime("tflite").setup.runtime_version == "tflite-runtime 2.14.0"
