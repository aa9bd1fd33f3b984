"""Int8 accuracies of real files: which networks are judged by theirs, and what that tells of the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.accuracy.file_checks import FEWEST_CHECKS, FileChecks
from hwnas.config import parse_experiment
from hwnas.errors import ConfigError
from hwnas.runtimes import open_runtime
from hwnas.search.score_store import Score, ScoreStore
from hwnas.workspace.workspace import open_run
from tests.helpers.experiments import EXPERIMENT, FEW, written

BOTH = {"cloud": {"setup": "cpu", "precision": ["fp32", "int8"]}}
SEARCH = {"trials": 8, "sampler": "guided", "population": 4}
FILES = {"formats": ["onnx"], "picks": ["best", "fastest"]}


def checks(every: int, *earlier: float) -> FileChecks:
    """Checks that nothing is run for."""
    return FileChecks(every, lambda module, network, ranges: pytest.fail("no file is to be written"), lambda: earlier)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of an experiment all of whose int8 networks are judged by their files."""
    folder = tmp_path_factory.mktemp("files")
    path = written(folder, FEW, tiers=BOTH, search=SEARCH, export=FILES, accuracy={"file_every": 1})
    pipeline.run(path, runs=folder / "runs")
    return folder / "runs" / "mini"


def in_int8(run: Path) -> list[Score]:
    """Stored scores of networks in int8."""
    return [score for score in ScoreStore.open(run / "scores.jsonl").scores if "precision=int8" in score.producer]


def test_about_one_network_in_so_many_is_checked_and_always_the_same() -> None:
    keys = [f"network {number}" for number in range(3000)]
    assert all(checks(1).wants(key) for key in keys)
    chosen = [key for key in keys if checks(10).wants(key)]
    assert 240 < len(chosen) < 360
    assert chosen == [key for key in keys if checks(10).wants(key)]


def test_a_difference_that_all_files_show_is_the_correction() -> None:
    assert checks(2, -0.02, -0.02, -0.02).correction == pytest.approx(-0.02)
    assert -0.02 < checks(2, -0.01, -0.02, -0.03).correction < -0.018


def test_differences_that_may_be_chance_correct_next_to_nothing() -> None:
    assert checks(2, *[-0.05] * (FEWEST_CHECKS - 1)).correction == 0
    assert checks(2, 0.03, -0.03, 0.01).correction == 0
    assert checks(2, 0.0, 0.0, 0.0, 0.0).correction == 0


def test_what_was_checked_before_counts_as_what_is_checked_now() -> None:
    told, fresh = checks(2, -0.01, -0.02, -0.03), checks(2)
    for number, difference in enumerate((-0.01, -0.02, -0.03)):
        fresh.take(str(number), 0.9, 0.9 + difference)
    assert fresh.correction == pytest.approx(told.correction)
    assert fresh.simulated == {"0": 0.9, "1": 0.9, "2": 0.9}


def test_scores_are_those_of_the_files(run: Path) -> None:
    scores, workspace = in_int8(run), open_run(run)
    assert len(scores) == 4
    assert all(score.simulated is not None and score.producer.endswith("files=1/1") for score in scores)
    manifest = json.loads((run / "bundle" / "cloud" / "manifest.json").read_text())
    written = {model["key"]: model for model in manifest["models"] if model["precision"] == "int8"}
    validation = workspace.dataset.validation
    for score in scores:
        if (model := written.get(score.architecture.key)) is None:
            continue
        network = workspace.network(score.architecture)
        inputs = network.task.fitted(validation.every(), network.input_shape)
        file = run / "bundle" / "cloud" / model["files"][0]["name"]
        loaded = open_runtime("onnxruntime", precision="int8").load(file)
        right = (loaded.run(inputs.numpy()).argmax(1) == validation.targets.numpy()).mean()
        assert score.value == pytest.approx(float(right), abs=0.011)  # the file in the bundle has other ranges


def test_the_others_are_corrected_by_what_is_stored(run: Path, tmp_path: Path) -> None:
    """Stored checks are changed by hand: as if each file were .1 worse than the simulator says."""
    path = written(tmp_path, FEW, tiers=BOTH, search=SEARCH, export=FILES, accuracy={"file_every": 10**9})
    for part in ("train", "latency"):
        shutil.copytree(run / part, tmp_path / "runs" / "mini" / part)
    store = ScoreStore.open(tmp_path / "runs" / "mini" / "scores.jsonl")
    simulated = {score.architecture.key: score.simulated for score in in_int8(run)}
    for number, score in enumerate(in_int8(run)[:3]):
        producer = score.producer.replace("files=1/1", f"files=1/{10**9}")
        told = Score(score.architecture, score.metric, producer, 0.4, None, 1.0, score.at, simulated=0.5)
        store.add(told)
        assert ScoreStore.open(store.path).scores[number] == told
    pipeline.search(path, runs=tmp_path / "runs")
    (last,) = [score for score in in_int8(tmp_path / "runs" / "mini") if score.simulated is None]
    expected = simulated[last.architecture.key]
    assert expected is not None
    assert last.value == pytest.approx(expected - 0.1)


def test_it_is_refused_where_no_tier_lists_int8() -> None:
    raw = {**EXPERIMENT, "space": "digits", "accuracy": {"file_every": 5}}
    with pytest.raises(ConfigError, match=r"accuracy\.file_every.*no tier lists int8"):
        parse_experiment(raw, where="experiment")
