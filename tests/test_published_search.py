"""A whole search on published numbers: nothing is trained, timed or exported; numbers say where they are from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwnas import pipeline
from hwnas.config import read_experiment
from hwnas.errors import ConfigError, DataError
from hwnas.search.fronts import read_front
from tests.helpers.experiments import published
from tests.helpers.narration import Telling


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Telling]:
    top, told = tmp_path_factory.mktemp("published"), Telling()
    return pipeline.run(published(top), runs=top / "runs", reporter=told).folder, told


def test_nothing_is_trained_timed_or_exported(whole: tuple[Path, Telling]) -> None:
    folder, told = whole
    assert not any((folder / name).exists() for name in ("train", "latency", "artifacts", "bundle"))
    assert any(line.startswith("no files are written") for line in told.lines)
    assert any("latencies are published, table.csv: `us`" in line for line in told.lines)


def test_many_networks_are_counted_as_they_are_one_by_one(
    whole: tuple[Path, Telling], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas.commands import report_tiers
    from hwnas.commands.report import facts_of
    from hwnas.commands.search import load_searches

    run = pipeline.open_run(whole[0])
    (searched,) = load_searches(run, None)
    one_by_one = facts_of(run, None, {}, [searched]).tiers[0].points
    monkeypatch.setattr(report_tiers, "MANY_ARCHITECTURES", 1)
    monkeypatch.setattr(report_tiers, "REPORT_CHUNK", 7)
    assert facts_of(run, None, {}, [searched]).tiers[0].points == one_by_one


def test_the_front_is_that_of_the_table(whole: tuple[Path, Telling]) -> None:
    folder, _ = whole
    rows = [line.split(",") for line in (folder.parent.parent / "table.csv").read_text().splitlines()[1:]]
    points = {key: (float(top1) / 100, float(us) / 1000) for key, top1, us in rows}
    allowed = {key: point for key, point in points.items() if point[1] <= 0.9}
    best = {
        key
        for key, (a, ms) in allowed.items()
        if not any(a2 >= a and ms2 <= ms and (a2, ms2) != (a, ms) for a2, ms2 in allowed.values())
    }
    front = read_front(folder / "fronts" / "edge.json")
    assert {point.architecture.key for point in front} == best
    for point in front:
        scores = (point.scores["top1@table"], point.scores["latency_ms@board"])
        assert scores == pytest.approx(points[point.architecture.key])
        assert {point.origin["top1@table"], point.origin["latency_ms@board"]} == {"published"}
        assert (point.measured, point.kept) == ({}, True)


def test_the_report_marks_what_is_published(whole: tuple[Path, Telling]) -> None:
    page = (whole[0] / "report.html").read_text(encoding="utf-8")
    assert "from a published table" in page
    assert "table.csv" in page
    (tier,) = pipeline.fronts(whole[0])
    assert (tier.accuracy.origin, tier.latency.origin) == ("published", "published")


def test_a_network_without_a_row_fails_with_its_reason(tmp_path: Path) -> None:
    path = published(tmp_path, drop=10, tiers={"edge": {"setup": "board"}}, search={"trials": 60, "sampler": "random"})
    (searched,) = pipeline.search(path, runs=tmp_path / "runs")
    assert 0 < searched.finished.failed <= 10
    assert searched.finished.trials == 60
    reasons = {str(e.failed) for e in searched.evaluations if e.failed}
    assert all(reason.startswith("latency_ms@board: ") and "no row for architecture" in reason for reason in reasons)


def test_a_changed_table_begins_a_new_study(tmp_path: Path) -> None:
    path, told = published(tmp_path), Telling()
    pipeline.search(path, runs=tmp_path / "runs")
    table = tmp_path / "table.csv"
    table.write_text(table.read_text().rstrip("\n") + "1\n")
    pipeline.search(path, runs=tmp_path / "runs", reporter=told)
    assert any("a new study begins, for producers changed" in line for line in told.lines)


@pytest.mark.parametrize("source", ["synflow", "te_nas"])
def test_a_training_free_score_needs_neither_a_supernet_nor_data(tmp_path: Path, source: str) -> None:
    path = published(tmp_path, accuracy={"source": source}, search={"trials": 6, "sampler": "random"})
    (searched,) = pipeline.search(path, runs=tmp_path / "runs")
    assert {point.origin[f"score@{source}"] for point in searched.front} == {"scored"}
    assert not (tmp_path / "runs" / "published" / "train").exists()
    lines = [json.loads(line) for line in (tmp_path / "runs/published/scores.jsonl").read_text().splitlines()]
    assert {line["metric"] for line in lines} == {f"score@{source}"}


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"accuracy": {"source": "inherited"}}, "`inherited` looks at data, but none is named"),
        ({"accuracy": {"source": "inherited", "file": "table.csv"}}, "Say `source: table`"),
        ({"setups": {"board": {"runtime": "published"}}}, "`runtime: published` and `latencies` go together"),
        (
            {"tiers": {"edge": {"setup": "board", "limits": {"file_kib": 3}}}},
            "tiers.edge: `file_kib` is asked of `board`",
        ),
        ({"tiers": {"edge": {"setup": "board", "measure": "live"}}}, "tiers.edge: `measure: live` is asked of `board`"),
    ],
)
def test_what_a_table_cannot_give_is_refused_when_it_is_read(tmp_path: Path, changes: dict[str, Any], met: str) -> None:
    with pytest.raises(ConfigError, match=met):
        pipeline.open_run(published(tmp_path, **changes), runs=tmp_path / "runs")


def test_a_table_without_a_file_is_refused(tmp_path: Path) -> None:
    path = published(tmp_path, accuracy={"source": "table", "column": "top1"})
    with pytest.raises(ConfigError, match="`file` is missing"):
        pipeline.search(path, runs=tmp_path / "runs")


def test_a_wrong_file_is_told_before_the_search(tmp_path: Path) -> None:
    path = published(tmp_path)
    (tmp_path / "table.csv").write_text("key,top1,us\nabc")
    with pytest.raises(DataError, match="row 1 of 1 has 1 cells"):
        pipeline.search(path, runs=tmp_path / "runs")


def test_files_are_not_exported_without_images(whole: tuple[Path, Telling]) -> None:
    with pytest.raises(ConfigError, match="no data is named"):
        pipeline.export(whole[0])


def test_the_shipped_experiment_needs_two_files_alone(repository: Path) -> None:
    experiment = read_experiment(repository / "experiments" / "nb201.yaml")
    assert experiment.data is None
    files = {experiment.accuracy.file, *(s.latencies.file for s in experiment.setups.values() if s.latencies)}
    assert files == {"nasbench201_cifar10.npz", "nasbench201_help_ms.csv.gz"}


def test_guided_searches_published_numbers_and_never_proposes_what_is_over_a_limit(tmp_path: Path) -> None:
    path = published(tmp_path, drop=5, search={"trials": 24, "sampler": "guided"})
    (searched,) = pipeline.search(path, runs=tmp_path / "runs")
    ends = {e.architecture.key for e in searched.evaluations[:2]}
    assert searched.finished.trials == 24
    assert not [e for e in searched.evaluations if e.architecture.key not in ends and (e.broken or e.failed)]
