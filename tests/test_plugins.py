"""Operators of a user's own, in the user's own file."""

from __future__ import annotations

import copy
import pickle
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from hwnas.errors import ConfigError, HwnasError, SpaceError
from hwnas.export.onnx import export_onnx
from hwnas.latency.anchors import anchors_of
from hwnas.latency.building import model_files as artifacts
from hwnas.latency.building.model_files import ModelFile, make_files
from hwnas.latency.building.table_builder import jobs_of
from hwnas.latency.model import LatencyModel
from hwnas.measure.table import LatencyTable, open_table, read_table, row_key
from hwnas.measure.timing import Measurement
from hwnas.network import costs, known_operators, lower, make_operator, operators_of
from hwnas.ops import OPERATORS, Operator
from hwnas.ops.plugins import operators_with
from hwnas.pipeline import bench, open_run, open_space
from hwnas.runtimes import Setup, open_runtime
from hwnas.space import Space, parse_space, read_space
from hwnas.space_checks import check_space
from hwnas.supernet import Supernet
from hwnas.user_code import read_source
from hwnas.workspace.folder import locked
from tests.helpers import fake_exporters

GATED = """\
from dataclasses import dataclass

from torch import nn

from hwnas import Operator


class Gate(nn.Module):
    def __init__(self, channels, kernel):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)

    def forward(self, x):
        return x * self.conv(x).sigmoid()


@dataclass(frozen=True)
class Gated(Operator):
    kernel: int = 3

    def module(self):
        return nn.Sequential(nn.Conv2d(self.in_channels, self.out_channels, 1), Gate(self.out_channels, self.kernel))
"""
SPACE = {
    "name": "mine",
    "plugins": ["my_ops.py"],
    "input": {"channels": 1, "resolution": 8},
    "classes": 10,
    "stages": [
        {"name": "s1", "op": ["conv", "gated"], "depth": [1, 2], "width": [8, 16], "kernel": [3, 5]},
        {"name": "head", "op": "classifier"},
    ],
}
SETUP = Setup("my board", "fake", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_ops.py").write_text(GATED)
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return tmp_path


def operator_of(folder: Path, in_channels: int = 8, out_channels: int = 8) -> Operator:
    table = operators_with((read_source(folder / "my_ops.py"),))
    knobs = {"in_channels": in_channels, "out_channels": out_channels}
    return make_operator("gated", knobs, where="test", operators=table)


def test_a_space_uses_the_operators_of_the_file_that_it_names(folder: Path) -> None:
    space = read_space(folder / "space.yaml")
    check_space(space)
    largest = lower(space, space.largest())
    assert [operator.kind for operator in largest.operators] == ["gated", "gated", "classifier"]
    assert costs(largest).params == (16 + 16 + 16 * 26) + (16 * 17 + 16 * 26) + 170
    assert {operator.kind for operator, _ in operators_of(space)} == {"conv", "gated", "classifier"}


def test_shared_weights_and_files_follow_from_the_module(folder: Path) -> None:
    space = read_space(folder / "space.yaml")
    supernet, rng = Supernet(space), random.Random(0)
    network = lower(space, space.sample(lambda choice: "gated" if "gated" in choice.options else choice.draw(rng)))
    images, module = torch.randn(2, 1, 8, 8), supernet.extract(network).eval()
    with torch.no_grad():
        expected = module(images)
        torch.testing.assert_close(supernet.eval()(images, network), expected)
    path = export_onnx(module, network.input_shape, folder / "model.onnx", batch=2)
    found = open_runtime("onnxruntime", batch=2).load(path).run(images.numpy())
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_reading_a_space_runs_no_plugin(folder: Path) -> None:
    (folder / "my_ops.py").write_text("raise RuntimeError('run')")
    space = read_space(folder / "space.yaml")
    with pytest.raises(ConfigError, match="the file raised RuntimeError: run"):
        lower(space, space.smallest())


def test_a_file_is_one_module_until_it_changes(folder: Path) -> None:
    first, again = operator_of(folder), operator_of(folder)
    assert type(first) is type(again)
    assert copy.deepcopy(first) == first
    (folder / "my_ops.py").write_text(GATED.replace("sigmoid", "tanh"))
    changed = operator_of(folder)
    assert type(changed) is not type(first)
    assert not (folder / "__pycache__").exists(), "bytecode of an older content is never met"


def test_code_that_changed_since_it_was_read_is_not_run(folder: Path) -> None:
    source = read_source(folder / "my_ops.py")
    (folder / "my_ops.py").write_text(GATED + "\n")
    with pytest.raises(ConfigError, match="has changed since it was read") as met:
        operators_with((source,))
    assert met.value.where == str(source.path)


def test_another_process_reads_a_pickled_operator_from_its_file(folder: Path) -> None:
    operator = operator_of(folder)
    (folder / "pickled").write_bytes(pickle.dumps(operator.module))
    code = "import pickle, sys; print(sum(p.numel() for p in pickle.load(open(sys.argv[1], 'rb'))().parameters()))"
    command = [sys.executable, "-c", code, str(folder / "pickled")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    assert int(done.stdout) == sum(p.numel() for p in operator.module().parameters())


def test_files_of_plugins_are_made_in_other_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "POOL_PAYS_S", -1.0)
    (log := folder / "log").mkdir()
    targets = [ModelFile(str(w), operator_of(folder, in_channels=w).module, (w, 4, 4)) for w in (1, 2, 3, 4)]
    made = make_files(
        targets, SETUP, ".fake", partial(fake_exporters.weights, log=log), folder / "artifacts", workers=2
    )
    assert all(isinstance(path, Path) for path in made)
    assert len({file.name.partition(".")[0] for file in log.iterdir()}) > 1


def test_a_changed_operator_has_its_files_made_anew(folder: Path) -> None:
    before = jobs_of(LatencyTable(Path("t"), SETUP), [(operator_of(folder), (8, 4, 4))], [])[1].target
    (folder / "my_ops.py").write_text(GATED.replace("sigmoid", "tanh"))
    after = jobs_of(LatencyTable(Path("t"), SETUP), [(operator_of(folder), (8, 4, 4))], [])[1].target
    assert before.name == after.name
    assert before.key != after.key


def test_rows_of_plugins_are_understood(folder: Path) -> None:
    """Networks can be timed again as anchors, and rows teach estimates."""
    space = read_space(folder / "space.yaml")
    links, network = list(operators_of(space)), lower(space, space.largest())
    table = open_table(folder / "table.jsonl", SETUP)
    for number, (operator, shape) in enumerate(links):
        if operator.knobs.get("kernel") != 5 or operator.kind != "gated":
            table.append_row(operator, shape, Measurement((1e6 + 1e3 * number,) * 5, {}))
    table.append_check(network, Measurement((3e6,) * 5, {}))
    [anchor] = anchors_of(table, operators=known_operators(space)).values()
    assert anchor.operators == network.operators
    assert anchors_of(table) == {}
    model = LatencyModel.of(table, missing="estimate", operators=known_operators(space))
    assert model.predict(network).estimated_rows == 2


# --- experiments ---


def experiment(folder: Path, **changes: Any) -> Path:
    raw = {"name": "x", "space": "space.yaml", "data": "digits", "setups": {"a": {"runtime": "onnxruntime"}},
           "tiers": {"t": {"setup": "a"}}}  # fmt: skip
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({**raw, **changes}))
    return path


def test_an_experiment_names_plugins_for_its_space(folder: Path) -> None:
    (folder / "space.yaml").write_text(yaml.safe_dump({**SPACE, "plugins": []}))
    with pytest.raises(ConfigError, match="unknown operator `gated`"):
        open_run(experiment(folder))
    run = open_run(experiment(folder, plugins=["my_ops.py"]))
    assert run.network(run.space.largest()).operators[0].kind == "gated"


@pytest.mark.parametrize("named_by", ["space", "experiment"])
def test_a_runs_folder_holds_the_plugins_that_it_was_made_with(folder: Path, named_by: str) -> None:
    if named_by == "experiment":
        (folder / "space.yaml").write_text(yaml.safe_dump({**SPACE, "plugins": []}))
    named = {"plugins": ["my_ops.py"]} if named_by == "experiment" else {}
    run = open_run(experiment(folder, **named), runs=folder / "runs")
    with locked(run):
        pass
    for name in ("my_ops.py", "space.yaml", "experiment.yaml"):
        (folder / name).unlink()
    again = open_run(run.folder)
    with locked(again):
        pass
    last = open_run(run.folder)
    assert last.space.largest() == run.space.largest()
    keys = [[row_key(*link) for link in one.network(one.space.largest()).links] for one in (run, last)]
    assert keys[0] == keys[1]


def test_a_runs_tables_name_a_space_that_opens_with_the_experiments_plugins(folder: Path) -> None:
    (folder / "space.yaml").write_text(yaml.safe_dump({**SPACE, "plugins": []}))
    quick = {"rounds": 3, "processes": 0, "warm_up_ms": 0, "min_sample_ms": 0.1, "validation_networks": 0}
    [table] = bench(experiment(folder, plugins=["my_ops.py"], timing=quick), runs=folder / "runs")
    [reference] = read_table(table.table).spaces.values()
    assert open_space(reference)[0].largest() == open_run(folder / "runs" / "x").space.largest()


# --- what is refused ---

HEAD = "from dataclasses import dataclass, field\nfrom torch import nn\nfrom hwnas import Operator\n\n\n"
MODULE = "\n\n    def module(self):\n        return nn.Conv2d(self.in_channels, self.out_channels, 1)\n"
FROZEN = "@dataclass(frozen=True)\n"

BROKEN: dict[str, tuple[str, str, int]] = {  # content, what is met, line
    "raises": ("x = 1\nraise KeyError('no')\n", "the file raised KeyError: 'no'", 2),
    "raises within a function": ("def f():\n    1 / 0\n\n\nf()\n", "the file raised ZeroDivisionError: division by", 2),
    "ends the program": ("import sys\nsys.exit(3)\n", "the file raised SystemExit: 3", 2),
    "is no Python": ("x = 1\nclass (:\n", "the file raised SyntaxError: invalid syntax", 2),
    "lacks a package": ("import no_such_package\n", "raised ModuleNotFoundError: No module named 'no_such_package'", 1),
    "holds no operator": ("x = 1\n", "the file defines no operator", 0),
    "imports operators alone": ("from hwnas.ops.conv import Conv\n", "the file defines no operator", 0),
    "is no dataclass": (f"{HEAD}class Mine(Operator):\n    kernel = 3{MODULE}", "`Mine` is no dataclass of its own", 6),
    "is not frozen": (f"{HEAD}@dataclass\nclass Mine(Operator):\n    kernel: int{MODULE}",
                      "the file raised TypeError: cannot inherit non-frozen dataclass from a frozen one", 6),
    "has a list as a default": (f"{HEAD}{FROZEN}class Mine(Operator):\n    kernel: list = []{MODULE}",
                                "the file raised ValueError: mutable default <class 'list'> for field kernel", 6),
    "makes a list as a default": (
        f"{HEAD}{FROZEN}class Mine(Operator):\n    kernel: list = field(default_factory=list){MODULE}",
        "`Mine` has a knob `kernel` that is not given by value", 6),
    "has a tuple as a default": (f"{HEAD}{FROZEN}class Mine(Operator):\n    kernel: tuple = (1, 2){MODULE}",
                                 "`Mine` has a knob `kernel` with a default that is tuple", 6),
    "has no hash": (f"{HEAD}{FROZEN}class Mine(Operator):\n    kernel: int = 3\n    __hash__ = None{MODULE}",
                    "`Mine` has no hash by its knobs", 6),
    "is compared by identity": (f"{HEAD}@dataclass(frozen=True, eq=False)\nclass Mine(Operator):\n    kernel: int = 3\n"
                                f"    __hash__ = object.__hash__{MODULE}", "`Mine` has no hash by its knobs", 6),
    "has no module": (f"{HEAD}{FROZEN}class Mine(Operator):\n    kernel: int = 3\n", "has no method `module`", 6),
    "has a number as module": (f"{HEAD}{FROZEN}class Mine(Operator):\n    module = 3\n", "has `module` as int", 6),
    "has a module that wants more": (
        f"{HEAD}{FROZEN}class Mine(Operator):\n    def module(self, width):\n        pass\n",
        "`Mine` has a method `module` that wants `width`", 6),
    "names itself": (f"{HEAD}{FROZEN}class Mine(Operator):\n    kind = 'conv'{MODULE}", "`Mine` replaces `kind`", 6),
    "has a built-in name": (f"{HEAD}{FROZEN}class Conv(Operator):\n    kernel: int = 3{MODULE}",
                            "the operator `conv` has the name of a built-in one", 6),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message", "line"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_refused_with_its_line(content: str, message: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "my_ops.py"
    path.write_text(content)
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    with pytest.raises(ConfigError) as met:
        open_space(tmp_path / "space.yaml")
    assert message in met.value.met
    assert met.value.where == (f"{path}:{line}" if line else str(path))
    assert_four_parts(met.value)


def assert_four_parts(error: HwnasError) -> None:
    parts = (error.met, error.where, error.allowed, error.do)
    assert all(parts)
    assert not any(part.endswith(".") for part in (error.met, error.allowed, error.do))


RUNNING: dict[str, tuple[str, str]] = {
    "a name that is not there": ("return nn.Conv3(1)", "the module cannot be built (AttributeError"),
    "nothing": ("pass", "the module cannot be built (TypeError: `module` returned NoneType"),
    "a class": ("return nn.Identity", "the module cannot be built (TypeError: `module` returned type"),
    "a module that does not run": ("return nn.Conv2d(99, 8, 1)", "the module fails at input 1x8x8 (RuntimeError"),
}


@pytest.mark.parametrize(("body", "message"), RUNNING.values(), ids=RUNNING)
def test_a_module_that_fails_is_an_error_with_its_operator(body: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "my_ops.py"
    path.write_text(
        f"{HEAD}{FROZEN}class Gated(Operator):\n    kernel: int = 3\n\n    def module(self):\n        {body}\n"
    )
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    with pytest.raises(SpaceError) as met:
        open_space(tmp_path / "space.yaml")
    assert message in met.value.met
    assert "gated {" in met.value.where
    assert str(path) in met.value.where
    assert_four_parts(met.value)


def test_two_plugins_must_not_have_one_name(folder: Path) -> None:
    (folder / "more.py").write_text(GATED)
    with pytest.raises(ConfigError, match=r"more\.py:17: the operator `gated` has the name of one in .*my_ops\.py:17"):
        check_space(parse_space({**SPACE, "plugins": ["my_ops.py", "more.py"]}, where="x", base=folder))
    twice = parse_space({**SPACE, "plugins": ["my_ops.py", "./my_ops.py"]}, where="x", base=folder)
    assert isinstance(twice, Space)
    check_space(twice)


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        ("my_ops.py", "`plugins` is 'my_ops.py'"),
        ([3], r"`plugins` is \[3\]"),
        (["my_ops"], r"`plugins` is \['my_ops'\]"),
        (["no.py"], r"the plugin `no\.py` cannot be read \(No such file"),
        (["folder.py"], r"the plugin `folder\.py` cannot be read \(Is a directory"),
    ],
)
def test_what_names_no_file_is_refused(plugins: Any, message: str, folder: Path) -> None:
    (folder / "folder.py").mkdir()
    with pytest.raises(ConfigError, match=message) as met:
        parse_space({**SPACE, "plugins": plugins}, where="space.yaml", base=folder)
    assert met.value.where == "space.yaml"
    assert_four_parts(met.value)


def test_the_built_in_table_stays_as_it_is(folder: Path) -> None:
    table = operators_with((read_source(folder / "my_ops.py"),))
    assert set(table) - set(OPERATORS) == {"gated"}
    assert "gated" not in OPERATORS
