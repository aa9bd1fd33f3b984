"""Deployments: every kind of plan becomes two folders whose files answer as the whole network does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwnas import pipeline
from hwnas.collaborate.wire import plan_digest
from hwnas.errors import ConfigError, RunError
from hwnas.io.checksum import sha256_of
from tests.helpers.command_line import Call
from tests.helpers.command_line import hwnas as hwnas
from tests.helpers.planned import plan_names, planned_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planned_run(tmp_path_factory.mktemp("deployed"))


def sides_of(kind: str) -> set[str]:
    return {"edge"} if kind == "edge_only" else {"edge", "cloud"}


def test_every_kind_of_plan_is_written_with_its_sides(run: Path, tmp_path: Path) -> None:
    names = plan_names(run)
    assert {kind for kind, _ in names} >= {"edge_only", "cloud_only", "split", "cascade"}
    for (kind, codec), name in names.items():
        folder = tmp_path / name
        done = pipeline.export_plan(run, name, output=folder)
        document: dict[str, Any] = json.loads((folder / "edge" / "plan.json").read_text())
        assert {path.name for path in folder.iterdir()} == sides_of(kind)
        assert all((side / "plan.json").read_bytes() == (folder / "edge/plan.json").read_bytes() for side in done.sides)
        assert document == done.document
        assert plan_digest(document) == document["plan"]
        assert (document["kind"], document["codec"], document["format"]) == (kind, codec, 1)
        sides = {"edge": "edge", "fallback": "edge", "cloud": "cloud"}
        for entry, side in sides.items():
            if document[entry] is not None:
                assert sha256_of(folder / side / document[entry]["file"]) == document[entry]["sha256"]
        assert (document["fallback"] is not None) == (kind in ("split", "cloud_only"))
        assert (document["request"] is not None) == (kind != "edge_only")
        assert all(check["agreement"] >= 0.995 for check in document["checks"].values())


def test_the_winner_has_a_name_of_its_own(run: Path, hwnas: Call) -> None:
    winner = json.loads((run / "plans" / "wired.json").read_text())["winner"]
    done = hwnas("export", str(run), "--plan", "winner", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["name"] == winner
    assert (run / "plans" / winner / "edge" / "plan.json").is_file()


def test_another_deployment_takes_the_place_of_an_earlier_one(run: Path, tmp_path: Path) -> None:
    names = plan_names(run)
    split = next(name for (kind, _), name in names.items() if kind == "split")
    cascade = next(name for (kind, _), name in names.items() if kind == "cascade")
    alone = names["edge_only", None]
    pipeline.export_plan(run, split, output=tmp_path / "d")
    (tmp_path / "d" / "edge" / "token").write_text("mine")
    pipeline.export_plan(run, cascade, output=tmp_path / "d")
    kept = {path.name for path in (tmp_path / "d" / "edge").iterdir()}
    assert kept >= {"token", "edge.onnx"}
    assert "fallback.onnx" not in kept
    with pytest.raises(ConfigError, match="holds a cloud's side"):
        pipeline.export_plan(run, alone, output=tmp_path / "d")


def test_plans_that_are_not_there_or_stale_are_refused(run: Path, hwnas: Call, tmp_path: Path) -> None:
    missing = hwnas("export", str(run), "--plan", "split-nosuch")
    assert missing.code == 2
    assert "there is no plan `split-nosuch`" in missing.err
    assert "hwnas plan" in hwnas("export", str(run), "--plan", "winner", "--link", "lte").err
    assert "without --plan" in hwnas("export", str(run), "--link", "wired").err
    path = run / "plans" / "wired.json"
    before = path.read_text()
    try:
        document = json.loads(before)
        for plan in document["plans"]:
            plan["edge"] = plan["edge"] and "000000000000"
        path.write_text(json.dumps(document))
        with pytest.raises(RunError, match="the fronts changed since"):
            pipeline.export_plan(run, plan_names(run)["edge_only", None], output=tmp_path / "x")
        path.write_text(json.dumps({**document, "run": "another"}))
        with pytest.raises(RunError, match="of the experiment `another`"):
            pipeline.export_plan(run, "winner", output=tmp_path / "x")
        path.write_text(before[: len(before) // 2])
        with pytest.raises(RunError, match="damaged"):
            pipeline.export_plan(run, "winner", output=tmp_path / "x")
    finally:
        path.write_text(before)
    path.with_name("other.json").write_text(before)
    try:
        with pytest.raises(ConfigError, match="plans for 2 links are named"):
            pipeline.export_plan(run, "winner", output=tmp_path / "x")
    finally:
        path.with_name("other.json").unlink()
    assert not (tmp_path / "x").exists()
