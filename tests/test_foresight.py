"""What a later stage of a run would refuse is refused before anything is timed, trained or written."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas import pipeline
from hwnas.errors import HwnasError, MissingExtra
from hwnas.problem import preflight as foresight

EXPERIMENT: dict[str, Any] = {
    "name": "soon",
    "space": "digits",
    "data": "digits",
    "setups": {"cpu": {"runtime": "onnxruntime"}},
    "tiers": {"edge": {"setup": "cpu"}},
}
LATE: dict[str, tuple[dict[str, Any], str]] = {
    "a device that is not there": ({"device": "cuda:99"}, "PyTorch finds"),
    "a function of accuracy in no file": ({"accuracy": {"source": "no.py:f"}}, "there is no file `no.py`"),
    "a function of accuracy that is not there": ({"accuracy": {"source": "mine.py:f"}}, "`mine.py` defines no `f`"),
    "a table without its file": ({"accuracy": {"source": "table", "file": "no.csv", "column": "a"}}, "no such file"),
    "predictions from no store": ({"accuracy": {"source": "predicted", "file": "no"}}, "there is no file `no`"),
    "a misspelt strategy": ({"train": {"strategy": "sandwhich"}}, "Did you mean `sandwich`"),
    "a strategy in no file": ({"train": {"strategy": "no.py:f"}}, "there is no file `no.py`"),
    "phases of no choice": ({"train": {"strategy": "progressive", "phases": [["no*"]]}}, r"`no\*` matches no choice"),
    "a teacher in no file": ({"train": {"teacher": "no.py:f"}}, "there is no file `no.py`"),
    "a batch beyond the images": ({"train": {"batch_size": 10_000}}, "1259 samples are for training"),
    "a start from nothing": ({"search": {"warm_start": ["runs/none"]}}, "no run and no file of that name"),
    "guided without a table": (
        {"search": {"sampler": "guided"}, "tiers": {"edge": {"setup": "cpu", "measure": "live"}}},
        "knows latencies before they are timed",
    ),
    "a storage of no kind": ({"search": {"storage": "none://x"}}, "no URL of a database"),
    "a storage in no folder": ({"search": {"storage": "sqlite:////none/x.db"}}, "unable to open database file"),
}


def written(folder: Path, **changes: Any) -> Path:
    (folder / "mine.py").write_text("def good(architecture, network):\n    return 1\n")
    path = folder / "soon.yaml"
    path.write_text(yaml.safe_dump({**EXPERIMENT, **changes}))
    return path


@pytest.mark.parametrize(("changes", "message"), LATE.values(), ids=LATE)
def test_what_ends_a_run_late_is_refused_before_any_work(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HwnasError, match=message):
        pipeline.run(written(tmp_path, **changes))
    assert not (tmp_path / "runs").exists()


def test_a_package_that_writes_files_is_missed_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hwnas.export.format.find_spec", lambda name: None if name == "litert_torch" else importlib.util.find_spec(name)
    )
    with pytest.raises(MissingExtra, match=r'pip install "hwnas\[convert\]", or leave the format out'):
        pipeline.run(written(tmp_path), runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_what_is_in_order_is_let_through(tmp_path: Path) -> None:
    for changes in ({}, {"accuracy": {"source": str(tmp_path / "mine.py:good")}}, {"accuracy": {"source": "params"}}):
        foresight.preflight_check(pipeline.open_run(written(tmp_path, **changes)))
