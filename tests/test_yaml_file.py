"""YAML is read strictly and safely."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import ConfigError
from hwnas.io import yaml as yaml_file
from hwnas.io.yaml import DEEPEST, dump_yaml, parse_yaml, read_yaml


def read(folder: Path, text: str) -> dict[str, object]:
    path = folder / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


def test_a_mapping_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "a: 1\nb: {c: [1, 2.5, true, x]}") == {"a": 1, "b": {"c": [1, 2.5, True, "x"]}}


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = "base: &base {kernel: 3, expand: 6}\nstage: {<<: *base, kernel: 5}"
    assert read(tmp_path, text)["stage"] == {"kernel": 5, "expand": 6}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"x\.yaml:3: this is not valid YAML \(key `a` stands here twice\)"),
        ("s:\n  - {kernel: 3, kernel: 5}", r"x\.yaml:2: .*key `kernel` stands here twice"),
        ("a: [1, 2", r"x\.yaml:\d: this is not valid YAML"),
        ("- a\n- b", r"x\.yaml: the file holds list instead of named keys"),
        ("", r"x\.yaml: the file is empty"),
        ("1: a", r"x\.yaml:1: key `1` is a whole number. A key is a text"),
        ("a: {no: 1}", r"x\.yaml:1: key `no` is true or false"),
        ("a: !!python/object/apply:os.getcwd []", r"this is not valid YAML"),
    ],
)
def test_what_is_no_plain_mapping_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(ConfigError, match=r"the file cannot be read .* `hwnas init DIR`"):
            read_yaml(path)
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        read_yaml(tmp_path / "latin.yaml")


# --- numbers that readers of YAML disagree about ---


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("010", "Write 8 or 10"),
        ("-010", "Write -8 or -10"),
        ("00", "Write 0"),
        ("0o10", "Write 8"),
        ("0b101", "Write 5"),
        ("1_000", "digits alone"),
        ("1_0.5", "digits alone"),
        ("1:30", "decimal digits"),
        ("1:30.5", "decimal digits"),
        ("1" * 5000, "quotes"),
        ("1" * 31, "30 digits at most"),
        ("0x" + "F" * 5000, "30 digits at most"),
    ],
)
def test_a_number_that_readers_disagree_about_is_refused_and_said_better(written: str, instead: str) -> None:
    for text in (f"a: 1\nb: {written}", f"a: 1\nb: [{written}]", f"a: 1\nb: {{c: {written}}}"):
        with pytest.raises(ConfigError, match=instead) as caught:
            parse_yaml(text, where="x.yaml")
        assert caught.value.where == "x.yaml:2"
        assert len(str(caught.value)) < 300
    assert parse_yaml(f"a: '{written}'", where="x.yaml") == {"a": written}, "quoted, it is a text"


@pytest.mark.parametrize("number", ["0", "-1", "10", "1.5", "0.5", "-0.25", "1.0e-3", "0x1F", "100000000000000000000"])
def test_plain_numbers_are_numbers(number: str) -> None:
    assert parse_yaml(f"[{number}]", where="x") == [int(number, 0) if number.lstrip("-").isalnum() else float(number)]


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]+", fullmatch=True), st.from_regex(r"[-+]?0?[0-9_:oObx.e]{0,6}|yes|on|~|=", fullmatch=True)
    )
)
def test_texts_that_look_like_numbers_are_read_back_as_texts(mapping: dict[str, str]) -> None:
    assert parse_yaml(dump_yaml(mapping), where="x") == (mapping or {})


# --- whatever stands in a file, it is a mapping or an error in four parts with its line ---


@pytest.mark.parametrize(
    "text",
    [
        "2026-99-99", "0b_", "!!int ''", "!!bool x", "!!timestamp x", "!!float x", "!!binary x", "!!set {a, b}",
        "!!omap [a: 1]", "!!python/object/apply:os.getcwd []", "&a [*a]", "&a {b: *a}", "*nope", "!!map x", "!!str [a]",
        "<<", "=", "{[a]: 1}", '"\\0"', '"\\ud800"', '"\\U00110000"', '"\\e[31m"', "\0", "[" * 3000, "{a: " * 3000,
        "- " * 3000,
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_a_scalar_that_is_none_of_its_kind_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"a: 1\nb:\n  {text}\n")
    error = caught.value
    assert error.where == f"{tmp_path / 'x.yaml'}:3"
    assert all((error.met, error.allowed, error.do))
    assert not any(part.endswith(".") for part in (error.met, error.allowed, error.do))


def test_depth_has_a_bound() -> None:
    deep = DEEPEST - 1
    assert parse_yaml("[" * deep + "]" * deep, where="x")
    with pytest.raises(ConfigError, match=f"{DEEPEST} deep at most"):
        parse_yaml("[" * (deep + 1) + "x" + "]" * (deep + 1), where="x")


def test_a_file_of_too_many_values_is_refused_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.monotonic()
    monkeypatch.setattr(yaml_file, "MOST_VALUES", 1000)
    laughs = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))
    for text in (f"a0: &a0 [x]\n{laughs}", f"a: [{', '.join(map(str, range(1000)))}]"):
        with pytest.raises(ConfigError, match="too many values"):
            read(tmp_path, text)
    with pytest.raises(ConfigError, match=r"the file cannot be read \(it has 20,000,000 bytes\)"):
        read(tmp_path, "a" * 20_000_000)
    assert time.monotonic() - start < 10


def test_a_byte_that_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match="byte 0xff on line 2 is no UTF-8"):
        read_yaml(tmp_path / "x.yaml")


ODD = st.sampled_from([
    "2026-99-99", "0b_", "1" * 5000, "!!int ''", "!!bool x", "!!timestamp x", "!!binary x", "!!set", "!!omap", "!!map",
    "!!str", "!!null", "&a", "*a", "<<", ":", "? ", "- ", "[", "]", "{", "}", ",", "\n", "\n  ", "'", '"', "\\", "|",
    ">", "|9", "%", "@", "`", "!", "!!", "!<", "---", "...", "#", "\ud800", "\0", "\x07", "\ufeff", "\u2028", "1e999",
    ".inf", ".nan", "~", "yes", "a", "b: ", "a: 1", "0o7", "010", "1:30", "1_0", "1", '"\\ud800"', '"\\U00110000"',
    '"\\xg"', "\t", "\r", "é",
])  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(ODD | st.text(max_size=4), max_size=12), st.sampled_from(["", " ", "a: ", "a: 1\nb: "]))
def test_any_text_is_plain_data_or_an_error_with_four_parts(parts: list[str], head: str) -> None:
    found, error = None, None
    try:
        found = parse_yaml(head + "".join(parts), where="x.yaml")
    except ConfigError as caught:
        error = caught
    if error is not None:
        assert error.where.startswith("x.yaml")
        assert all((error.met, error.allowed, error.do))
        assert len(str(error)) < 1000
    else:
        assert parse_yaml(dump_yaml({"kept": found}), where="again") == {"kept": found} or ".nan" in parts
