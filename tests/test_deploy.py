"""Deployments: every kind of plan becomes two folders whose files answer as the whole network does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas import pipeline
from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.collaborate.learned.exits import exit_features, exit_logits
from hwnas.collaborate.wire import plan_digest
from hwnas.deploy.client.client import Client
from hwnas.deploy.client.connection import Cloud
from hwnas.deploy.exit_module import ExitModule
from hwnas.errors import ConfigError, RunError
from hwnas.io.checksum import sha256_of
from hwnas.runtimes import open_runtime
from hwnas.serve.bundle import read_bundle
from hwnas.workspace.workspace import open_run
from tests.helpers.clouds import cloud_double
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
        assert [step["step"] for step in document["raw"]["steps"]] == ["multiply", "round"], "digits, as bytes"
        assert "round(pixel * 15.9375)" in (folder / "edge" / "README.md").read_text()
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


@pytest.fixture(scope="module")
def exit_plan(run: Path) -> tuple[dict[str, Any], Path]:
    """A plan that answers by an exit, and its deployment."""
    pipeline.plan_edge_cloud(run, "wifi", epsilon=0.3, delta=0.3, exits=True)
    plans = json.loads((run / "plans" / "wifi.json").read_text())["plans"]
    plan = next(plan for plan in plans if plan.get("exit") is not None)
    folder = run.parent / "by_exit"
    pipeline.export_plan(run, plan["name"], link="wifi", output=folder)
    return plan, folder


def test_an_exit_is_written_beside_the_head_and_compared(exit_plan: tuple[dict[str, Any], Path]) -> None:
    plan, folder = exit_plan
    document = json.loads((folder / "edge" / "plan.json").read_text())
    assert (document["kind"], document["cut"], document["codec"]) == ("cascade", plan["cut"], "int8")
    assert {path.name for path in (folder / "edge").glob("*.onnx")} == {"edge.onnx", "exit.onnx"}
    assert document["exit"]["sha256"] == sha256_of(folder / "edge" / "exit.onnx")
    assert document["exit"]["input"]["shape"] == document["edge"]["output"]["shape"] == plan["boundary"]
    assert document["checks"]["exit"]["max_difference"] < 1e-4
    assert document["checks"]["halves"]["agreement"] >= 0.995


def test_the_client_answers_by_the_exit_and_sends_the_boundary_when_it_is_not_sure(
    run: Path, exit_plan: tuple[dict[str, Any], Path]
) -> None:
    plan, folder = exit_plan
    with pytest.raises(ConfigError, match="the edge's side"):
        read_bundle(folder / "edge")
    model, tail = read_bundle(folder), open_runtime("onnxruntime").load(folder / "cloud" / "cloud.onnx")
    codec, shape = BoundaryCodec.of(model.scale, model.zero_point, False), tuple(plan["boundary"])
    split, bodies = open_run(run).dataset.test, list[int]()

    def answer(content: bytes) -> tuple[int, Any]:
        bodies.append(len(content))
        return 200, tail.run(codec.decode(content, shape)[None])[0]

    raw = split.inputs.take(split.indices).numpy()
    with cloud_double(model.plan_digits, answer) as server:
        client = Client(Cloud(f"http://127.0.0.1:{server.server_address[1]}"), folder / "edge")
        answers = [client.infer(sample, deadline_ms=5_000) for sample in raw]
        client.close()
    assert {one.origin for one in answers} == {"edge", "cloud"}
    sure = [one.origin == "edge" for one in answers]
    near = sum(abs(one.confidence - plan["threshold"]) < 1e-5 for one in answers if one.confidence is not None)
    assert abs(sum(sure) - client.plan["cascade"]["disagreement"]["kept"]) <= near
    assert [one.confidence >= plan["threshold"] for one in answers if one.confidence is not None] == sure
    assert set(bodies) == {int(np.prod(shape))}
    targets = split.targets.numpy()
    right = np.mean([int(np.argmax(one.outputs)) == target for one, target in zip(answers, targets, strict=True)])
    assert right == pytest.approx(plan["accuracy"], abs=0.1)  # the plan's is of half of these samples


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 7), (6, 1, 3), (9,)])
def test_an_exits_file_computes_what_planning_did(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    boundaries = rng.normal(size=(20, *shape)).astype(np.float32)
    features = exit_features(boundaries)
    weights = rng.normal(size=(features.shape[1] + 1, 4))
    told = ExitModule(weights, shape)(torch.from_numpy(boundaries)).detach().numpy()
    np.testing.assert_allclose(told, exit_logits(weights, features), atol=1e-5)
