"""Architectures from outside: whatever JSON holds, it is an architecture of the space or an error in four parts."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas.commands.check_operator import certify
from hwnas.errors import ConfigError, DataError, SpaceError
from hwnas.notation import read_architecture, write_architecture
from hwnas.space import Architecture, read_space
from hwnas.tabular.columns import Columns
from hwnas.tabular.rows import Names
from hwnas.workspace.architectures import architecture_of, check_named, pick_architecture, read_architectures, read_json
from tests.helpers.tiny import SPACES

DIGITS = read_space(SPACES["digits"])
NOTATED = ("fbnet", "nas_bench_macro", "ofa_resnet50d", "autoformer_tiny", "attentive_nas")
opened = cache(lambda name: read_space(SPACES[name]))
DEEP = "[" * 100_000
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The trails to all values in JSON, the whole of it first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [trail, *(place for key, one in inner for place in places(one, (*trail, key)))]


def replaced(value: Any, trail: tuple[Any, ...], new: Any) -> Any:
    if not trail:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[trail[0]] = replaced(value[trail[0]], trail[1:], new)
    return copied


def in_four_parts(error: SpaceError | ConfigError | DataError) -> bool:
    return all((error.met, error.where, error.allowed, error.do)) and len(str(error)) < 2000


@pytest.mark.parametrize("name", ["digits", *NOTATED])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_valid_but_for_one_thing_is_refused_or_taken(name: str, data: st.DataObject) -> None:
    space = opened(name)
    architecture = space.random(random.Random(0))
    for form in (architecture.as_dict(), write_architecture(space, architecture)):
        if form is None:
            continue
        raw = replaced(form, data.draw(st.sampled_from(places(form)[:20])), data.draw(JUNK))
        try:
            read = architecture_of(space, raw, where="here")
        except SpaceError as error:
            assert in_four_parts(error)  # noqa: PT017
        else:
            assert space.blueprint(read)


@pytest.mark.parametrize("raw", [None, "text", 3, 1.5, True, [], ["a"], {}, {"space": "x"}, {"picks": {}, "space": 3},
    {"space": "x", "picks": {"a": [1]}}, {"space": "x", "picks": {"a": {"b": 1}}},
    {"space": "x", "picks": {"a": float("nan")}}, {"space": "x", "picks": {3: 1, "a": 2}}, {3: 4, "a": 5}],
    ids=str)  # fmt: skip
def test_what_is_no_architecture_is_refused_by_its_form(raw: object) -> None:
    with pytest.raises(SpaceError, match="The form is") as caught:
        Architecture.from_dict(raw, where="fronts/edge.json")
    assert caught.value.where == "fronts/edge.json"


@pytest.mark.parametrize(
    ("text", "met"),
    [(DEEP, "nested too deeply"), ("1" * 5000, "digits"), ("{", "no JSON"), ("NaN", "NaN is no number")],
    ids=["deep", "digits", "cut", "NaN"],
)
def test_every_reader_of_json_names_the_file_and_what_is_wrong(text: str, met: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SpaceError, match=met) as caught:
        pick_architecture(DIGITS, str(path))
    assert caught.value.where == str(path)
    with pytest.raises(SpaceError):
        read_architectures(DIGITS, path)
    with pytest.raises(ConfigError, match="is"):
        certify("conv", knobs=[text])
    if text[0] in "[{":
        with pytest.raises(DataError, match="row 1 names no architecture"):
            Names(DIGITS).keys(Columns(path, ("arch",), lambda name: np.array([text])), "arch")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{\xff")
    for read in (lambda path: pick_architecture(DIGITS, str(path)), lambda path: read_architectures(DIGITS, path)):
        with pytest.raises(SpaceError, match="it is no UTF-8 text") as caught:
            read(tmp_path / "a.json")
        assert caught.value.where == str(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("which", "near"),
    [
        ("lagest", "`largest`"), ("Largest", "`largest`"), ("smalest", "`smallest`"), ("rando:3", "`random:SEED`"),
        ("random", "`random:SEED`"), ("random:x", "`random:SEED`"), ("random:" + "1" * 5000, "`random:SEED`"),
        ("nonsense", None), ("a\0b", None), ("x" * 5000, None), ("", None),
    ],
)  # fmt: skip
def test_a_misspelt_architecture_is_told_the_nearest_word(which: str, near: str | None) -> None:
    with pytest.raises(SpaceError) as caught:
        check_named(which)
    assert in_four_parts(caught.value)
    assert caught.value.allowed.startswith(f"Did you mean {near}? " if near else "largest, smallest")


def test_json_with_its_form_is_read(tmp_path: Path) -> None:
    path, architecture = tmp_path / "a.json", DIGITS.random(random.Random(1))
    path.write_text(json.dumps({"architecture": architecture.as_dict(), "scores": {}}))
    assert pick_architecture(DIGITS, str(path)) == architecture
    assert read_json(path, where="x", allowed="y", do="z")["scores"] == {}
    with pytest.raises(SpaceError):
        read_architecture(DIGITS, architecture.as_dict(), where="here")
