"""The main job, end to end in miniature, and what must not happen on the way."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas import pipeline
from hwnas.accuracy.inherited import InheritedAccuracy
from hwnas.commands.search import TierSearch, explain_empty_front
from hwnas.config import read_experiment
from hwnas.errors import ConfigError, DataError, ExportError, HwnasError, RunError, SpaceError, TableError
from hwnas.io.checksum import unsealed
from hwnas.io.locks import RunLock
from hwnas.measure.table import read_table
from hwnas.pareto import Tier
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import read_front
from hwnas.search.progress import Finished
from hwnas.selection import choose
from hwnas.space import Architecture
from hwnas.workspace.folder import locked, resolved_experiment
from hwnas.workspace.progress import Bar, NullReporter
from hwnas.workspace.workspace import open_run
from tests.helpers.experiments import EXPERIMENT, FEW, MANY, edited, written
from tests.helpers.narration import Telling, printed


def digest(folder: Path, *patterns: str) -> dict[str, str]:
    """What the files hold, by name."""
    found = (path for pattern in patterns for path in folder.glob(pattern))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


# --- all of it, on both runtimes ---


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    top = tmp_path_factory.mktemp("whole")
    tiers = {"edge": {"setup": "phone", "limits": {"params": 10_000, "file_kib": 100}}, "cloud": {"setup": "server"}}
    setups = {"phone": {"runtime": "tflite"}, "server": {"runtime": "onnxruntime", "batch": 4}}
    path = written(top, FEW, setups=setups, tiers=tiers, search={"trials": 4})
    outcome = pipeline.run(path, runs=top / "runs")
    assert outcome.folder == top / "runs" / "mini"
    return outcome.folder


@pytest.mark.slow
def test_the_files_have_their_fixed_names(whole: Path) -> None:
    for name in ("experiment.yaml", "scores.jsonl", "report.html"):
        assert (whole / name).is_file(), name
    for tier in ("edge", "cloud"):
        for name in (f"study-{tier}.log", f"fronts/{tier}.json", f"fronts/{tier}.csv", f"bundle/{tier}/manifest.json"):
            assert (whole / name).is_file(), name
    assert not [path.name for path in whole.rglob("*") if path.suffix in (".part", ".tmp")]


@pytest.mark.slow
def test_the_resolved_experiment_is_the_experiment(whole: Path) -> None:
    given, kept = read_experiment(whole.parent.parent / "mini.yaml"), read_experiment(whole / "experiment.yaml")
    assert (kept.space, kept.base) == ("space.yaml", str(whole.parent.parent))
    assert kept.model_copy(update={"base": None}) == given


@pytest.mark.slow
def test_fronts_are_lists_of_networks_with_their_scores(whole: Path) -> None:
    for tier, setup in (("edge", "phone"), ("cloud", "server")):
        front = json.loads((whole / "fronts" / f"{tier}.json").read_text())
        assert front
        metrics = {"params", "macs", "activation_kib", f"latency_ms@{setup}", f"file_kib@{setup}", "top1@inherited"}
        for point in front:
            assert point["key"] == Architecture.from_dict(point["architecture"]).key
            assert point["scores"].keys() == metrics == point["origin"].keys()
            assert point["measured"].keys() == {f"latency_ms@{setup}"}
            assert 0 <= point["scores"]["top1@inherited"] <= 1
        named = [pick for point in front for pick in point["picks"]]
        assert sorted(named) == ["best", "fastest", "knee"]
        accuracies = [point["scores"]["top1@inherited"] for point in front]
        assert accuracies == sorted(accuracies), "a front by rising latency rises in accuracy"


@pytest.mark.slow
def test_bundles_hold_checked_files_and_say_all_about_them(whole: Path) -> None:
    for tier in ("edge", "cloud"):
        folder = whole / "bundle" / tier
        manifest = json.loads((folder / "manifest.json").read_text())
        listed = {file["name"] for model in manifest["models"] for file in model["files"]}
        assert {path.name for path in folder.iterdir()} == manifest["bundle"]["files"].keys() | {"manifest.json"}
        assert listed <= manifest["bundle"]["files"].keys()
        assert {Path(name).suffix for name in listed} == {".onnx", ".tflite"}
        assert sorted(pick for model in manifest["models"] for pick in model["picks"]) == ["best", "fastest", "knee"]
        assert {"python", "torch", "hwnas"} <= manifest["versions"].keys()
        assert (manifest["experiment"]["name"], manifest["experiment"]["base"]) == ("mini", None)
        for model in manifest["models"]:
            assert model["test_top1"]["origin"] == "measured"
            for file in model["files"]:
                content = (folder / file["name"]).read_bytes()
                assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
                assert file["max_difference"] <= 1e-4
                assert file["top1_agreement"] == 1
                assert file["test_top1"] == model["test_top1"]["value"]
                assert 0 < file["latency_ms"] <= file["latency_median_ms"]
                assert file["batch"] == {"edge": 1, "cloud": 4}[tier]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["", "bundle/edge"], ids=["runs", "bundles"])
def test_two_runs_or_bundles_are_a_page_whose_columns_have_names(whole: Path, tmp_path: Path, part: str) -> None:
    page, name = tmp_path / "compared.html", str(whole / part)
    pipeline.write_comparison(pipeline.compare(name, name), (name, name), page)
    text = page.read_text("utf-8").partition("<main")[2]
    assert "</table>" in text
    assert "></button>" not in text, "a header without a name cannot be read aloud"
    assert "`" not in text.partition("<script")[0]


METADATA_BYTES = 1500
"""What class names, preprocessing and the network's id take in a file at most, beside what is predicted."""


@pytest.mark.slow
def test_predicted_file_sizes_are_those_of_the_bundle(whole: Path) -> None:
    for tier, setup, suffix in (("edge", "phone", ".tflite"), ("cloud", "server", ".onnx")):
        for model in json.loads((whole / "bundle" / tier / "manifest.json").read_text())["models"]:
            (real,) = (file["bytes"] for file in model["files"] if file["name"].endswith(suffix))
            predicted = model["scores"][f"file_kib@{setup}"]["value"] * 1024
            assert 0.9 * real - METADATA_BYTES < predicted < 1.1 * real


@pytest.mark.slow
def test_tiers_share_accuracies(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "scores.jsonl").read_text().splitlines()]
    assert len({line["key"] for line in lines}) == len(lines) == 4
    assert {line["metric"] for line in lines} == {"top1@inherited"}


@pytest.mark.slow
def test_the_report_names_tiers_and_networks(whole: Path) -> None:
    page = (whole / "report.html").read_text(encoding="utf-8")
    for tier in ("edge", "cloud"):
        assert all(point.architecture.key in page for point in read_front(whole / "fronts" / f"{tier}.json"))


@pytest.mark.slow
def test_a_second_run_does_nothing_twice(
    whole: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Through the command line, which prints one JSON document and nothing else on standard output."""
    kept = ("scores.jsonl", "latency/*", "train/*", "artifacts/*/*", "fronts/*", "space.yaml", "experiment.yaml")
    before = digest(whole, *kept)

    def refuse(*given: Any) -> float:
        raise AssertionError("it was done before")

    monkeypatch.setattr(sys.modules["hwnas.supernet.training.epoch"], "take_step", refuse)
    monkeypatch.setattr(InheritedAccuracy, "__call__", refuse)
    monkeypatch.setattr("hwnas.measure.session.time_files", refuse)
    found = json.loads(printed("run", str(whole), "--json", monkeypatch=monkeypatch, capfd=capfd))
    assert digest(whole, *kept) == before
    assert found["tiers"].keys() == {"edge", "cloud"}
    assert found["tiers"]["edge"]["trials"] == 4
    assert Path(found["report"]) == whole / "report.html"


@pytest.mark.slow
def test_fronts_are_shown(whole: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    keys = {
        tier: [p.architecture.key for p in read_front(whole / "fronts" / f"{tier}.json")] for tier in ("edge", "cloud")
    }
    found = json.loads(printed("show", str(whole), "--json", monkeypatch=monkeypatch, capfd=capfd))
    assert {tier: [point["key"] for point in points] for tier, points in found.items()} == keys
    out = printed("show", str(whole), monkeypatch=monkeypatch, capfd=capfd)
    assert "File size ≤ 100 KiB" in out
    assert all(key in out for tier in keys.values() for key in tier)


# --- from here on ONNX Runtime alone, which is quick ---


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is timed and trained, and not searched; tests work on copies."""
    top = tmp_path_factory.mktemp("trained")
    path = written(top)
    pipeline.bench(path, runs=top)
    history = pipeline.train(path, runs=top)
    assert len(history) == 2
    return top / "mini"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to work on."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def found(run: Path) -> list[tuple[str, dict[str, float]]]:
    return [(point.architecture.key, dict(point.scores)) for point in read_front(run / "fronts" / "cloud.json")]


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from hwnas import pipeline
from hwnas.workspace.folder import locked, resolved_experiment
from hwnas.workspace.progress import NullReporter

class Bar:
    def update(self, done, total, text=""):
        if done == 5:
            os.kill(os.getpid(), signal.SIGKILL)

class Fatal(NullReporter):
    @contextmanager
    def bar(self, title):
        yield Bar()

pipeline.search(sys.argv[1], reporter=Fatal())
"""


@pytest.mark.slow
def test_a_killed_search_continues_to_the_fronts_of_an_uninterrupted_one(
    run: Path, trained: Path, tmp_path: Path, repository: Path
) -> None:
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    (expected,) = pipeline.search(other)
    threads = str(torch.get_num_threads())  # sums in another order may differ in their last bit
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", KILLED, str(run)], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (run / "fronts").exists()
    assert len((run / "scores.jsonl").read_text().splitlines()) == 5
    (searched,) = pipeline.search(run)
    assert [e.architecture for e in searched.evaluations] == [e.architecture for e in expected.evaluations]
    assert [dict(e.scores) for e in searched.evaluations] == [dict(e.scores) for e in expected.evaluations]
    assert found(run) == found(other)
    (more,) = pipeline.search(run, trials=15)
    assert more.finished.trials == 15
    assert more.evaluations[:12] == searched.evaluations


def test_a_score_that_fails_is_recorded_and_the_search_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, largest = InheritedAccuracy.__call__, pipeline.open_run(run).space.largest()

    def fails(self: InheritedAccuracy, architecture: Architecture) -> float:
        if architecture == largest:
            raise RuntimeError("out of memory")
        return real(self, architecture)

    monkeypatch.setattr(InheritedAccuracy, "__call__", fails)
    (searched,) = pipeline.search(run)
    assert (searched.finished.trials, searched.finished.failed) == (12, 1)
    assert largest.key not in [key for key, _ in found(run)]
    (failure,) = [line for line in map(json.loads, (run / "scores.jsonl").read_text().splitlines()) if "failed" in line]
    assert (failure["key"], "out of memory" in failure["failed"]) == (largest.key, True)
    pipeline.report(run)
    assert "1 could not be scored" in (run / "report.html").read_text(encoding="utf-8")


DATA = """
import numpy as np
rng = np.random.default_rng(0)
labels = np.arange(600) % 10
images = rng.integers(0, 100, (600, 8, 8)).astype(np.uint8) + (labels * 15)[:, None, None].astype(np.uint8)

def data():
    return {"train": (images[:400], labels[:400]), "validation": (images[400:500], labels[400:500]),
            "test": (images[500:], labels[500:])}

def other_test():
    return {**data(), "test": (images[500:] // 3, labels[500:][::-1].copy())}
"""


@pytest.mark.slow
def test_test_images_are_of_no_account_to_the_search(tmp_path: Path) -> None:
    scores, tests = [], []
    for name in ("data", "other_test"):
        folder = tmp_path / name
        path = written(folder, data=f"data.py:{name}", search={"trials": 6}, export={"formats": ["onnx"]})
        (folder / "data.py").write_text(DATA)
        pipeline.run(path, runs=folder)
        lines = map(json.loads, (folder / "mini" / "scores.jsonl").read_text().splitlines())
        scores.append({line["key"]: line["value"] for line in lines})
        manifest = json.loads((folder / "mini" / "bundle" / "cloud" / "manifest.json").read_text())
        tests.append([model["test_top1"]["value"] for model in manifest["models"]])
    shared = scores[0].keys() & scores[1].keys()
    assert len(shared) >= 2
    assert {key: scores[0][key] for key in shared} == {key: scores[1][key] for key in shared}
    assert tests[0] != tests[1], "the final report does look at them"


@pytest.mark.slow
def test_a_run_means_the_same_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data beside the experiment is found, and neither a file of the current folder nor a changed one is taken."""
    home, away = tmp_path / "home", tmp_path / "away"
    path = written(home, data={"function": "data.py:data"}, search={"trials": 3}, export={"formats": ["onnx"]})
    (home / "data.py").write_text(DATA)
    away.mkdir()
    (away / "space.yaml").write_text(FEW)
    monkeypatch.chdir(home)
    pipeline.run(path.name)
    before = digest(home / "runs" / "mini", "scores.jsonl", "latency/*", "train/*", "space.yaml", "experiment.yaml")
    assert len(before) == 7
    for place, reference in ((away, "../home/runs/mini"), (tmp_path, "home/runs/mini"), (home / "runs" / "mini", ".")):
        monkeypatch.chdir(place)
        assert pipeline.open_run(reference).space.name == "many"
        pipeline.export(reference)
        pipeline.report(reference)
        pipeline.search(reference)
    monkeypatch.chdir(tmp_path)
    pipeline.bench(tmp_path / "home" / "runs" / "mini" / "experiment.yaml", runs=Path("home/runs"))
    after = digest(home / "runs" / "mini", "scores.jsonl", "latency/*", "train/*", "space.yaml", "experiment.yaml")
    assert after == before


FUNCTION = """
from dataclasses import dataclass
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv

@dataclass(frozen=True)
class Width:
    stem: int

def net(choose):
    width = Width(choose("width", [4, 8, 16]))
    return (1, 8, 8), {"stem": Conv(1, width.stem, 3, 2), "head": Classifier(width.stem, 10)}

def single(choose):
    return (1, 8, 8), {"stem": Conv(1, 4, 3, 2), "head": Classifier(4, 10)}

def module(choose):
    from torch import nn
    width = choose("width", [4, 8, 16])
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    return (1, 8, 8), nn.Sequential(nn.Conv2d(1, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU(), head)

def late(choose):
    chain = net(choose)
    return {}["x"] if choose("width", [4, 8, 16]) == 8 else chain
"""


@pytest.mark.slow
@pytest.mark.parametrize(("function", "count"), [("net", 3), ("single", 1), ("module", 3)])
def test_a_space_in_python_goes_all_the_way(function: str, count: int, tmp_path: Path) -> None:
    path = written(tmp_path, space=f"net.py:{function}", export={"formats": ["onnx"]})
    (tmp_path / "net.py").write_text(FUNCTION)
    (tier,) = pipeline.run(path, runs=tmp_path / "runs").tiers
    assert tier.finished.trials == count
    assert tier.finished.stopped == f"all {count} architectures of the space were tried"
    (again,) = pipeline.search(tmp_path / "runs" / "mini")
    assert again.evaluations == tier.evaluations


def test_a_function_that_raises_names_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, space="net.py:late")
    (tmp_path / "net.py").write_text(FUNCTION)
    with pytest.raises(SpaceError, match=r"`late\(width=8\)` raised KeyError: 'x'") as caught:
        pipeline.run(path, runs=tmp_path / "runs")
    assert caught.value.where == f"{tmp_path / 'net.py'}:{len(FUNCTION.splitlines())}"


# --- refused, and nothing spent ---


def test_a_limit_that_no_network_meets_is_refused_before_training(tmp_path: Path) -> None:
    tiers = {"cloud": {"setup": "cpu", "limits": {"params": 100, "macs": 1e9}}}
    with pytest.raises(ConfigError, match="networks of the space meets the limits params <= 100") as caught:
        pipeline.run(written(tmp_path, tiers=tiers), runs=tmp_path)
    ends = [pipeline.cost(tmp_path / "space.yaml", end)["params"] for end in ("smallest", "largest")]
    assert f"Reachable: params {ends[0]} to {ends[1]}; macs " in caught.value.allowed
    assert not (tmp_path / "mini" / "train").exists()


def test_a_limit_on_file_sizes_needs_sizes_in_the_table(run: Path) -> None:
    path = run / "latency" / "cpu.jsonl"
    lines = [unsealed(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "file_bytes"}) + "\n" for line in lines))
    (tier,) = pipeline.search(run, trials=3)
    assert "file_kib@cpu" not in tier.front[0].scores
    limited = edited(run, tiers={"cloud": {"setup": "cpu", "limits": {"file_kib": 100}}})
    with pytest.raises(ConfigError, match="`file_kib` is limited or optimized, but the set-up's table holds none"):
        pipeline.search(limited)


def test_a_search_without_its_table_names_the_command(run: Path) -> None:
    (run / "latency" / "cpu.jsonl").unlink()
    with pytest.raises(TableError) as caught:
        pipeline.search(run)
    assert f"hwnas bench {run}" in caught.value.do


def test_a_damaged_table_is_named_by_its_line(run: Path) -> None:
    path = run / "latency" / "cpu.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:40], *lines[2:]]) + "\n")
    with pytest.raises(TableError, match=r"cpu\.jsonl:2: this line is damaged"):
        pipeline.search(run)
    path.write_text("\n".join(lines)[:-30])
    (benched,) = pipeline.bench(run)
    assert (benched.rows, benched.missing) == (len(read_table(path).rows), 0)


def test_a_second_process_on_one_run_is_refused(run: Path) -> None:
    pipeline.search(run, trials=2)
    with RunLock(run):
        for verb in (pipeline.run, pipeline.train, pipeline.bench, pipeline.search, pipeline.export, pipeline.report):
            with pytest.raises(RunError, match="another process works on this run"):
                verb(run)


def test_a_run_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "mini").touch()
    with pytest.raises(RunError, match="the run folder cannot be written"):
        pipeline.run(path, runs=tmp_path)
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(RunError, match="the run folder cannot be written"):
            pipeline.run(path, runs=tmp_path / "closed")


@pytest.mark.parametrize(
    "name", ["space.yaml", "elapsed.json", "experiment.yaml", "report.html", "fronts", "scores.jsonl"]
)
def test_a_folder_where_a_file_belongs_is_named(name: str, run: Path) -> None:
    pipeline.search(run, trials=3)
    reference = run
    if name == "experiment.yaml":
        reference = Path(shutil.copy(run / name, run.parent / "mini.yaml"))
        shutil.copy(run / "space.yaml", run.parent)
        run = run.rename(run.parent / "mini")
    place = run / name
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    place.touch() if name == "fronts" else place.mkdir()

    def work() -> None:
        pipeline.search(reference, runs=run.parent)
        pipeline.report(reference, runs=run.parent)

    with pytest.raises((HwnasError, OSError)) as caught:  # the command line shows both in four parts
        work()
    where = caught.value.where if isinstance(caught.value, HwnasError) else str(caught.value.filename)
    assert name in where or name in str(caught.value)


def test_missing_data_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Looked for"):
        pipeline.run(written(tmp_path, data={"name": "cifar10", "path": "nowhere.npz"}), runs=tmp_path)
    assert not (tmp_path / "mini").exists()


def test_data_and_space_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the data has 1 channels and 10 classes, the space expects 3 and 7"):
        pipeline.run(written(tmp_path, MANY.replace("channels: 1", "channels: 3").replace("classes: 10", "classes: 7")))


def test_weights_of_an_edited_space_are_refused(run: Path) -> None:
    (run / "space.yaml").write_text(MANY.replace("[4, 8, 16]", "[4, 8, 24]"))
    with pytest.raises(RunError, match="weights do not fit space `many`"):
        pipeline.run(run)


@pytest.mark.parametrize("change", [{"seed": 1}, {"train": {"epochs": 3}}, {"data": "digits"}], ids=str)
def test_a_supernet_of_another_training_is_not_searched(change: dict[str, Any], run: Path) -> None:
    """With another seed, images that it was trained on would stand among those that it is scored on."""
    with pytest.raises(RunError, match="training was begun differently"):
        pipeline.search(edited(run, **change))


def test_what_is_not_there_yet_names_the_step_before(tmp_path: Path, run: Path) -> None:
    with pytest.raises(RunError, match="has no front yet"):
        pipeline.fronts(run)
    with pytest.raises(RunError, match="has no front yet"):
        pipeline.export(run)
    shutil.rmtree(run / "train")
    with pytest.raises(RunError, match="there is no checkpoint"):
        pipeline.search(run)


# --- told on the way ---


def test_a_training_that_stopped_early_is_told(run: Path) -> None:
    (run / "train" / "checkpoint-0002.pt").unlink()
    reporter = Telling()
    pipeline.search(run, trials=3, reporter=reporter)
    assert any("training stopped after 1 of 2 epochs" in line for line in reporter.lines)


def test_an_empty_front_is_told_with_the_limits_that_broke(run: Path) -> None:
    reporter = Telling()
    limited = edited(run, tiers={"cloud": {"setup": "cpu", "limits": {"top1": 1.0}}}, export={"formats": ["onnx"]})
    outcome = pipeline.run(limited, trials=4, reporter=reporter)
    assert outcome.tiers[0].front == ()
    told = "none of 4 networks stands on the front, 0 could not be scored; limits were broken: top1@inherited >= 1 by 4"
    (line,) = [line for line in reporter.lines if line.startswith(f"cloud: {told}")]
    best = max(outcome.tiers[0].evaluations, key=lambda one: one.scores["top1@inherited"])
    assert f"the nearest, {best.architecture.key}, has top1@inherited" in line
    assert "none of 4 networks stands on the front" in outcome.report.read_text(encoding="utf-8")
    assert outcome.manifests == ()
    assert not (run / "bundle" / "cloud" / "manifest.json").exists()
    assert pipeline.fronts(run)[0].front == ()


def test_an_empty_front_is_told_with_the_commonest_reason_of_failures() -> None:
    one, other = Architecture("a", ()), Architecture("b", ())
    failed = [Evaluation(one, {}, failed=f"top1@x: {why}") for why in ("nan", "nan", "boom")]
    searched = TierSearch(Tier("edge", (), ()), Finished(4, 3, "done"), (*failed, Evaluation(other, {})), ())
    assert explain_empty_front(searched).endswith("3 could not be scored (2 times top1@x: nan)")


def test_bars_tell_all_of_the_work(run: Path) -> None:
    seen: dict[str, list[tuple[float, float]]] = {}

    class Watching(NullReporter):
        @contextmanager
        def bar(self, title: str) -> Iterator[Bar]:
            class Seen:
                def update(self, done: float, total: float, text: str = "") -> None:
                    seen.setdefault(title, []).append((done, total))

            yield Seen()

    pipeline.search(run, trials=3, reporter=Watching())
    shutil.rmtree(run / "train")
    pipeline.train(run, reporter=Watching())
    assert seen.keys() == {"searching cloud", "timing the cloud front", "training the supernet"}
    for title, steps in seen.items():
        assert steps[-1][0] == steps[-1][1], title
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)


# --- export ---


def exported_names(manifest: Path) -> set[str]:
    """Names of all files of a bundle."""
    return {*json.loads(manifest.read_text())["bundle"]["files"], manifest.name}


def test_an_export_leaves_no_file_of_an_earlier_one(run: Path) -> None:
    pipeline.search(edited(run, export={"formats": ["onnx"]}))
    (path,) = pipeline.export(run)
    picked = {model["files"][0]["name"] for model in json.loads(path.read_text())["models"]}
    assert "best.onnx" in picked
    (path.parent / "knee.onnx").write_bytes(b"of an earlier search")
    (path.parent / "mine.txt").touch()
    telling = Telling()
    pipeline.export(run, picks=["best"], reporter=telling)
    (replaced,) = [line for line in telling.lines if "replaces the earlier one, whose" in line]
    assert {"--pick knee", "--pick fastest", "--pick best"} <= set(re.findall(r"--pick \w+", replaced)), "what is lost"
    assert {found.name for found in path.parent.iterdir()} == {*exported_names(path), "mine.txt"}
    assert {"best.onnx", "best.py", "README.md"} <= exported_names(path)
    assert not any(name.startswith("knee") for name in exported_names(path))


def test_files_of_rules_are_named_after_them_and_removed_with_them(run: Path) -> None:
    rules = ["lexicographic:latency_ms,top1", "cluster:2", "fastest"]
    (searched,) = pipeline.search(edited(run, export={"formats": ["onnx"], "picks": rules}))
    (path,) = pipeline.export(run)
    models = json.loads(path.read_text())["models"]
    standing = [point for point in searched.front if point.kept is not False]
    clusters = choose([p.expected for p in standing], searched.tier.objectives, "cluster:2")
    files = {model["key"]: model["files"][0]["name"] for model in models}
    for number, index in enumerate(clusters, 1):
        point = standing[index]
        named = "lexicographic-latency_ms-top1" if "fastest" in point.picks else f"cluster-2-{number}"
        assert files[point.architecture.key] == f"{named}.onnx"
    assert models[0]["picks"][0] == "lexicographic:latency_ms,top1"
    assert "fastest" in models[0]["picks"]
    pipeline.export(edited(run, export={"formats": ["onnx"], "picks": ["fastest"]}))
    assert {found.name for found in path.parent.iterdir()} == exported_names(path)
    assert [name for name in sorted(exported_names(path)) if name.endswith(".onnx")] == ["fastest.onnx"]


def test_a_rule_over_what_is_no_objective_is_refused_before_any_work(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"export.picks, tier `cloud`: `energy_mj` is no objective") as told:
        open_run(edited(run, export={"picks": ["weights:energy_mj=1"]}))
    assert "latency_ms" in told.value.allowed


def test_a_file_that_disagrees_is_neither_listed_nor_left_and_the_earlier_bundle_stays(run: Path) -> None:
    pipeline.search(run, trials=3)
    refused = {"formats": ["onnx"], "picks": ["best"], "tolerance": 1e-12}
    with pytest.raises(ExportError, match="differ from PyTorch's"):
        pipeline.export(edited(run, export=refused))
    assert list((run / "bundle").iterdir()) == []
    (path,) = pipeline.export(edited(run, export={"formats": ["onnx"], "picks": ["best"]}))
    before = digest(path.parent, "*")
    with pytest.raises(ExportError, match="differ from PyTorch's") as caught:
        pipeline.export(edited(run, export=refused))
    assert caught.value.where == str(path.parent / "best.onnx")
    assert digest(path.parent, "*") == before
    assert [found.name for found in path.parent.parent.iterdir()] == ["cloud"]


# --- settings ---


def test_the_threads_of_pytorch_are_those_of_the_experiment(run: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            pipeline.search(edited(run, threads=threads), trials=2)
            assert torch.get_num_threads() == threads
        pipeline.train(edited(run, threads=3))
        assert torch.get_num_threads() == 3, "they are no part of what a training is"
    finally:
        torch.set_num_threads(before)


def test_a_table_of_ones_own_is_used_and_added_to(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setups = {"cpu": {"runtime": "onnxruntime", "table": "tables/mine.jsonl"}}
    path = written(tmp_path / "home", setups=setups)
    table = tmp_path / "home" / "tables" / "mine.jsonl"
    table.parent.mkdir()
    shutil.copy(trained / "latency" / "cpu.jsonl", table)
    before = table.read_bytes()
    monkeypatch.chdir(tmp_path)
    (benched,) = pipeline.bench(path, runs=Path("runs"))
    assert (benched.table.resolve(), table.read_bytes()) == (table.resolve(), before)
    assert read_experiment(tmp_path / "runs" / "mini" / "experiment.yaml").setups["cpu"].table == str(table)


@pytest.mark.slow
def test_passwords_of_a_storage_stay_at_home(run: Path) -> None:
    url = f"sqlite:///{run}/study.db"
    pipeline.search(edited(run, search={**EXPERIMENT["search"], "storage": url}), trials=2)
    assert (run / "study.db").is_file()
    shown = pipeline.open_run(edited(run, search={"storage": "postgresql://me:secret@host/db"}))
    from hwnas.config import dump_experiment, published

    assert "secret" in dump_experiment(resolved_experiment(shown))
    assert "secret" not in dump_experiment(published(resolved_experiment(shown)))
    with locked(shown):
        assert (run / "experiment.yaml").stat().st_mode & 0o777 == 0o600, "it holds the password"
    named = pipeline.open_run(edited(run, search={"storage": "env:STUDIES"}))
    with locked(named):
        assert (run / "experiment.yaml").stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))
