"""A front is never shown, reported, exported or believed under other conditions than it was found under."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas import cli, pipeline
from hwnas.commands.report import facts_of
from hwnas.commands.search import load_searches
from hwnas.errors import EmptyFront, HwnasError, RunError
from hwnas.pareto import Limit, Objective, Tier
from hwnas.pareto import front as pareto_front
from hwnas.problem.fronts.conditions import NEUTRAL_TRAIN_KEYS, conditions_path
from hwnas.problem.fronts.loading import load_front
from hwnas.search.fronts import read_front, write_front
from hwnas.search.nearest import nearest
from hwnas.supernet.training.resume import NEUTRAL_FIELDS as OF_NO_WEIGHT
from hwnas.workspace.progress import NullReporter
from hwnas.workspace.training.supernets import untrained
from hwnas.workspace.workspace import open_run

SPACE = """\
name: few
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 8, 12, 16], kernel: [1, 3, 5]}
  - {name: head, op: classifier}
"""
ACCURACY = """\
def top1(architecture, network):
    return 0.5 + sum(float(value) for _, value in architecture.picks) / 100
"""
EXPERIMENT: dict[str, Any] = {
    "name": "kept",
    "space": "space.yaml",
    "data": {"name": "digits", "limit": 256},
    "accuracy": {"source": "accuracy.py:top1", "quantity": "top1"},
    "setups": {"cpu": {"runtime": "onnxruntime"}, "pair": {"runtime": "onnxruntime", "batch": 2}},
    "tiers": {"edge": {"setup": "cpu", "limits": {"params": 400}}, "cloud": {"setup": "pair"}},
    "search": {"trials": 12, "sampler": "random"},
    "timing": {"rounds": 3, "warm_up_ms": 0, "min_sample_ms": 0.1, "validation_networks": 4, "processes": 0},
    "export": {"formats": ["onnx"], "picks": ["best", "knee", "fastest"]},
}


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run of all twelve networks was searched."""
    top = tmp_path_factory.mktemp("conditions")
    (top / "space.yaml").write_text(SPACE)
    (top / "accuracy.py").write_text(ACCURACY)
    (top / "kept.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    pipeline.bench(top / "kept.yaml", runs=top / "runs")
    pipeline.search(top / "kept.yaml", runs=top / "runs")
    return top


@pytest.fixture
def run(top: Path, tmp_path: Path) -> Path:
    """The folder of a run of one's own; relative paths of its experiment begin beside it."""
    shutil.copytree(top, tmp_path / "top", ignore=shutil.ignore_patterns("artifacts"))
    edit(tmp_path / "top/runs/kept", lambda raw: raw.update(base=str(tmp_path / "top")))
    return tmp_path / "top/runs/kept"


def edit(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = run / "experiment.yaml"
    raw = yaml.safe_load(path.read_text())
    change(raw)
    path.write_text(yaml.safe_dump(raw, sort_keys=False))


def limited(bound: float) -> Callable[[dict[str, Any]], object]:
    return lambda raw: raw["tiers"]["edge"]["limits"].update(params=bound)


def read_all(run: Path) -> list[Callable[[], object]]:
    """All that reads a front."""
    return [
        lambda: pipeline.fronts(run),
        lambda: pipeline.fronts(run, pick="best"),
        lambda: pipeline.export(run),
        lambda: pipeline.report(run),
    ]


# --- limits ---


@pytest.mark.parametrize("bound", [62, 150, 1e6])
def test_every_network_that_is_shown_holds_the_limits_of_now_and_none_is_missing(run: Path, bound: float) -> None:
    edit(run, limited(bound))
    tier, _ = pipeline.fronts(run)
    opened = open_run(run)
    points = load_front(opened, "cloud").points + load_front(opened, "edge").points
    stored = {json.loads(line)["key"] for line in (run / "scores.jsonl").read_text().splitlines()}
    assert all(point.params is not None and point.params <= bound for point in tier.front)
    assert {point.key for point in tier.front} <= stored
    assert {p.architecture.key for p in points} <= stored
    solved = pipeline.solve(run, setup="cpu", limits=[f"params={bound}"])
    assert [point.key for point in tier.front] == [point.architecture.key for point in solved.front]
    assert any(f"limits: params <= 400 then, params <= {bound:g} now" in note for note in tier.notes)


def test_what_is_exported_and_reported_holds_the_limits_and_says_that_it_was_solved_again(run: Path) -> None:
    edit(run, limited(150))
    changed = "limits: params <= 400 then, params <= 150 now"
    path, _ = pipeline.export(run)
    manifest = json.loads(path.read_text())
    assert manifest["limits"] == ["params <= 150"]
    assert manifest["solved_for"] == [changed]
    assert all(model["params"] <= 150 for model in manifest["models"])
    page = pipeline.report(run).read_text()
    assert changed.replace("<", "&lt;") in page
    assert "of 0 evaluated" not in page
    opened = open_run(run)
    edge, _ = facts(run)
    assert all(point.params is not None and point.params <= 150 for point in edge.front)
    assert len(edge.points) == 12
    assert {file.name for file in edge.files} == {f["name"] for model in manifest["models"] for f in model["files"]}
    assert opened.paths.front("edge").read_bytes() == (run / "fronts/edge.json").read_bytes()


def facts(run: Path) -> Any:
    from hwnas.problem.cost_models import load_cost_models

    opened = open_run(run)
    cost_models, trained = load_cost_models(opened), untrained(opened)
    return facts_of(opened, trained, cost_models, load_searches(opened, trained)).tiers


def test_a_front_that_is_read_as_it_was_found_says_nothing_and_keeps_what_was_measured(run: Path) -> None:
    for tier in pipeline.fronts(run):
        assert tier.notes == ()
        assert all(point.measured_ms for point in tier.front)
    before = {path: path.read_bytes() for path in (run / "fronts").rglob("*.json")}
    pipeline.report(run)
    assert {path: path.read_bytes() for path in (run / "fronts").rglob("*.json")} == before


def test_another_sampler_or_more_trials_are_no_other_conditions(run: Path) -> None:
    edit(run, lambda raw: raw["search"].update(sampler="tpe", trials=400))
    edge, cloud = facts(run)
    assert (len(edge.points), len(cloud.points)) == (12, 12), "those of the study that the front is of"
    assert all(not note.startswith("Solved again") for note in edge.notes)


def test_files_that_were_exported_under_other_conditions_are_left_out_of_the_report(run: Path) -> None:
    pipeline.export(run)
    assert facts(run)[0].files
    edit(run, limited(150))
    edge, cloud = facts(run)
    assert edge.files == ()
    assert any("exported under other conditions: limits: params <= 400 then" in note for note in edge.notes)
    assert cloud.files, "nothing of it changed"


# --- what accuracies are of ---


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda run, raw: raw.update(seed=1), "seed: 0 then, 1 now"),
        (lambda run, raw: (run / "space.yaml").write_text(SPACE.replace("resolution: 8", "resolution: 16")), "space:"),
        (lambda run, raw: (run / "space.yaml").write_text(SPACE.replace("[1, 3, 5]", "[1, 3]")), "space:"),
        (lambda run, raw: (run.parents[1] / "accuracy.py").write_text(ACCURACY + "# other\n"), "accuracy.content:"),
        (lambda run, raw: raw["accuracy"].update(source="params", quantity=None), "accuracy.source:"),
    ],
    ids=["seed", "resolution", "choices", "function", "source"],
)
def test_a_front_of_other_accuracies_is_refused_by_all_that_reads_it(
    run: Path, change: Callable[[Path, dict[str, Any]], object], told: str
) -> None:
    edit(run, lambda raw: change(run, raw))
    for read in [*read_all(run), lambda: pipeline.solve_tiers(run)]:
        with pytest.raises(RunError, match="was found under other conditions") as caught:
            read()
        assert told in caught.value.met
        assert "hwnas search" in caught.value.do
    examined = pipeline.doctor(run)
    assert any(told in one.problem and one.severity == "error" for one in examined.issues)


def test_what_does_not_decide_the_weights_is_told_in_one_way() -> None:
    assert {*OF_NO_WEIGHT, "grad_accumulation_steps"} == set(NEUTRAL_TRAIN_KEYS)


# --- set-ups ---


@pytest.mark.parametrize(("key", "value"), [("precision", "int8"), ("batch", 8), ("threads", 2)])
def test_a_changed_set_up_is_refused_until_it_has_a_table(run: Path, key: str, value: Any) -> None:
    edit(run, lambda raw: raw["setups"]["cpu"].update({key: value}))
    for read in read_all(run):
        with pytest.raises(HwnasError, match=f"{key}: .*{value}") as caught:
            read()
        assert "hwnas bench" in caught.value.do
    examined = pipeline.doctor(run)
    wrong = {Path(one.where).name for one in examined.issues if "of another set-up" in one.problem}
    assert wrong == {"cpu.jsonl", "cpu-front.jsonl"}
    assert any(f"setup.{key}:" in one.problem for one in examined.issues)


def test_with_a_table_of_the_new_set_up_no_number_of_the_old_one_is_told(run: Path) -> None:
    old = {point.key: point for point in pipeline.fronts(run)[0].front}
    edit(run, lambda raw: raw["setups"]["cpu"].update(batch=2))
    shutil.copyfile(run / "latency/pair.jsonl", run / "latency/cpu.jsonl")
    edge, cloud = pipeline.fronts(run)
    assert "setup.batch: 1 then, 2 now" in edge.notes[0]
    assert all(point.measured_ms is None for point in edge.front), "those of the old set-up are not of this one"
    same = {point.key: point.predicted_ms for point in cloud.front}
    shared = same.keys() & {point.key for point in edge.front}
    assert shared
    assert all(point.predicted_ms == pytest.approx(same[point.key]) for point in edge.front if point.key in shared)
    assert any(old[point.key].predicted_ms != point.predicted_ms for point in edge.front if point.key in old)
    (wrong,) = [one for one in pipeline.doctor(run).issues if one.severity == "error"]
    assert Path(wrong.where).name == "cpu-front.jsonl"


def test_a_table_that_was_filled_since_is_told(run: Path) -> None:
    path = run / "latency/cpu.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for number, line in enumerate(lines) if number != len(lines) - 1))
    edge, cloud = pipeline.fronts(run)
    assert "latency.table:" in edge.notes[0]
    assert all(point.measured_ms for point in edge.front), "they are of this set-up"
    assert cloud.notes == ()


# --- what is on the disk ---


def test_a_kill_between_the_front_and_its_conditions_is_seen(run: Path) -> None:
    path = run / "fronts/edge.json"
    whole = [point.key for point in pipeline.fronts(run)[0].front]
    write_front(path, path.with_suffix(".csv"), read_front(path)[1:])
    edge, _ = pipeline.fronts(run)
    assert [point.key for point in edge.front] == whole
    assert "is not the file whose conditions were kept" in edge.notes[0]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"front": 3}', '{"front": "a", "limits": [4]}'])
def test_damaged_conditions_are_told_by_doctor_and_nothing_is_believed(run: Path, text: str) -> None:
    conditions_path(run / "fronts/edge.json").write_text(text)
    edge, _ = pipeline.fronts(run)
    assert edge.front
    assert any("what a front was found under cannot be read" in one.problem for one in pipeline.doctor(run).issues)


def test_a_run_of_an_earlier_version_is_read_and_its_study_vouches_for_it(run: Path) -> None:
    now = [[point.key for point in tier.front] for tier in pipeline.fronts(run)]
    shutil.rmtree(run / "conditions")
    tiers = pipeline.fronts(run)
    assert [[point.key for point in tier.front] for tier in tiers] == now
    assert all(tier.notes == () and all(point.measured_ms for point in tier.front) for tier in tiers)
    assert pipeline.doctor(run).sound
    edit(run, limited(150))
    edge, cloud = pipeline.fronts(run)
    assert "limits: params <= 400 then, params <= 150 now" in edge.notes[0]
    assert cloud.notes == ()
    assert [one.severity for one in pipeline.doctor(run).issues] == ["note"]
    (run / "study-edge.log").unlink()
    edge, _ = pipeline.fronts(run)
    assert "was not kept" in edge.notes[0]
    assert pipeline.report(run).exists()
    assert all(model["params"] <= 150 for model in json.loads(pipeline.export(run)[0].read_text())["models"])


def test_doctor_tells_of_edited_limits_by_their_name(run: Path) -> None:
    assert pipeline.doctor(run).issues == ()
    edit(run, limited(150))
    (found,) = pipeline.doctor(run).issues
    assert found.severity == "note"
    assert found.problem == "it was found under other conditions (limits: params <= 400 then, params <= 150 now)"


# --- empty fronts ---


def command(
    *arguments: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["hwnas", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    code = end.value.code
    captured = capfd.readouterr()
    return code if isinstance(code, int) else 0, captured.out, captured.err


@pytest.mark.parametrize("verb", ["run", "search"])
def test_an_empty_front_has_an_exit_code_of_its_own_and_tells_the_nearest(
    run: Path, verb: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    edit(run, lambda raw: raw["tiers"]["edge"]["limits"].update(top1=0.9999))
    code, out, err = command(verb, str(run), monkeypatch=monkeypatch, capfd=capfd)
    assert code == 3
    nearest_key = max((p for p in stored(run) if p["params"] <= 400), key=lambda p: p["top1"])["key"]
    assert f"the nearest, {nearest_key}, has" in err
    assert "bundle/edge: model files" not in out
    assert ("bundle/cloud: model files" in out) is (verb == "run"), "the other tier is whole"
    with pytest.raises(EmptyFront, match=f"the nearest, {nearest_key}"):
        pipeline.export(run)
    assert (run / "bundle/cloud/manifest.json").exists()


def stored(run: Path) -> list[dict[str, Any]]:
    opened, found = open_run(run), []
    from hwnas.network import costs
    from hwnas.search.score_store import ScoreStore

    for score in ScoreStore.open(run / "scores.jsonl").scores:
        params = costs(opened.network(score.architecture)).params
        found.append({"key": score.architecture.key, "top1": score.value, "params": params})
    return found


def test_limits_that_nothing_stored_holds_leave_an_empty_front_and_its_nearest(run: Path) -> None:
    edit(run, limited(1))
    edge, cloud = pipeline.fronts(run)
    smallest = min(stored(run), key=lambda one: one["params"])
    assert edge.front == ()
    assert f"the nearest, {smallest['key']}, has params {smallest['params']}" in edge.notes[1]
    assert cloud.front
    with pytest.raises(EmptyFront, match="the front of `edge` is empty"):
        pipeline.export(run)


def test_the_nearest_is_that_of_the_least_excess_over_all_limits() -> None:
    tier = Tier("t", (Objective("a", "max"),), (Limit("a", 0.9, "least"), Limit("p", 100.0)))
    rng = random.Random(0)
    rows = [(str(n), {"a": rng.random(), "p": rng.uniform(1, 300)}) for n in range(50)]
    found = nearest(rows, tier)
    assert found is not None

    def excess(scores: Any) -> float:
        return max(0.0, (0.9 - scores["a"]) / 0.9) + max(0.0, (scores["p"] - 100) / 100)

    assert excess(dict(rows)[found.key]) == min(excess(scores) for _, scores in rows)
    assert nearest([("cut", {"p": 101.0}), *rows], tier) == found, "what was scored to the end goes before"
    assert nearest([], tier) is None


# --- solving for every tier, shipped tables ---


def test_without_a_set_up_every_tier_is_solved_for(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ("solve", str(run), "--limit", "params=150")
    code, out, _ = command(*given, "--json", monkeypatch=monkeypatch, capfd=capfd)
    found = json.loads(out)
    assert (code, list(found)) == (0, ["edge", "cloud"])
    for tier, setup in (("edge", "cpu"), ("cloud", "pair")):
        code, out, _ = command(*given, "--setup", setup, "--json", monkeypatch=monkeypatch, capfd=capfd)
        assert json.loads(out) == found[tier]
        keys = [point["key"] for point in found[tier]["front"]]
        rows = [p["scores"] for p in found[tier]["front"]]
        objectives = [Objective("top1@top1", "max"), Objective(f"latency_ms@{setup}", "min")]
        assert len(pareto_front(rows, objectives)) == len(keys) > 0
    _, out, _ = command(*given, monkeypatch=monkeypatch, capfd=capfd)
    assert "solved for cpu" in out
    assert "solved for pair" in out


def test_a_tier_with_nothing_within_the_limits_is_told_beside_the_others(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fastest = [min(point.predicted_ms for point in tier.front) for tier in pipeline.fronts(run)]
    bound = sum(fastest) / 2
    empty = max(range(2), key=fastest.__getitem__)
    found = pipeline.solve_tiers(run, limits=[f"latency_ms={bound}"])
    solved = list(found.values())
    assert solved[1 - empty].front
    assert solved[empty].front == ()
    assert "nearest" in solved[empty].as_dict()
    code, out, _ = command("solve", str(run), "--limit", "params=1", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, out) == (2, "")


def test_shipped_tables_are_named(run: Path) -> None:
    name = "xeon_onnxruntime_fp32_1t"
    solved = pipeline.solve(run, setup=name)
    assert {point.origin[f"latency_ms@{name}"].partition(",")[0] for point in solved.front} == {"predicted"}
    edit(run, lambda raw: raw["setups"]["cpu"].update(table=name))
    opened = open_run(run)
    assert opened.paths.table("cpu").name == f"{name}.jsonl"
    assert opened.paths.table("cpu").is_file()
    edit(run, lambda raw: raw["setups"]["cpu"].update(table="mine.jsonl"))
    assert open_run(run).paths.table("cpu") == Path("mine.jsonl"), "one that is still to be made"


def test_show_says_so_on_the_terminal_and_leaves_json_alone(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    edit(run, limited(150))
    _, out, _ = command("show", str(run), monkeypatch=monkeypatch, capfd=capfd)
    assert "Solved again from 12 stored accuracies" in " ".join(out.split())
    _, out, err = command("show", str(run), "--json", monkeypatch=monkeypatch, capfd=capfd)
    assert list(json.loads(out)) == ["edge", "cloud"]
    assert "Solved again" in err


def test_searching_again_writes_what_it_was_found_under(run: Path) -> None:
    edit(run, limited(150))
    pipeline.search(run, reporter=NullReporter())
    assert all(tier.notes == () for tier in pipeline.fronts(run))
    assert pipeline.doctor(run).sound
