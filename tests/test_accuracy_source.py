"""Where accuracies come from is a choice: a source that needs no supernet trains none, and its name is the metric's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.accuracy import PROXIES
from hwnas.errors import ConfigError
from hwnas.registry import member
from hwnas.search.fronts import read_front
from tests.helpers.experiments import FEW, edited, written
from tests.helpers.narration import Telling

MINE = """
def widest(architecture, network):
    return float(network.operators[0].out_channels)

def share(architecture, network):
    return 0.5

def percent(architecture, network):
    return 93.0

def fails(architecture, network):
    if network.operators[0].out_channels == 16:
        raise KeyError("wide")
    return 1.0

number = 3
"""


def experiment(folder: Path, function: str = "widest", **accuracy: str) -> Path:
    path = written(
        folder, FEW, search={"trials": 4}, export={"formats": ["onnx"], "picks": ["best"]},
        accuracy={"source": f"mine.py:{function}", **accuracy},
    )  # fmt: skip
    (folder / "mine.py").write_text(MINE)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Telling]:
    """A finished run on a user's function, and what was told."""
    top, told = tmp_path_factory.mktemp("function"), Telling()
    return pipeline.run(experiment(top), runs=top / "runs", reporter=told).folder, told


def test_a_search_on_a_users_function_trains_no_supernet(whole: tuple[Path, Telling]) -> None:
    folder, _ = whole
    assert not (folder / "train").exists()
    front = read_front(folder / "fronts" / "cloud.json")
    scores = {point.scores["score@widest"] for point in front}
    assert {16.0} <= scores <= {4.0, 16.0}, "whether a narrow network is faster, the clock says"
    assert {point.origin["score@widest"] for point in front} == {"given"}


def test_files_without_a_supernet_say_that_their_weights_are_random(whole: tuple[Path, Telling]) -> None:
    folder, told = whole
    manifest = json.loads((folder / "bundle" / "cloud" / "manifest.json").read_text())
    assert {model["weights"] for model in manifest["models"]} == {"random weights, nothing was trained"}
    assert manifest["supernet"]["epochs"] == 0
    assert any("have random weights" in line for line in told.lines)


def test_a_score_is_shown_as_a_number_and_marked_as_given(whole: tuple[Path, Telling]) -> None:
    page = (whole[0] / "report.html").read_text(encoding="utf-8")
    assert "a function of the user" in page
    (tier,) = pipeline.fronts(whole[0])
    assert (tier.accuracy.metric, tier.accuracy.origin) == ("score@widest", "given")


def test_a_changed_function_is_another_producer(tmp_path: Path, whole: tuple[Path, Telling]) -> None:
    folder, _ = whole
    source = folder.parent.parent / "mine.py"
    source.write_text(MINE.replace("float(", "2 * float("))
    try:
        (searched,) = pipeline.search(folder)
    finally:
        source.write_text(MINE)
    assert max(point.scores["score@widest"] for point in searched.front) == 32.0


def test_a_function_that_raises_fails_that_network_with_its_line(whole: tuple[Path, Telling]) -> None:
    folder, _ = whole
    kept = (folder / "experiment.yaml").read_text()
    edited(folder, accuracy={"source": "mine.py:fails"})
    try:
        (searched,) = pipeline.search(folder)
    finally:
        (folder / "experiment.yaml").write_text(kept)
    assert searched.finished.failed == 2
    (reason,) = {e.failed for e in searched.evaluations if e.failed}
    assert "mine.py:13: `mine.py:fails` raised KeyError: 'wide'" in reason


def test_a_percentage_is_no_accuracy(whole: tuple[Path, Telling]) -> None:
    folder, _ = whole
    kept = (folder / "experiment.yaml").read_text()
    edited(folder, accuracy={"source": "mine.py:percent", "quantity": "top1"})
    try:
        (searched,) = pipeline.search(folder)
    finally:
        (folder / "experiment.yaml").write_text(kept)
    assert searched.finished.failed == 4
    assert "returned 93 for an accuracy" in str(searched.evaluations[0].failed)


@pytest.mark.parametrize(
    ("accuracy", "tiers", "met"),
    [
        ({"source": "inherted"}, {}, "unknown source of accuracy `inherted`.*Did you mean `inherited`"),
        ({"source": "inherited", "quantity": "top1"}, {}, "`quantity` is that of a function"),
        ({"source": "mine.py:widest"}, {"limits": {"top1": 0.5}}, "`top1` is limited, but `mine.py:widest`"),
    ],
)
def test_a_source_that_is_not_there_is_told_before_any_work(
    tmp_path: Path, accuracy: dict[str, str], tiers: dict[str, object], met: str
) -> None:
    path = written(tmp_path, FEW, accuracy=accuracy, tiers={"cloud": {"setup": "cpu", **tiers}})
    with pytest.raises(ConfigError, match=met):
        pipeline.open_run(path, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("function", ["nowhere", "number"])
def test_a_function_that_cannot_be_called_is_an_error(whole: tuple[Path, Telling], function: str) -> None:
    folder, _ = whole
    kept = (folder / "experiment.yaml").read_text()
    edited(folder, accuracy={"source": f"mine.py:{function}"})
    try:
        with pytest.raises(ConfigError, match=function):
            pipeline.search(folder)
    finally:
        (folder / "experiment.yaml").write_text(kept)


@pytest.mark.parametrize("name", PROXIES)
def test_every_source_can_be_imported(name: str) -> None:
    assert callable(member({name: PROXIES[name].make}, name, what="source", where="test"))
