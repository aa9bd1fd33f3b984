"""Laws of bundles: a manifest and a file are enough, damage is seen, and an earlier bundle stays until the next is."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwnas import pipeline
from hwnas.commands import export as exporting
from hwnas.errors import DiskError, ExportError, RunError
from hwnas.export.manifest import damage, read_manifest, write_manifest
from hwnas.export.staging import earlier_folder, fresh_folder, is_exported, staged
from hwnas.workspace.progress import NullReporter
from hwnas.workspace.results.bundles import bundle_ailments, open_bundle
from hwnas.workspace.workspace import open_run
from tests.helpers.exported import exported

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "few", ignore=shutil.ignore_patterns("artifacts"))
    return tmp_path / "few"


@pytest.fixture
def bundle(run: Path) -> Path:
    return run / "bundle" / "edge"


# --- what a manifest tells is enough ---


def numbers(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def prepared(raw: Array, steps: list[dict[str, Any]]) -> Array:
    """(N, C, H, W) as the manifest's steps say, for steps that are arithmetic."""
    images = raw
    for step in steps:
        if step["step"] == "multiply":
            images = images * step["by"]
        elif step["step"] == "divide":
            images = images / step["by"]
        elif step["step"] == "round":
            images = np.rint(images)
        elif step["step"] == "normalise":
            mean, std = (np.reshape(step[name], (-1, 1, 1)) for name in ("mean", "std"))
            images = (images - mean) / std
        else:
            raise AssertionError(step)
    return images.astype(np.float32)


def ran(path: Path, given: dict[str, Any], taken: dict[str, Any], batch: Array) -> Array:
    """What a file gives for a batch, by its runtime alone."""
    if path.suffix == ".onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).run([taken["name"]], {given["name"]: batch})[0]
    if path.suffix == ".pt2":
        import torch

        return torch.export.load(path).module()(torch.from_numpy(batch)).detach().numpy()
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    place = {
        port["name"]: port["index"] for port in [*interpreter.get_input_details(), *interpreter.get_output_details()]
    }
    interpreter.set_tensor(place[given["name"]], batch)
    interpreter.invoke()
    return interpreter.get_tensor(place[taken["name"]])


def top1(path: Path, file: dict[str, Any], images: Array, labels: NDArray[np.int64]) -> float:
    (given,), (taken,) = file["inputs"], file["outputs"]
    turned = np.ascontiguousarray(images.transpose(["NCHW".index(axis) for axis in given["layout"]]))
    right = 0
    for start in range(0, len(turned), file["batch"]):
        part = turned[start : start + file["batch"]]
        filled = np.resize(part, (file["batch"], *part.shape[1:])).astype(given["dtype"])
        assert list(filled.shape) == given["shape"]
        logits = ran(path, given, taken, filled)
        assert (list(logits.shape), logits.dtype) == (taken["shape"], taken["dtype"])
        right += int((logits[: len(part)].argmax(1) == labels[start : start + file["batch"]]).sum())
    return right / len(labels)


@pytest.mark.slow
def test_each_claimed_test_accuracy_is_repeated_from_manifest_file_and_raw_data(bundle: Path) -> None:
    from sklearn.datasets import load_digits

    manifest = json.loads((bundle / "manifest.json").read_text())
    raw, told = load_digits(), manifest["test_images"]
    assert (told["pool"], told["pool_images"]) == ("train", len(raw.images))
    chosen = list(numbers(told["indices"]))
    assert len(chosen) == told["images"] == len(set(chosen))
    files = [(model, file) for model in manifest["models"] for file in model["files"]]
    assert {file["format"] for _, file in files} == {"onnx", "tflite", "pt2"}
    for model, file in files:
        preprocessing = model["preprocessing"]
        assert preprocessing["pixels"] == {"range": [raw.images.min(), raw.images.max()], "colour": "grey"}
        images = prepared(raw.images[chosen][:, None], preprocessing["steps"])
        repeated = top1(bundle / file["name"], file, images, raw.target[chosen])
        assert repeated == pytest.approx(file["test_top1"], abs=1e-9), file["name"]
        assert file["test_top1"] > 0.5, "so that a wrong preprocessing would show"
        assert model["classes"] == [str(number) for number in range(10)]


# --- damage ---


def errors(run: Path) -> list[str]:
    return [f"{one.where}: {one.problem}" for one in pipeline.doctor(run).issues if one.severity == "error"]


@pytest.mark.slow
def test_a_sound_bundle_is_sound(run: Path, bundle: Path) -> None:
    examined = pipeline.doctor(run)
    assert examined.issues == ()
    (line,) = [what for what in examined.examined if what.startswith(str(bundle))]
    assert re.fullmatch(r".*manifest.json: [36] model files", line)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": (flipped, "another SHA-256"),
    "a byte more": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "bytes, the manifest lists"),
    "gone": (lambda path: path.unlink(), "it is gone"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "it is no file"),
    "not listed": (lambda path: shutil.copy(path, path.with_name("knee.onnx")), "does not list"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGE)
def test_doctor_finds_damaged_files(kind: str, run: Path, bundle: Path) -> None:
    change, word = DAMAGE[kind]
    change(bundle / "best.onnx")
    (found,) = errors(run)
    assert word in found
    assert found.startswith(str(bundle / ("knee.onnx" if kind == "not listed" else "best.onnx")))


@pytest.mark.slow
def test_a_file_of_the_users_own_beside_a_bundle_is_at_most_a_note(run: Path, bundle: Path) -> None:
    (bundle / "mine.txt").touch()
    (bundle / "mine.onnx").touch()
    assert [(one.severity, Path(one.where).name) for one in pipeline.doctor(run).issues] == [("note", "mine.onnx")]


@pytest.mark.slow
def test_files_without_their_manifest_are_found(run: Path, bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    (found,) = errors(run)
    assert "model files have no manifest" in found


def paths_of(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield from paths_of(inner, (*at, key))


def changed(content: dict[str, Any], at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at a place; without the place if the value is `...`."""
    twin = json.loads(json.dumps(content))
    inner = twin
    for key in at[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return twin


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES := [..., None, {}, "x", 2.5], ids=str)
def test_any_change_of_a_manifest_is_seen_by_its_checksum(value: Any, bundle: Path, tmp_path: Path) -> None:
    """Each place is changed once, and each of the values is tried at every fifth of them."""
    content = json.loads((bundle / "manifest.json").read_text())
    read_manifest(bundle / "manifest.json")
    path = tmp_path / "manifest.json"
    for at in list(paths_of(content))[VALUES.index(value) :: len(VALUES)]:
        other = changed(content, at, value)
        if other in (content, {name: content[name] for name in content if name != "crc32"}):
            continue
        path.write_text(json.dumps(other))
        with pytest.raises(RunError, match="the manifest is damaged: "):
            read_manifest(path)


@pytest.mark.slow
@pytest.mark.parametrize("value", [..., None, [], {}, "x", "../x"], ids=str)
def test_without_a_checksum_a_field_of_another_kind_is_named(value: Any, bundle: Path) -> None:
    content = json.loads((bundle / "manifest.json").read_text())
    del content["crc32"]
    for at in (("models", 0, "files", 0, name) for name in ("name", "bytes", "sha256", "test_top1", "latency_ms")):
        if at[-1] in ("name", "sha256") and value == "x":
            continue  # another text is a name as well; the files tell
        if at[-1] == "sha256" and isinstance(value, str):
            continue
        (bundle / "manifest.json").write_text(json.dumps(changed(content, at, value)))
        with pytest.raises(RunError, match=rf"`models\[0\]\.files\[0\]\.{at[-1]}` is"):
            read_manifest(bundle / "manifest.json")


@pytest.mark.slow
def test_doctor_and_report_never_trace_back_over_a_manifest_that_is_valid_but_for_one_thing(
    run: Path, bundle: Path
) -> None:
    content, opened = json.loads((bundle / "manifest.json").read_text()), open_run(run)
    del content["crc32"]
    values = (..., None, [], {}, [[]], [{}], "", "x", -1, 1.5, True, 10**400, "a\0b", "\ud800", "x" * 5000, "..")
    places = [at for at in paths_of(content) if at[0] != "experiment"]
    rng = random.Random(0)
    for _ in range(300):
        at = rng.choice(places)
        (bundle / "manifest.json").write_text(json.dumps(changed(content, at, rng.choice(values))))
        assert all(str(ailment).encode() for ailment in bundle_ailments(opened, []))
        held = open_bundle(bundle)
        assert (held.manifest is None) is ("manifest.json" in held.wrong)
        assert all(model.key.encode() for model in held.models)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{", "", "[]", "null", "1", '{"a": NaN}', "[" * 100_000, "\udcff"], ids=repr)
def test_what_is_no_manifest_is_found_and_told_on_the_page(text: str, run: Path, bundle: Path) -> None:
    (bundle / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    (found,) = errors(run)
    assert found.startswith(f"{bundle / 'manifest.json'}: the manifest is damaged: ")
    assert "JSONDecodeError" not in found


@pytest.mark.slow
def test_the_page_names_damaged_files_and_does_not_show_them_as_good(run: Path, bundle: Path) -> None:
    flipped(bundle / "best.onnx")
    page = pipeline.report(run).read_text(encoding="utf-8")
    listed = {file.name: file.sha256 for file in read_manifest(bundle / "manifest.json").files}
    assert "best.onnx of the bundle is damaged" in page
    assert listed["best.onnx"] not in page
    assert listed["best.tflite"] in page
    (bundle / "manifest.json").write_text("{")
    page = pipeline.report(run).read_text(encoding="utf-8")
    assert "manifest.json of the bundle is damaged" in page
    assert listed["best.tflite"] not in page


def test_manifests_of_earlier_versions_are_read() -> None:
    for path in sorted((Path(__file__).parent.parent / "docs" / "results").glob("*/manifest_*.json")):
        manifest = read_manifest(path)
        assert manifest.files
        assert set(damage(manifest).values()) == {"it is gone"}


# --- an earlier bundle stays until the next one is whole ---


class Telling(NullReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("error", [ExportError("no", where="x", allowed="y", do="z"), KeyboardInterrupt()], ids=repr)
def test_a_refused_export_says_what_was_damaged_and_leaves_the_earlier_bundle(
    error: BaseException, run: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flipped(bundle / "best.onnx")
    before, reporter = contents(bundle), Telling()

    def refuse(run: object, found: Any, *rest: object) -> None:
        (found.folder / "best.onnx").write_bytes(b"half")
        raise error

    monkeypatch.setattr(exporting, "_export_models", refuse)
    with pytest.raises(type(error)):
        pipeline.export(run, reporter=reporter)
    assert contents(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["edge"]
    assert any("best.onnx of the earlier export was damaged" in line for line in reporter.lines)


def whole(folder: Path, what: str) -> None:
    """A bundle of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best.onnx").write_text(what)
    (folder / "manifest.json").write_text(what)


KILLED = """\
import os, shutil, signal, sys
from pathlib import Path
from hwnas.export.staging import staged

left = int(sys.argv[2])

def counted(function):
    def count(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return count

for name in ("rename", "fsync", "mkdir"):
    setattr(os, name, counted(getattr(os, name)))
shutil.rmtree = counted(shutil.rmtree)
with staged(Path(sys.argv[1])) as fresh:
    (fresh / "best.onnx").write_text("new")
    counted(int)()
    (fresh / "manifest.json").write_text("new")
"""


def killed(folder: Path, after: int) -> int:
    """Exchange a bundle in another process, which is killed after so many calls of the system."""
    return subprocess.run([sys.executable, "-c", KILLED, str(folder), str(after)], check=False).returncode


def test_a_killed_export_leaves_one_whole_bundle_and_the_next_one_puts_things_right(tmp_path: Path) -> None:
    met, after = set[str](), 0
    while True:
        top = tmp_path / str(after)
        folder = top / "edge"
        whole(folder, "old")
        (folder / "mine.txt").write_text("mine")
        code = killed(folder, after)
        assert code in (0, -signal.SIGKILL)
        if folder.exists():
            states = {(folder / name).read_text() for name in ("best.onnx", "manifest.json")}
            assert len(states) == 1, "a bundle is of one export"
            met |= states
        else:
            assert (earlier_folder(folder) / "manifest.json").read_text() == "old"
            met.add("none")
        with staged(folder) as fresh:
            whole(fresh, "newest")
        assert {name: text.decode() for name, text in contents(folder).items()} == {
            "best.onnx": "newest", "manifest.json": "newest", "mine.txt": "mine",
        }  # fmt: skip
        assert [path.name for path in top.iterdir()] == ["edge"]
        if code == 0:
            break
        after += 1
    assert met == {"old", "new", "none"}
    assert after > 5


@pytest.mark.slow
def test_what_a_killed_export_left_is_a_note(run: Path, bundle: Path) -> None:
    whole(fresh_folder(bundle), "half")
    (note,) = pipeline.doctor(run).issues
    assert (note.severity, note.where) == ("note", str(fresh_folder(bundle)))
    shutil.rmtree(fresh_folder(bundle))
    bundle.rename(earlier_folder(bundle))
    (note,) = pipeline.doctor(run).issues
    assert (note.severity, "puts it back" in note.do) == ("note", True)


def test_a_bundle_that_cannot_be_exchanged_is_told_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "edge").write_text("a file")
    with pytest.raises(ExportError, match="the bundle cannot be written") as caught, staged(tmp_path / "edge") as fresh:
        whole(fresh, "new")
    assert caught.value.where == str(tmp_path / "edge")
    assert [path.name for path in tmp_path.iterdir()] == ["edge"]
    with pytest.raises(ExportError, match="the manifest cannot be written"):
        write_manifest(tmp_path / "edge" / "manifest.json", {})


def written_on_a_full_disk(path: Path) -> None:
    path.with_name(f".{path.name}.{os.getpid()}.part").symlink_to("/dev/full")  # where it is written first
    write_manifest(path, {})


def test_a_full_disk_and_a_folder_that_cannot_be_written_are_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "edge"
    whole(folder, "old")
    before = contents(folder)
    with pytest.raises(DiskError, match="No space left on device") as caught, staged(folder) as fresh:
        written_on_a_full_disk(fresh / "manifest.json")
    assert caught.value.where == str(folder / "manifest.json")

    def refuse(path: Any, *rest: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    for name in ("mkdir", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(DiskError, match="Read-only file system"), staged(folder):
                pass
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["edge"]


def test_errors_name_the_bundle_and_not_the_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught, staged(tmp_path / "edge") as fresh:
        raise ExportError("it differs", where=str(fresh / "best.onnx"), allowed="x", do="y")
    assert caught.value.where == str(tmp_path / "edge" / "best.onnx")


def test_names_of_exports_are_told_from_the_users() -> None:
    ours = (
        "manifest.json",
        "best.onnx",
        "knee.tflite",
        "cluster-3-1.pt2",
        ".best.onnx.12.tmp",
        ".manifest.json.12.part",
    )
    assert all(map(is_exported, ours))
    assert not any(map(is_exported, ("mine.onnx", "best.txt", "best", "best.onnx.bak", ".mine.onnx.12.tmp")))


@pytest.mark.slow
def test_the_test_accuracy_stands_beside_validation_where_a_front_is_shown(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    exported = {model["key"]: model["test_top1"]["value"] for model in manifest["models"]}
    (tier,) = [one for one in pipeline.fronts(bundle.parents[1]) if one.name == bundle.name]
    shown = {point.key: point.test_accuracy for point in tier.front}
    assert {key: shown[key] for key in exported} == exported
    assert {shown[key] for key in shown.keys() - exported.keys()} <= {None}
