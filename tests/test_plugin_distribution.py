"""Members from outside: a distribution with one file each runs an experiment to its end, and no line of hwnas changes.

The distribution is the one of docs/how-to/plugins.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas import pipeline
from hwnas.boards.pack import refuse_sensor
from hwnas.cli.entry import blamed
from hwnas.commands.plugins import FAMILIES
from hwnas.config import parse_experiment
from hwnas.errors import ConfigError, HwnasError, MissingExtra
from hwnas.export import FORMATS, Format, format_of, formats_of, runtime_for
from hwnas.measure.energy.meter import EnergyProtocol
from hwnas.registry import imported, member
from hwnas.runtimes import RUNTIMES, RuntimeSpec
from tests.helpers.repository import REPOSITORY

PAGE = (REPOSITORY / "docs" / "how-to" / "plugins.md").read_text(encoding="utf-8")
SPACE = """\
name: striped
task: ordinal
input: {channels: 1, resolution: 8}
classes: 4
stages:
  - {name: stem, op: siluconv, stride: 2, width: [4, 8], kernel: [1, 3]}
  - {name: body, op: [siluconv, conv], width: 8}
  - {name: head, op: classifier}
"""
EXPERIMENT: dict[str, Any] = {
    "name": "outside",
    "space": "space.yaml",
    "data": {"name": "stripes", "classes": 4},
    "threads": 1,
    "train": {"epochs": 1, "batch_size": 60, "strategy": "ends"},
    "accuracy": {"calibration_batches": 1},
    "setups": {"here": {"runtime": "plain_onnx"}},
    "tiers": {"edge": {"setup": "here", "minimize": ["depth"], "limits": {"work": 1e6, "depth": 3}}},
    "search": {
        "trials": 6, "sampler": "mutating", "population": 4,
        "zero_cost_init": {"proxies": ["weight_size"], "networks": 4, "keep": 1},
    },
    "timing": {"rounds": 20, "warm_up_ms": 1, "min_sample_ms": 0.1, "validation_networks": 3, "processes": 1},
    "export": {"picks": ["best"], "formats": ["gzipped_onnx", "onnx", "numbers"]},
}  # fmt: skip
Install = Callable[..., Path]


def distribution(folder: Path, **broken: str) -> Path:
    """The distribution of the page in a folder, as `pip install` leaves it; `broken` adds entry points by group."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in re.findall(r"^```python\n# file: (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(content)
    [project] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    groups = tomllib.loads(project)["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()) for group, points in groups.items()]
    for number, (group, points) in enumerate([("", ""), *broken.items()]):
        info = folder / f"example{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: example{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[hwnas.{group}]\n{points}\n" if group else "\n".join(lines))
    return folder


def forget() -> None:
    for reference in FAMILIES.values():
        vars(imported(reference, what="family", where="test")).pop("installed", None)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs the distribution for this process."""

    def installed(**broken: str) -> Path:
        folder = distribution(tmp_path / "site", **broken)
        monkeypatch.syspath_prepend(str(folder))
        for file in folder.glob("*.py"):
            monkeypatch.delitem(sys.modules, file.stem, raising=False)
        forget()
        return folder

    yield installed
    forget()


RUN = """\
from hwnas import pipeline
from hwnas.boards.pack import refuse_sensor
from hwnas.cli.entry import blamed
pipeline.run("outside.yaml")
pipeline.export("outside.yaml")
found = pipeline.doctor("outside.yaml")
assert not found.issues, found.issues
"""
NUMBERS = """\
from hwnas.export import Format
def export(module, input_shape, path, **options):
    path.write_text(str(sum(weights.numel() for weights in module.parameters())))
    return path
NUMBERS = Format("numbers", ".numbers", export)
"""
"""A format that no runtime runs."""


def test_an_experiment_of_members_from_outside_runs_to_its_end(tmp_path: Path) -> None:
    site = distribution(
        tmp_path / "site", operators="broken = nowhere:Nothing", runtimes="broken = nowhere:Nothing",
        formats="numbers = numbers_format:NUMBERS",
    )  # fmt: skip
    (site / "numbers_format.py").write_text(NUMBERS)
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "outside.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)])}
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "outside"
    manifest = json.loads((run / "bundle" / "edge" / "manifest.json").read_text())
    assert manifest["setup"]["runtime"] == "plain_onnx"
    assert manifest["versions"]["example0"] == "1.0"
    [model] = manifest["models"]
    files = {file["name"]: file for file in model["files"]}
    assert files.keys() == {"best.onnxgz", "best.onnx", "best.numbers"}
    unseen = files.pop("best.numbers")
    assert unseen["runtime"] == ""
    assert unseen["max_difference"] is unseen["test_classes_off"] is unseen["latency_ms"] is None
    assert (run / "bundle" / "edge" / "best.numbers").read_text() == str(model["params"])
    for file in files.values():
        assert file["runtime"].startswith("plain_onnx ")
        assert file["max_difference"] < 1e-4
    assert 0 <= model["test_classes_off"]["value"] <= 3
    assert manifest["quality"] == "classes_off"
    assert "best.numbers" in (run / "report.html").read_text()
    assert model["scores"]["depth"] == {"value": 3.0, "origin": "derived"}
    assert model["scores"]["work@here"]["value"] == model["macs"]
    assert '"op": "siluconv"' in (run / "latency" / "here.jsonl").read_text()
    assert "score@weight_size" in (run / "scores.jsonl").read_text()


def test_names_from_outside_are_taken_where_they_are_read(install: Install) -> None:
    install()
    experiment = {**EXPERIMENT, "export": {"formats": ["gzipped_onnx"]}}
    parse_experiment(experiment, where="here")
    with pytest.raises(ConfigError) as caught:
        parse_experiment({**experiment, "search": {"sampler": "mutatin"}}, where="here")
    assert "Did you mean `mutating`?" in caught.value.allowed
    assert not {"mutating", "plain_onnx", "gzipped_onnx"} & sys.modules.keys(), "a name is known without an import"


@pytest.mark.parametrize("group", FAMILIES)
def test_a_broken_member_is_named_and_others_work(install: Install, group: str) -> None:
    install(**{group: "broken = broken_module:Thing\nnumber = math:pi"})
    family = imported(FAMILIES[group], what="family", where="test")
    for name, message in (("broken", "cannot be imported"), ("number", "is ")):
        with pytest.raises(ConfigError, match=message) as caught:
            member(family, name, what="member", where="test")
        assert "example1 1.0" in caught.value.where
    examined = pipeline.doctor()
    assert [issue.where.count("example1 1.0") for issue in examined.issues] == [1, 1]
    assert len(examined.examined) == 10
    assert not examined.sound


def test_what_no_family_takes_is_an_issue(install: Install) -> None:
    install(operator="mine = siluconv:SiluConv", runtimes="tflite = plain_onnx:PLAIN_ONNX")
    problems = [(issue.problem, issue.allowed) for issue in pipeline.doctor().issues]
    assert [problem for problem, _ in problems] == [
        "example1 1.0 adds `mine` to a family that there is not", "example2 1.0 adds `tflite`, a name that is taken",
    ]  # fmt: skip
    assert problems[0][1].startswith("Did you mean `operators`?")


def test_an_operator_has_the_name_of_its_class(install: Install) -> None:
    install(operators="other = siluconv:SiluConv")
    family = imported(FAMILIES["operators"], what="family", where="test")
    with pytest.raises(ConfigError, match="is the class `SiluConv`"):
        member(family, "other", what="operator", where="test")


def test_no_kit_is_packed_for_code_from_outside(install: Install, tmp_path: Path) -> None:
    install(energy_sensors="wattmeter = wattmeter:find")
    with pytest.raises(ConfigError, match="no kit can be packed for the sensor `wattmeter`"):
        refuse_sensor(EnergyProtocol("wattmeter"))
    with pytest.raises(ConfigError, match="no kit can be packed") as caught:
        pipeline.pack("digits", tmp_path / "kit.pyz", runtime="plain_onnx")
    assert caught.value.met.endswith("runtime `plain_onnx`, which example0 1.0 adds")


def test_the_code_of_an_operator_is_part_of_what_its_files_are_found_by(install: Install) -> None:
    from hwnas.ops import OPERATORS
    from hwnas.ops.conv import Conv
    from hwnas.ops.plugins import installed_code

    folder = install()
    kind = member(OPERATORS, "siluconv", what="operator", where="test")
    before = installed_code(kind)
    assert before.startswith("example0 1.0 ")
    with (folder / "siluconv.py").open("a") as file:
        file.write("# changed\n")
    installed_code.cache_clear()
    assert installed_code(kind) != before
    assert installed_code(Conv) == ""


def test_what_code_from_outside_raises_is_told_with_its_distribution(install: Install) -> None:
    folder = install(samplers="raising = raising:sampler")
    (folder / "raising.py").write_text("def sampler(seed):\n    return 1 / 0\n")
    from hwnas.search.samplers import make_sampler

    with pytest.raises(ZeroDivisionError) as caught:
        make_sampler("raising", 0, 4)
    error = blamed(caught.value)
    assert isinstance(error, HwnasError)
    assert error.met == "example1 1.0 raised ZeroDivisionError: division by zero"
    assert error.where == f"{folder / 'raising.py'}:2"
    assert blamed(ValueError("of hwnas itself")) is None


def test_a_guide_is_made_for_samplers_that_declare_it(install: Install) -> None:
    folder = install(samplers="knowing = knowing:sampler\nneedy = knowing:needy")
    (folder / "knowing.py").write_text(
        "def sampler(seed, guide):\n    return guide\ndef needy(planets):\n    return 1\n"
    )
    from hwnas.search.samplers import make_sampler, needs_guide

    assert [needs_guide(name) for name in ("knowing", "mutating", "guided", "tpe")] == [True, False, True, False]
    guide: Any = object()
    assert make_sampler("knowing", 0, 4, guide) is guide
    with pytest.raises(ConfigError, match="needs `planets`"):
        make_sampler("needy", 0, 4)


def test_the_page_lists_every_family() -> None:
    assert set(re.findall(r"^\| `hwnas\.(\w+)`", PAGE, re.MULTILINE)) == FAMILIES.keys()


def test_two_formats_of_one_suffix_do_not_go_into_one_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS.own, "other", Format("other", ".onnx", "nowhere:export"))
    with pytest.raises(ConfigError, match=r"files of `onnx` and `other` both end in `\.onnx`"):
        formats_of(["tflite", "onnx", "other"])


def test_a_format_names_the_package_that_writes_it() -> None:
    with pytest.raises(MissingExtra) as caught:
        Format("x", ".x", "nowhere:export", module="no_such_module", packages=("no-such",)).check_package(where="here")
    assert caught.value.do.startswith("Run: pip install no-such, or leave the format out")


def test_a_format_without_a_runtime_has_none_and_two_formats_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES.own, "both", RuntimeSpec("nowhere:open", ("pt2", "own"), {"cuda": ("fp32",)}))
    assert format_of("both") is FORMATS["pt2"]
    assert [runtime_for(name, "both") for name in ("pt2", "own", "onnx")] == ["both", "both", "onnxruntime"]
    assert runtime_for("own", "onnxruntime") is None, "files are run on a processor"
    assert runtime_for("pt2", "onnxruntime") == "pytorch"
