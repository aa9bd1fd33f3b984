"""What an earlier version kept means the same: keys, names of files, and a whole run folder, which is continued."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.config import read_experiment
from hwnas.search.samplers import SAMPLERS
from tests.golden import identities

BEFORE = Path(__file__).parent / "golden" / "run_before"
GOLDEN = json.loads(identities.FILE.read_text())


@pytest.fixture(scope="module")
def now() -> dict[str, object]:
    return identities.identities()


@pytest.mark.parametrize("name", GOLDEN["networks"])
def test_networks_have_the_keys_and_costs_that_they_had(name: str, now: dict[str, dict[str, object]]) -> None:
    assert now["networks"][name] == GOLDEN["networks"][name]


def test_studies_and_model_files_have_the_names_that_they_had(now: dict[str, object]) -> None:
    assert (now["study"], now["files"]) == (GOLDEN["study"], GOLDEN["files"])


def test_traced_networks_have_the_keys_that_they_had(now: dict[str, dict[str, object]]) -> None:
    if now["traced"]["python"] != GOLDEN["traced"]["python"]:
        pytest.skip("another Python has another bytecode, by which traced networks are told apart")
    assert now["traced"] == GOLDEN["traced"]


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The folder of a run of version 0.1.0 as of November 2026, with its experiment."""
    shutil.copytree(BEFORE, tmp_path, dirs_exist_ok=True)
    kept = tmp_path / "runs" / "before"
    kept.parent.mkdir()
    (tmp_path / "kept").rename(kept)
    experiment = kept / "experiment.yaml"
    experiment.write_text(experiment.read_text().replace("@HERE@", str(tmp_path)))
    return kept


def test_a_run_of_an_earlier_version_is_sound_and_shown(before: Path) -> None:
    assert pipeline.doctor(before).sound
    (tier,) = pipeline.fronts(before)
    kept = json.loads((before / "fronts" / "edge.json").read_text())
    assert [point.key for point in tier.front] == [point["key"] for point in kept]


def test_a_run_of_an_earlier_version_is_continued(before: Path) -> None:
    scores = (before / "scores.jsonl").read_bytes()
    (searched,) = pipeline.search(before.parent.parent / "experiment.yaml", runs=before.parent, trials=8)
    assert searched.finished.trials == 8
    assert (before / "scores.jsonl").read_bytes().startswith(scores)
    assert len(list(before.glob("study-*.log"))) == 1


def test_a_run_goes_on_with_the_sampler_it_was_begun_with_where_the_experiment_names_none(before: Path) -> None:
    experiment = before.parent.parent / "experiment.yaml"
    named = experiment.read_text()
    unnamed = re.sub(r"sampler: \w+,? ?", "", named)
    assert unnamed != named
    experiment.write_text(unnamed)
    for _ in range(2):
        (searched,) = pipeline.search(experiment, runs=before.parent, trials=8)
        assert searched.finished.trials == 8
    (study,) = before.glob("study-*.log")
    plans = set(re.findall(r'"sampler":"(\w+)', study.read_text()))
    assert plans == {read_experiment(before / "experiment.yaml").search.sampler}
    assert plans < {*SAMPLERS}


def test_a_run_of_an_earlier_version_is_exported_and_reported(before: Path) -> None:
    (manifest,) = pipeline.export(before)
    assert [model["picks"] for model in json.loads(manifest.read_text())["models"]] == [["fastest"], ["best"]]
    assert "95382ff2bf26" in pipeline.report(before).read_text(encoding="utf-8")
