"""Bundles checked again: damage by its own finding, the gate, signatures, load, fuzzed manifests and archives."""

from __future__ import annotations

import inspect
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hwnas import pipeline
from hwnas.cli import check
from hwnas.errors import ConfigError, RunError
from hwnas.export.manifest import MANIFEST, read_manifest
from hwnas.io.checksum import sealed
from hwnas.measure.timing import Measurement, Timing
from hwnas.tasks.metrics.paired import PairedCounts
from hwnas.verify.findings import KINDS, Verification
from hwnas.verify.gate import GateLimits
from hwnas.verify.latency import check_latency, ratio_of
from hwnas.verify.remote import program_rows
from hwnas.verify.scenarios import run_scenario
from tests.helpers.command_line import Call
from tests.helpers.deployments import write_deployment, write_linear
from tests.helpers.hand_made_bundles import (
    FILE,
    SHAPE,
    raw_inputs,
    reseal,
    targets,
    write_bundle,
    write_data,
    write_key_pair,
)
from tests.helpers.repository import REPOSITORY

Break = Callable[[Path], Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "edge")


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "edge"))


def kinds(folder: Path, **options: Any) -> set[str]:
    """Kinds of findings, none of which is a note."""
    (result,) = pipeline.verify(folder, latency=False, **options)
    assert result.ok == all(one.severity != "error" for one in result.findings)
    return {one.kind for one in result.findings if one.severity != "note"}


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest and give it the checksum that it then has."""
    path = folder / MANIFEST
    content = json.loads(path.read_text())
    del content["crc32"]
    change(content)
    path.write_text(json.dumps(sealed(content)))


def replaced(path: Path, at: int, value: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] = value
    path.write_bytes(content)


def model_of(content: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = content["models"][0]
    return model


def other_weights(folder: Path) -> None:
    """Replace the network by another of the same form, and make all sums fit."""
    model = model_of(json.loads((folder / MANIFEST).read_text()))
    write_linear(folder / FILE, SHAPE, batch=4, classes=5)
    content = bytearray((folder / FILE).read_bytes())
    place = content.index(np.random.default_rng(1).normal(size=(18, 5)).astype(np.float32).tobytes())
    content[place : place + 40] = bytes(40)
    (folder / FILE).write_bytes(content)
    reseal(folder, model)


def other_tests(folder: Path, **changes: Any) -> None:
    with np.load(folder / "selftest.npz") as opened:
        arrays = {name: opened[name] for name in opened.files}
    arrays = {name: changes.get(name.partition(":")[0], values) for name, values in arrays.items()}
    np.savez(folder / "selftest.npz", **{name: values for name, values in arrays.items() if values is not None})
    reseal(folder, model_of(json.loads((folder / MANIFEST).read_text())))


def resealed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Any:
    model = model_of(json.loads((folder / MANIFEST).read_text()))
    change(model)
    reseal(folder, model)


def as_folder(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / FILE).mkdir()


def as_link(folder: Path) -> None:
    shutil.move(folder / FILE, folder.parent / FILE)
    (folder / FILE).symlink_to(folder.parent / FILE)


DAMAGE: dict[str, tuple[Break, str]] = {
    "the manifest is edited": (
        lambda folder: (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace("0.75", "0.95", 1)),
        "manifest_edited",
    ),
    "the manifest is cut off": (
        lambda folder: (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:200]),
        "manifest_damaged",
    ),
    "the manifest lists no such thing": (
        lambda folder: edited(folder, lambda content: content.pop("models")),
        "manifest_damaged",
    ),
    "the manifest names a file elsewhere": (
        lambda folder: edited(folder, lambda content: model_of(content)["files"][0].update(name="../best.onnx")),
        "manifest_damaged",
    ),
    "a model file is gone": (lambda folder: (folder / FILE).unlink(), "file_missing"),
    "a model file is cut off": (
        lambda folder: (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-9]),
        "file_size",
    ),
    "a byte of a model file differs": (lambda folder: replaced(folder / FILE, 200, 7), "file_content"),
    "a byte of the program differs": (lambda folder: replaced(folder / "predict.py", 300, 90), "file_content"),
    "a model file is a folder": (
        as_folder,
        "file_is_no_file",
    ),
    "a model file is a link": (
        as_link,
        "file_is_a_link",
    ),
    "a file was added": (lambda folder: (folder / "more.onnx").write_bytes(b"1"), "file_unlisted"),
    "the card is edited": (lambda folder: (folder / "README.md").write_text("# Mine\n"), "card_edited"),
    "the self-test is gone": (lambda folder: (folder / "selftest.npz").unlink(), "selftest_damaged"),
    "the self-test is no archive": (
        lambda folder: ((folder / "selftest.npz").write_bytes(b"PK\3\4 nothing"), resealed(folder, lambda model: None)),
        "selftest_damaged",
    ),
    "the self-test lacks outputs": (lambda folder: other_tests(folder, outputs=None), "selftest_damaged"),
    "the self-test holds no number": (
        lambda folder: other_tests(folder, outputs=np.full((8, 5), np.nan, np.float32)),
        "selftest_differs",
    ),
    "the self-test is switched off": (
        lambda folder: resealed(folder, lambda model: model.pop("selftest")),
        "selftest_missing",
    ),
    "the network is another one": (other_weights, "selftest_differs"),
    "the preprocessing is another one": (
        lambda folder: resealed(folder, lambda model: model["preprocessing"]["steps"][0].update(by=127.5)),
        "selftest_differs",
    ),
    "the preprocessing is unknown": (
        lambda folder: resealed(folder, lambda model: model["preprocessing"]["steps"].append({"step": "whiten"})),
        "preprocessing_unknown",
    ),
    "the file is no network": (
        lambda folder: ((folder / FILE).write_bytes(b"no network"), resealed(folder, lambda model: None)),
        "file_refused",
    ),
    "no runtime runs it": (
        lambda folder: (
            resealed(folder, lambda model: model["files"][0].update(format="tflite")),
            sys.modules.update({"ai_edge_litert.interpreter": None, "tflite_runtime.interpreter": None}),  # type: ignore[dict-item]
        ),
        "runtime_missing",
    ),
}


def test_a_bundle_as_it_was_exported_is_sound(bundle: Path) -> None:
    assert kinds(bundle) == set()


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_has_a_finding_of_its_own(name: str, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, module, sys.modules.get(module, sys))
    damage, kind = DAMAGE[name]
    damage(bundle)
    assert kind in kinds(bundle), name


def test_each_kind_of_finding_says_what_to_do() -> None:
    assert all(severity in ("error", "warning", "note") and len(do) > 15 for severity, do in KINDS.values())


def test_quality_is_that_of_the_manifest(bundle: Path, tmp_path: Path) -> None:
    inputs = raw_inputs()
    data = write_data(tmp_path / "data.npz", inputs, targets(inputs))
    (result,) = pipeline.verify(bundle, data=data, latency=False)
    assert result.measured["quality"][FILE]["value"] == pytest.approx(0.75)
    assert result.ok
    worse = write_data(tmp_path / "worse.npz", inputs, targets(inputs, 0.5))
    assert kinds(bundle, data=worse) == {"quality_lower"}


@pytest.mark.parametrize("content", [b"nothing", None])
def test_data_that_cannot_be_used_are_refused(bundle: Path, tmp_path: Path, content: bytes | None) -> None:
    data = tmp_path / "data.npz"
    if content is None:
        np.savez(data, inputs=raw_inputs())
    else:
        data.write_bytes(content)
    with pytest.raises(ConfigError, match="the data cannot be used"):
        pipeline.verify(bundle, data=data)


def test_the_gate_finds_a_drop_that_is_more_than_chance(bundle: Path, whole: Path, tmp_path: Path) -> None:
    inputs = raw_inputs(400)
    data = write_data(tmp_path / "data.npz", inputs, targets(inputs, 1.0))
    assert kinds(bundle, against=whole, data=data) == set()
    other_weights(bundle)
    assert "quality_dropped" in kinds(bundle, against=whole, data=data)
    assert "quality_dropped" not in kinds(bundle, against=whole, data=data, limits=GateLimits(drop=1.0))


def test_the_gate_finds_a_larger_file(bundle: Path, whole: Path) -> None:
    (bundle / FILE).write_bytes((bundle / FILE).read_bytes() + bytes(100))
    resealed(bundle, lambda model: None)
    assert "larger" in kinds(bundle, against=whole)
    assert "larger" not in kinds(bundle, against=whole, limits=GateLimits(growth=1.0))


def test_a_gate_needs_files_of_one_name(bundle: Path, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other")
    (other / FILE).rename(other / "knee.onnx")
    edited(other, lambda content: model_of(content)["files"][0].update(name="knee.onnx"))
    assert "files_not_shared" in kinds(bundle, against=other)


def test_ten_percent_are_seen_and_nothing_is_not() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        spells = np.where(rng.random(60) < 0.3, 1.5, 1.0)  # of the machine: both files meet them
        one, same, slow = (
            Measurement(tuple(1e6 * factor * spells * np.exp(0.02 * rng.normal(size=60)))) for factor in (1, 1, 1.1)
        )
        assert ratio_of(same, one, 6).low < 1.05
        assert ratio_of(slow, one, 6).low > 1.05


def test_mcnemar_is_exact() -> None:
    assert PairedCounts(5, 0, 100).p_value == pytest.approx(2 * 0.5**5)
    assert PairedCounts(3, 3, 100).p_value == 1.0


def test_a_file_that_became_slower_is_told_on_the_same_machine(tmp_path: Path) -> None:
    folder, result = write_bundle(tmp_path / "edge", latency_ms=1e-6), Verification("edge")
    manifest = read_manifest(folder / MANIFEST)
    check_latency(folder, manifest, result, timing=Timing(rounds=3, processes=1, warm_up_ms=0, min_sample_ms=0.1))
    assert [one.kind for one in result.findings] == ["slower_than_exported"]


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline", "sustained"])
def test_scenarios_judge_a_clock(scenario: str) -> None:
    now = 0.0

    def call() -> None:
        nonlocal now
        now += 0.004

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    done = run_scenario(scenario, call, 4, seconds=2.0, clock=lambda: now, sleep=sleep)
    wanted = {"single_stream": 4.0, "multi_stream": 8.0, "offline": 1000.0, "sustained": 1.0}
    if scenario == "server":
        assert 4.0 <= done.details["p50_ms"] <= done.result < 40.0
    else:
        assert done.result == pytest.approx(wanted[scenario])


@pytest.mark.parametrize(
    "options", [{"rate": 1e6}, {"rate": float("nan")}, {"rate": -1.0}, {"seconds": float("inf")}, {"seconds": 0.0}]
)
def test_a_load_without_an_end_is_refused(options: dict[str, float]) -> None:
    now = 0.0

    def call() -> None:
        nonlocal now
        now += 0.004
        assert now < 100, "it goes on for ever"

    with pytest.raises(ConfigError, match=next(iter(options))):
        run_scenario("server", call, 1, **{"seconds": 1.0, **options}, clock=lambda: now, sleep=lambda seconds: None)


def test_rows_of_a_program_that_prints_other_things_are_refused() -> None:
    with pytest.raises(RunError, match="something else than its rows"):
        list(program_rows(0, '{"file": "a"}\nwarning: old runtime\n', "", python="python3", where="board"))


def test_an_unknown_scenario_is_refused(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="is no scenario"):
        pipeline.put_under_load(bundle, "onstream", seconds=0.1)


def test_signed_bundles_refuse_changes(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    key, public = write_key_pair(tmp_path, "own")
    pipeline.sign(bundle, key)
    assert kinds(bundle, key=public) == set()
    _, stranger = write_key_pair(tmp_path, "stranger")
    assert kinds(bundle, key=stranger) == {"signature_of_another_key"}
    (bundle / "README.md").write_text("# Mine\n")
    assert "signature_of_other_files" in kinds(bundle, key=public)
    (bundle / "bundle.sig").write_text("{}")
    assert "signature_damaged" in kinds(bundle, key=public)
    (bundle / "bundle.sig").unlink()
    assert "signature_missing" in kinds(bundle, key=public)


def test_a_damaged_bundle_is_not_signed(bundle: Path, tmp_path: Path) -> None:
    replaced(bundle / FILE, 200, 7)
    with pytest.raises(RunError, match="the bundle is damaged"):
        pipeline.sign(bundle, write_key_pair(tmp_path, "own")[0])


def test_a_key_that_is_none_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("secret")
    with pytest.raises(ConfigError, match="the key cannot be used"):
        pipeline.sign(bundle, tmp_path / "key.pem")


def test_the_command_tells_and_its_exit_code_says(bundle: Path, hwnas: Call) -> None:
    done = hwnas("verify", str(bundle), "--no-latency", "--json")
    assert (done.code, json.loads(done.out)["ok"], json.loads(done.out)["findings"]) == (0, True, [])
    (bundle / FILE).unlink()
    done = hwnas("verify", str(bundle), "--no-latency", "--json")
    told = json.loads(done.out)
    assert (done.code, told["ok"], told["findings"][0]["kind"]) == (1, False, "file_missing")
    assert hwnas("verify", str(bundle.parent / "nothing")).code == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--rate", "5"), "`--rate` is given without --scenario"),
        (("--scenario", "offline", "--key", "key.pub"), "`--key` is given with --scenario"),
        (("--scenario", "offline", "--against-python", "python3"), "`--against-python` is given with --scenario"),
        (("--host", "pi@board", "--against", "old"), "--host and --against exclude each other"),
    ],
)
def test_options_that_say_nothing_are_refused(
    options: tuple[str, ...], problem: str, bundle: Path, hwnas: Call
) -> None:
    done = hwnas("verify", str(bundle), *options)
    assert (done.code, done.err.splitlines()[0]) == (2, f"error: {problem}")


def test_a_deployment_is_checked(tmp_path: Path) -> None:
    folder = write_deployment(tmp_path / "plan")
    assert kinds(folder) == set()
    replaced(folder / "cloud" / "cloud.onnx", 100, 7)
    assert kinds(folder) == {"file_content"}
    plan = folder / "cloud" / "plan.json"
    plan.write_text(plan.read_text().replace("wifi", "lte"))
    assert kinds(folder) == {"plan_damaged"}


def test_the_workflow_of_the_page_is_yaml_with_options_that_exist() -> None:
    page = (REPOSITORY / "docs" / "how-to" / "verify.md").read_text(encoding="utf-8")
    workflow = yaml.safe_load(
        next(block for block in page.split("```text\n") if block.startswith("name: gate")).split("```")[0]
    )
    (line,) = (step["run"] for step in workflow["jobs"]["gate"]["steps"] if "hwnas verify" in step.get("run", ""))
    known = {f"--{name.replace('_', '-')}" for name in inspect.signature(check.verify).parameters} | {"--json"}
    assert {word for word in line.split() if word.startswith("--")} <= known


def mutated(rng: random.Random, value: Any) -> Any:
    """Return JSON with one part replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        return [*value[:place], mutated(rng, value[place]), *value[place + 1 :]]
    return rng.choice([None, -1, 0, 1e308, "", "../../etc/passwd", "\x00", [], {}, [[]], True, 2**70, "a" * 5000])


def test_fuzzed_manifests_never_end_in_a_traceback(bundle: Path) -> None:
    text, before = json.loads((bundle / MANIFEST).read_text()), sorted(bundle.parent.rglob("*"))
    del text["crc32"]
    for seed in range(300):
        other = mutated(random.Random(seed), text)
        (bundle / MANIFEST).write_text(json.dumps(sealed(other) if isinstance(other, dict) else other))
        try:
            pipeline.verify(bundle, latency=False)
        except ConfigError:
            continue
    assert sorted(bundle.parent.rglob("*")) == before


def test_fuzzed_archives_never_end_in_a_traceback(bundle: Path) -> None:
    content = (bundle / "selftest.npz").read_bytes()
    for seed in range(100):
        rng = random.Random(seed)
        broken = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (bundle / "selftest.npz").write_bytes(broken[: rng.randrange(1, len(broken) + 1)])
        pipeline.verify(bundle, latency=False)
