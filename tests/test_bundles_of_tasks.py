"""Bundles of every task, from training to `predict.py` and `verify`: raw inputs give the manifest's quality."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas import pipeline
from hwnas.export.standalone import predict
from tests.helpers.bundles_of_tasks import TASK_RUNS, Bundle, write_run


@pytest.fixture(scope="module", params=TASK_RUNS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_run(tmp_path_factory.mktemp(request.param), request.param)


def answers(bundle: Bundle, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    """What `predict.py` of the bundle prints."""
    assert runpy.run_path(str(bundle.folder / "predict.py"))["main"](["--json", *arguments], bundle.folder) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_raw_inputs_give_the_quality_of_the_manifest(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert all(one["ok"] for one in answers(bundle, capsys, "--selftest"))
    (told,) = answers(bundle, capsys, "--accuracy", str(bundle.data))
    assert told["value"] == pytest.approx(told["manifest"], rel=1e-6)
    (result,) = pipeline.verify(bundle.folder, data=bundle.data, latency=False)
    assert (result.ok, [one.kind for one in result.findings]) == (True, [])
    assert set(result.measured["quality"]) == {told["file"]}


def test_one_raw_input_and_several_are_answered(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(bundle.data) as opened:
        inputs = {name: opened[name] for name in opened.files if name != "targets"}
    np.savez(tmp_path / "three.npz", **{name: values[:3] for name, values in inputs.items()})  # type: ignore[arg-type]
    several = answers(bundle, capsys, str(tmp_path / "three.npz"))
    assert len(several) == 3
    if list(inputs) != ["inputs"]:
        return
    np.save(tmp_path / "one.npy", inputs["inputs"][0])
    (one,) = answers(bundle, capsys, str(tmp_path / "one.npy"))
    assert numbers(one) == pytest.approx(numbers(several[0]), rel=1e-4, abs=1e-5)
    for path in sorted(bundle.folder.parents[3].glob("tones/a/*.wav"))[:1]:
        assert answers(bundle, capsys, str(path))


def numbers(answer: Any) -> list[float]:
    """All numbers of an answer, in their order."""
    if isinstance(answer, dict):
        return [number for _, value in sorted(answer.items()) for number in numbers(value)]
    if isinstance(answer, list):
        return [number for value in answer for number in numbers(value)]
    return [answer] if isinstance(answer, float) else []


BAD = {
    "text": np.array(["a", "b"]),
    "scalar": np.array(3.0),
    "empty": np.zeros((0, 1, 2)),
    "axes": np.zeros((2, 2, 2, 2, 2, 2)),
    "size": np.zeros((2, 4, 5, 3)),
}


@pytest.mark.parametrize("kind", BAD)
def test_inputs_that_do_not_fit_are_refused(
    kind: str, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(bundle.data) as opened:
        names = [name for name in opened.files if name != "targets"]
    np.savez(tmp_path / "bad.npz", targets=np.zeros(2), **dict.fromkeys(names, BAD[kind]))  # type: ignore[arg-type]
    for arguments in (["--accuracy", str(tmp_path / "bad.npz")], [str(tmp_path / "bad.npz")]):
        assert predict.main(arguments, bundle.folder) == 2
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(":")[0].strip() for line in lines[-3:]] == ["where", "allowed", "next"]
