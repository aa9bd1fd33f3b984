"""JSON Schemas: in step with the code, true of every shipped file, and not of files with typing errors."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from hwnas import cli
from hwnas.commands.schema import Kind, schema, schema_text
from hwnas.errors import SpaceError
from hwnas.io.yaml import read_yaml
from hwnas.space.inputs import read_input
from hwnas.space.stage import Knob
from tests.helpers.repository import REPOSITORY

FOLDERS = {"space": "search_spaces", "experiment": "experiments"}
FILES = [(kind, path) for kind, folder in FOLDERS.items() for path in sorted((REPOSITORY / folder).glob("*.yaml"))]


@cache
def validator(kind: Kind) -> Draft202012Validator:
    return Draft202012Validator(schema(kind))


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_shipped_schema_is_that_of_the_code(kind: Kind) -> None:
    shipped = REPOSITORY / "schemas" / f"{kind}.schema.json"
    assert shipped.read_text(encoding="utf-8") == schema_text(kind), f"run: hwnas schema {kind} -o {shipped}"
    Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_every_shipped_file_is_valid(kind: Kind, path: Path) -> None:
    assert [error.message for error in validator(kind).iter_errors(read_yaml(path))] == []


SPACE: dict[str, Any] = {
    "name": "mine", "input": {"channels": 3, "resolution": [24, 32]}, "classes": 10, "choices": {"size": [3, 5]},
    "stages": [
        {"name": "stem", "op": "conv", "width": [8, 16], "stride": 2},
        {"name": "s1", "op": "mbconv", "depth": [1, 2], "width": 16, "kernel": "$size", "expand": [2, 4.5],
         "se": [False, True], "per": {"expand": "stage"}},
        {"name": "head", "op": "classifier", "features": [32, 64]},
    ],
}  # fmt: skip
WRONG: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "a key of the space": (("clases",), 10),
    "a key of the input": (("input", "resolutions"), 32),
    "a resolution that is no number": (("input", "resolution"), "32px"),
    "classes as a word": (("classes",), "ten"),
    "an operator": (("stages", 1, "op"), "mbcnov"),
    "a knob": (("stages", 1, "kernal"), 3),
    "a knob of another operator": (("stages", 2, "expand"), 4),
    "a knob that is no number": (("stages", 1, "kernel"), "three"),
    "a list without options": (("stages", 1, "expand"), []),
    "an option twice": (("stages", 1, "expand"), [2, 2]),
    "a stride to choose": (("stages", 0, "stride"), [1, 2]),
    "a level": (("stages", 1, "per"), "layers"),
    "a name in capitals": (("stages", 1, "name"), "S1"),
    "a notation": (("notation",), "ofas"),
}


def changed(raw: dict[str, Any], keys: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(raw)
    held: Any = raw
    for key in keys[:-1]:
        held = held[key]
    held[keys[-1]] = value
    return raw


def test_a_space_with_all_kinds_of_keys_is_valid() -> None:
    assert validator("space").is_valid(SPACE)


TENSOR = {"shape": [6, [50, 100]]}


def knob(raw: Any, where: str, name: str, *, least: int | None = None) -> Knob:
    return Knob((3, 5) if raw == "$size" else tuple(raw) if isinstance(raw, list) else (raw,))


@pytest.mark.parametrize(
    "given",
    [
        TENSOR,
        {"shape": [128], "dtype": "int64", "below": 30_000},
        {"left": TENSOR, "right": TENSOR},
        {"shape": [6, "$size"]},
    ],
    ids=str,
)
def test_every_form_of_an_input_that_is_read_is_valid(given: dict[str, Any]) -> None:
    assert read_input(given, knob, "space")
    assert validator("space").is_valid(changed(SPACE, ("input",), given))


@pytest.mark.parametrize(
    "given", [{}, {"shape": []}, {"shape": [6], "dtype": "int9"}, {"left": {"shpe": [6]}}, {"Left": TENSOR}], ids=str
)
def test_an_input_that_is_refused_is_not_valid(given: dict[str, Any]) -> None:
    with pytest.raises(SpaceError):
        read_input(given, knob, "space")
    assert not validator("space").is_valid(changed(SPACE, ("input",), given))


@pytest.mark.parametrize(("keys", "value"), WRONG.values(), ids=WRONG)
def test_a_wrong_space_is_not_valid(keys: tuple[str | int, ...], value: Any) -> None:
    assert not validator("space").is_valid(changed(SPACE, keys, value))


def test_operators_of_plugins_and_blocks_are_open() -> None:
    own = changed(SPACE, ("stages", 1, "op"), "fused")
    assert not validator("space").is_valid(own)
    assert validator("space").is_valid(own | {"plugins": ["my_ops.py"]})
    del own["stages"][1]["kernel"], own["stages"][1]["expand"], own["stages"][1]["per"], own["stages"][1]["se"]
    assert validator("space").is_valid(own | {"blocks": {"fused": {"op": "mbconv", "kernel": 3, "expand": 4}}})
    assert not validator("space").is_valid(own | {"blocks": {"fused": {"op": "mbconv", "kernal": 3, "expand": 4}}})


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("tain",), {}),
        (("train", "epoch"), 3),
        (("train", "epochs"), 0),
        (("setups", "cloud_cpu", "runtime"), "onxruntime"),
        (("tiers", "edge", "limits", "latency"), 3),
        (("search", "sampler"), "nsga"),
        (("data",), {"name": "csv", "path": "a.csv", "target": "class", "tagret": "class"}),
        (("data",), {"name": "csv", "path": "a.csv"}),
        (("data",), {"name": "wav", "path": "words", "length": "long"}),
        (("data",), {"limit": 3}),
    ],
)
def test_a_wrong_experiment_is_not_valid(keys: tuple[str | int, ...], value: Any) -> None:
    whole = read_yaml(REPOSITORY / "experiments" / "quickstart.yaml")
    assert validator("experiment").is_valid(whole)
    assert not validator("experiment").is_valid(changed(whole, keys, value))


@pytest.mark.parametrize(
    "data",
    [
        "digits",
        "mine.py:load",
        {"function": "mine.py:load", "limit": 30},
        {"name": "of_a_distribution", "anything": 3},
        {"name": "images", "path": "photos", "resolution": [24, 32], "channels": 1, "test": 0.1},
        {"name": "arrays", "path": {"x_train": "x.npy", "y_train": "y.npy"}},
        {"name": "csv", "path": "a.csv", "target": ["x", "y"], "window": {"length": 100, "step": 50}, "group": "who"},
        {"name": "wav", "path": "words", "log_mel": {"mels": 10}, "group": "_nohash_"},
    ],
    ids=str,
)
def test_data_may_have_the_options_of_its_reader(data: Any) -> None:
    whole = read_yaml(REPOSITORY / "experiments" / "quickstart.yaml")
    assert validator("experiment").is_valid(changed(whole, ("data",), data))


def test_the_command_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["hwnas", "schema", "space", "-o", str(tmp_path / "space.schema.json")])
    with pytest.raises(SystemExit):
        cli.main()
    assert (tmp_path / "space.schema.json").read_text() == schema_text("space")
