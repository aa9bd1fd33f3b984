"""Int8 where it is not: operators without an integer kernel, tables of another scheme, calibration on samples that
judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.accuracy.inherited import inherited
from hwnas.errors import TableError
from hwnas.io.resources import find_file
from hwnas.measure.table import read_table, read_table_of
from hwnas.network import make_operator
from hwnas.problem.accuracy import accuracy_context
from hwnas.problem.precision.floats import float_calls, float_notices
from hwnas.problem.precision.tier import tier_accuracy
from hwnas.workspace.measuring.setups import declared_setup
from hwnas.workspace.training.supernets import Trained
from hwnas.workspace.workspace import Workspace, open_run
from tests.helpers.experiments import FEW, written
from tests.helpers.operators import EXAMPLES, input_of

ATTENDING = """\
name: attending
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: patchembed, patch: 4, grid: 2, width: [16]}
  - {name: body, op: transformer, width: [16], heads: [2]}
  - {name: head, op: tokenclassifier}
"""
INT8 = {"cloud": {"setup": "cpu", "precision": ["fp32", "int8"]}}


def opened(folder: Path, space: str, **changes: object) -> Workspace:
    """An experiment whose tier lists both precisions."""
    return open_run(written(folder, space, **{"tiers": INT8, **changes}), runs=folder / "runs")


@pytest.mark.parametrize(("kind", "onnx"), [("conv", []), ("mbconv", []), ("transformer", ["gelu"])])
def test_calls_without_an_integer_kernel_are_known(kind: str, onnx: list[str]) -> None:
    operator = make_operator(kind, EXAMPLES[kind][0][0], where="test")
    known = float_calls(operator, input_of(operator), "onnx")
    assert set(onnx) <= set(known)
    assert bool(onnx) == bool(known)
    assert float_calls(operator, input_of(operator), "tflite") == []


def test_operators_that_stay_in_floats_are_named_with_what_they_become(tmp_path: Path) -> None:
    run = opened(tmp_path, FEW)
    assert float_notices(run, "cpu") == float_notices(run, "cpu-int8") == []
    (notice,) = float_notices(opened(tmp_path / "attending", ATTENDING), "cpu-int8")
    assert "`cpu-int8` has no int8 kernel for " in notice
    assert "of `transformer`" in notice
    assert "stay in fp32" in notice


def test_a_table_of_another_scheme_or_precision_is_refused(tmp_path: Path) -> None:
    path = find_file("xeon_onnxruntime_int8_1t_ofa224", "latency_tables")
    own = read_table(path).setup
    assert read_table_of(path, own).setup == own
    with pytest.raises(TableError, match=r"another set-up .*signed") as caught:
        read_table_of(path, replace(own, activations="signed"))
    assert "never mix" in str(caught.value.allowed)
    with pytest.raises(TableError, match=r"another set-up .*fp32"):
        read_table_of(path, replace(own, precision="fp32"))


def test_the_scheme_is_part_of_a_set_up(tmp_path: Path) -> None:
    setups = {"cpu": {"runtime": "onnxruntime", "activations": "signed"}}
    run = opened(tmp_path, FEW, setups=setups)
    assert declared_setup(run.experiment.setups["cpu-int8"]).activations == "signed"


def test_ranges_are_taken_from_training_samples_alone(tmp_path: Path) -> None:
    from hwnas.supernet import Supernet

    run = opened(tmp_path, FEW)
    trained = Trained(Supernet(run.space), (), "weights")
    accuracy = tier_accuracy(run, "cloud", trained, inherited(accuracy_context(run, trained)))
    ranges = accuracy.parts["int8"].ranges.numpy()  # type: ignore[attr-defined]
    rows = {row.tobytes() for row in ranges}
    training = {row.tobytes() for row in np.asarray(run.dataset.train.every())}
    for split in (run.dataset.validation, run.dataset.test):
        judged = {row.tobytes() for row in np.asarray(split.every())}
        assert not rows & judged - training
    assert rows <= training
