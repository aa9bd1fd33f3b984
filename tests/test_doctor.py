"""Laws of `hwnas doctor`: a sound run is sound, each disagreement is found and told, nothing is written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas import cli, pipeline
from hwnas.errors import RunError
from hwnas.io.checksum import sealed
from hwnas.io.locks import RunLock
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import read_front
from hwnas.search.successive_halving import RungResult
from hwnas.supernet.training.skipped import SkippedSubnets
from hwnas.workspace.folder import locked
from hwnas.workspace.results.halving_results import HalvingResult, save_halving_result
from tests.helpers.experiments import published, written
from tests.helpers.narration import Telling


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    experiment = published(folder, search={"trials": 12, "sampler": "random"})
    pipeline.search(experiment, runs=folder / "runs")
    return folder / "runs" / "published"


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(searched, tmp_path / "published")
    return tmp_path / "published"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sound_run_is_sound_and_stays_as_it_is(run: Path) -> None:
    before = content(run)
    examined = pipeline.doctor(run)
    assert examined.issues == ()
    assert examined.sound
    assert any("12 trials told" in what for what in examined.examined)
    assert content(run) == before


def edit(path: Path, change) -> None:  # type: ignore[no-untyped-def]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(lines)))


def told(lines: list[str]) -> list[int]:
    return [number for number, line in enumerate(lines) if '"scores"' in line]


def twice(lines: list[str]) -> list[str]:
    return [*lines, lines[told(lines)[0]]]


def other_value(lines: list[str]) -> list[str]:
    number = next(
        n
        for n in told(lines)
        if json.loads(lines[n])["state"] == 1 and not json.loads(lines[n])["user_attrs"]["broken"]
    )
    record = json.loads(lines[number])
    record["values"][0] += 1
    lines[number] = json.dumps(record) + "\n"
    return lines


def without_most(lines: list[str]) -> list[str]:
    return [line for number, line in enumerate(lines) if number not in told(lines)[:9]]


def other_score(lines: list[str]) -> list[str]:
    record = json.loads(lines[0])
    record["value"] += 0.01
    record.pop("crc32")
    lines[0] = json.dumps(sealed(record)) + "\n"
    return lines


def other_digit(lines: list[str]) -> list[str]:
    return [lines[0].replace('"value": 0.', '"value": 0.1'), *lines[1:]]


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("study-edge.log", twice, "was told before"),
        ("study-edge.log", other_value, "its value of top1@table"),
        ("scores.jsonl", other_score, "in the store"),
        ("scores.jsonl", other_digit, "its checksum does not fit"),
        ("scores.jsonl", lambda lines: lines[1:], "nothing in the store"),
        ("scores.jsonl", lambda lines: ["{\n", *lines], "no JSON object"),
        ("fronts/edge.json", lambda lines: lines[:3], "no front can be read"),
        ("study-edge.log", without_most, "no study has"),
        ("study-edge.log", lambda lines: lines[1:], "no study of tier `edge` begins here"),
        ("scores.jsonl", lambda lines: [], "of 12 trials, the first of them"),
    ],
)  # fmt: skip
def test_a_disagreement_is_found(file: str, change, said: str, run: Path) -> None:  # type: ignore[no-untyped-def]
    edit(run / file, change)
    before = content(run)
    examined = pipeline.doctor(run)
    assert not examined.sound
    (found, *_) = [one for one in examined.issues if said in one.problem]
    assert all((found.problem, found.where, found.allowed, found.do))
    assert content(run) == before, "it repairs nothing"


def test_what_the_next_command_settles_is_a_note(run: Path) -> None:
    with (run / "study-edge.log").open("a") as file:
        file.write('{"op_code": 4')
    examined = pipeline.doctor(run)
    assert examined.sound
    assert [one.severity for one in examined.issues] == ["note"]
    assert "cut off" in examined.issues[0].problem


def test_a_line_that_was_cut_off_a_study_is_a_note_and_so_is_what_follows_from_it(run: Path) -> None:
    points = {point.architecture.key for point in read_front(run / "fronts/edge.json")}
    lines = (run / "study-edge.log").read_text().splitlines(keepends=True)
    kept = next(n for n in reversed(told(lines)) if json.loads(lines[n])["user_attrs"]["key"] in points)
    (run / "study-edge.log").write_text("".join(lines[: kept + 1])[:-20])
    found = pipeline.doctor(run).issues
    assert [one.severity for one in found] == ["note", "note"]
    assert found[1].where.endswith("edge.json")


def test_a_front_that_is_gone_is_a_note(run: Path) -> None:
    (run / "fronts/edge.json").unlink()
    (found,) = pipeline.doctor(run).issues
    assert found.severity == "note"
    assert "no front yet" in found.problem


def test_searching_again_puts_back_what_the_store_has_lost(run: Path) -> None:
    whole = scores(run)
    edit(run / "scores.jsonl", lambda lines: lines[3:])
    telling = Telling()
    pipeline.search(run, runs=run.parent, reporter=telling)
    assert "edge: 3 accuracies that the store had lost are put back from the study" in telling.lines
    assert pipeline.doctor(run).sound
    assert scores(run) == whole


def scores(run: Path) -> set[tuple[object, ...]]:
    found = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    return {(record["key"], record["value"], record["producer"]) for record in found}


def test_a_table_that_is_gone_is_found(tmp_path: Path) -> None:
    experiment = published(tmp_path, search={"trials": 3, "sampler": "random"})
    pipeline.search(experiment, runs=tmp_path / "runs")
    assert pipeline.doctor(experiment, runs=tmp_path / "runs").sound
    (tmp_path / "table.csv").unlink()
    (found, *_) = pipeline.doctor(experiment, runs=tmp_path / "runs").issues
    assert found.severity == "error"
    assert "table.csv" in found.where


def test_a_predicted_tiers_table_that_is_gone_is_found(tmp_path: Path) -> None:
    experiment = written(tmp_path)
    run = tmp_path / "runs" / "mini"
    (run / "fronts").mkdir(parents=True)
    assert pipeline.doctor(experiment, runs=tmp_path / "runs").sound, "nothing was searched"
    (run / "fronts/cloud.json").write_text("[]")
    (found, *_) = pipeline.doctor(experiment, runs=tmp_path / "runs").issues
    assert found.problem == "the latency table of set-up `cpu` is gone"


def test_a_database_in_which_nothing_was_kept_stays_as_it_is(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    experiment = published(tmp_path, search={"trials": 3, "sampler": "random", "storage": storage})
    (tmp_path / "runs" / "published").mkdir(parents=True)
    examined = pipeline.doctor(experiment, runs=tmp_path / "runs")
    assert "tier edge: nothing was searched yet" in examined.examined
    assert examined.sound
    assert not (tmp_path / "studies.db").exists()


def test_a_database_that_does_not_answer_is_an_error_of_four_parts(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("no database\n" * 100)
    storage = f"sqlite:///{tmp_path}/studies.db"
    experiment = published(tmp_path, search={"trials": 3, "sampler": "random", "storage": storage})
    (tmp_path / "runs" / "published").mkdir(parents=True)
    (found,) = pipeline.doctor(experiment, runs=tmp_path / "runs").issues
    assert "the database cannot be used" in found.problem
    assert all((found.where, found.allowed, found.do))


def test_the_command_tells_by_its_exit_code(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for change, code in ((None, 0), (twice, 1)):
        if change is not None:
            edit(run / "study-edge.log", change)
        monkeypatch.setattr("sys.argv", ["hwnas", "doctor", str(run), "--json"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == code
        assert json.loads(capsys.readouterr().out)["sound"] is (code == 0)


@pytest.mark.parametrize(
    "storage", ["postgresql://me:S3/CRET@127.0.0.1:1/x", "mysql://h/x?password=S3%2FCRET&x=S3CRET"]
)
def test_passwords_are_in_nothing_that_is_printed(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = published(tmp_path, search={"trials": 3, "sampler": "random", "storage": storage})
    (tmp_path / "runs" / "published").mkdir(parents=True)
    for command in (["doctor", str(experiment), "--json"], ["search", str(experiment)], ["report", str(experiment)]):
        monkeypatch.setattr("sys.argv", ["hwnas", *command, "--runs", str(tmp_path / "runs")])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code
        printed = capsys.readouterr()
        assert "CRET" not in printed.out + printed.err
    kept = tmp_path / "runs" / "published" / "experiment.yaml"
    assert storage in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_run_that_was_never_begun_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing to examine"):
        pipeline.doctor(published(tmp_path), runs=tmp_path / "runs")


# --- leftovers, and files that hold anything ---


def leftovers(run: Path) -> tuple[list[Path], list[Path]]:
    """Files that dead processes of this version and of earlier ones left; and such as are none of theirs."""
    (run / "train").mkdir()
    dead = ["fronts/.edge.json.4194400.part", "train/checkpoint-0003.part", "0123456789ab.4194400.part",
            "train/within.part", "latency/cpu-live.part", ".report.html.4194400"]  # fmt: skip
    others = [f".report.html.{os.getpid()}.part", "video.part", ".hidden"]
    (run / "latency").mkdir(exist_ok=True)
    for name in (*dead, *others):
        (run / name).write_bytes(bytes(1234))
    return [run / name for name in dead], [run / name for name in others]


def test_what_a_killed_process_left_is_a_note_until_a_command_has_the_run_alone(run: Path) -> None:
    dead, others = leftovers(run)
    notes = pipeline.doctor(run)
    assert notes.sound
    assert {one.where for one in notes.issues} == set(map(str, dead))
    assert all("1,234 bytes" in one.problem for one in notes.issues)
    opened = pipeline.open_run(run)
    with locked(opened, RunLock(run, shared=True)):
        assert all(path.exists() for path in dead), "others may be at work"
    with locked(opened):
        assert not any(path.exists() for path in dead)
    assert all(path.exists() for path in others)
    assert pipeline.doctor(run).issues == ()


ANYTHING = [None, True, 0, -1, 10**400, 1.5, "", "text", [], [1], [[1]], {}, {"a": 1}, {"a": {"b": []}}]
JSON_FILES = ("scores.jsonl", "fronts/edge.json", "elapsed.json", "ladder/edge.json", "ladder/edge-front.json",
              "train/failed.jsonl")  # fmt: skip


@pytest.fixture(scope="module")
def halved(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of JSON file that a run folder keeps."""
    import shutil

    folder = tmp_path_factory.mktemp("halved") / "published"
    shutil.copytree(searched, folder)
    run = pipeline.open_run(folder)
    points = tuple(read_front(run.paths.front("edge")))
    evaluations = tuple(Evaluation(point.architecture, point.scores) for point in points)
    networks = tuple(point.architecture for point in points)
    rung = RungResult(run.accuracy, "p", run.objectives.tier("edge"), evaluations, networks, 1.0)
    save_halving_result(run, HalvingResult("edge", ("table",), (rung,), points))
    SkippedSubnets(folder / "train" / "failed.jsonl")._keep(networks[0], "RuntimeError: no")
    return folder


def replaced(value: Any, data: st.DataObject) -> Any:
    """A JSON value with one of the values in it replaced by another kind of thing, or left out."""
    if not isinstance(value, dict | list) or not value or not data.draw(st.integers(0, 3)):
        return data.draw(st.sampled_from(ANYTHING))
    place = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    copy = value.copy()
    if data.draw(st.integers(0, 4)):
        copy[place] = replaced(value[place], data)
    else:
        del copy[place]
    return copy


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_holds_anything_is_a_finding_and_no_traceback(halved: Path, data: st.DataObject) -> None:
    path = halved / data.draw(st.sampled_from(JSON_FILES))
    whole = path.read_text()
    lines = whole.splitlines(keepends=True) if path.suffix == ".jsonl" else [whole]
    number = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["replace", "replace", "replace", "cut", "double"]))
    if how == "replace":
        changed = replaced(json.loads(lines[number]), data)
        if isinstance(changed, dict) and changed.pop("crc32", None):
            changed = sealed(changed)
        lines[number] = json.dumps(changed) + "\n"
    elif how == "cut":
        lines[number] = lines[number][: data.draw(st.integers(0, len(lines[number])))]
    else:
        lines.insert(number, lines[number])
    try:
        path.write_text("".join(lines))
        found = pipeline.doctor(halved).issues
        assert all(one.problem and one.where and one.allowed and one.do for one in found)
    finally:
        path.write_text(whole)


def test_the_json_of_doctor_keeps_its_keys(tmp_path: Path) -> None:
    from hwnas.commands.doctor import DoctorReport
    from hwnas.search.consistency import Issue

    report = DoctorReport(
        tmp_path, ("a table",), (Issue("note", "cut", "here", "whole lines", "search again"),)
    ).as_dict()
    assert list(report) == ["folder", "looked", "found", "sound"]
    assert [list(one) for one in report["found"]] == [["severity", "met", "where", "allowed", "do"]]
