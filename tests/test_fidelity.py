"""`hwnas fidelity`: the same networks scored and trained alone; resumable, failures told, test images untouched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from hwnas import cli, pipeline
from hwnas.accuracy import trained as trained_proxy
from hwnas.errors import TrainingError
from hwnas.search.score_store import ScoreStore
from tests.helpers.experiments import FEW, written


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a trained supernet, and two of its four networks trained alone."""
    top = tmp_path_factory.mktemp("fidelity")
    path = written(top, FEW)
    pipeline.train(path, runs=top / "runs")
    pipeline.fidelity(path, runs=top / "runs", networks=2)
    return top / "runs" / "mini"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks that are trained alone from now on."""
    seen: list[str] = []
    real = trained_proxy.train_standalone

    def counted(network: Any, *args: Any, **kwargs: Any) -> nn.Module:
        seen.append(str(network.operators[0]))
        return real(network, *args, **kwargs)

    monkeypatch.setattr(trained_proxy, "train_standalone", counted)
    return seen


def document(run: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((run / "fidelity.json").read_text())
    return found


def test_what_is_trained_already_is_not_trained_again(run: Path, trainings: list[str]) -> None:
    before = document(run)
    pipeline.fidelity(run, networks=2)
    assert trainings == []
    more = pipeline.fidelity(run, networks=4).fidelity
    assert len(trainings) == 2
    assert [n["key"] for n in before["networks_detail"]] == [n.key for n in more.networks[:2]]


def test_budgets_are_told_and_are_equal(run: Path) -> None:
    found = document(run)
    assert found["together"]["epochs"] == found["alone"]["epochs"] == 2
    assert found["together"]["images"] == found["alone"]["images"] == 256
    assert found["validation_images"] == 100
    assert found["alone"]["seconds"] > 0


def test_epochs_may_be_others_and_make_other_scores(run: Path, trainings: list[str]) -> None:
    assert pipeline.fidelity(run, networks=2, epochs=1).fidelity.alone.epochs == 1
    assert len(trainings) == 2
    producers = {s.producer for s in ScoreStore.open(run / "scores.jsonl").scores if s.metric == "top1@alone"}
    assert len(producers) == 2


def test_a_network_that_fails_is_told_and_the_others_go_on(
    run: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    real, number = trained_proxy.train_standalone, 0

    def failing(*args: Any, **kwargs: Any) -> nn.Module:
        nonlocal number
        number += 1
        if number == 1:
            raise TrainingError("it diverged", where="here", allowed="finite", do="lower the rate")
        return real(*args, **kwargs)

    monkeypatch.setattr(trained_proxy, "train_standalone", failing)
    found = pipeline.fidelity(run, networks=3, epochs=3).fidelity
    assert len(found.networks) == 2
    (reason,) = found.failed.values()
    assert "it diverged" in reason
    assert document(run)["failed"] == dict(found.failed)


def test_the_command_prints_one_document_or_a_table(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for more in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["hwnas", "fidelity", str(run), "--networks", "2", *more])
        with pytest.raises(SystemExit):
            cli.main()
    text, _, tail = capsys.readouterr().out.partition("{")
    assert "2 networks trained alone" in text
    assert "ranked by" in text
    assert json.loads("{" + tail)["networks"] == 2
    assert (run / "fidelity.html").is_file()


def test_nothing_but_scores_is_left_of_a_training(run: Path) -> None:
    assert not list((run / "training").rglob("*.pt"))
