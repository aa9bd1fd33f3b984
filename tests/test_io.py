"""What is kept: written whole or not at all, read strictly, checked against damage."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.io.atomic import abandoned_parts, write_atomic
from hwnas.io.checksum import CHECKSUM_KEY, sealed, unsealed
from hwnas.io.command import command_line
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.io.regular import resolve_path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
READERS: tuple[Callable[[Fields, str], object], ...] = (
    Fields.text, Fields.number, Fields.integer, Fields.flag, Fields.object, Fields.array, Fields.texts, Fields.numbers,
    Fields.number_map, Fields.text_map, lambda fields, name: list(fields.objects(name)),
)  # fmt: skip


@given(JSON)
def test_a_reader_gives_a_value_or_names_the_field(value: object) -> None:
    for read in READERS:
        message = ""
        try:
            read(Fields({"inner": value}, "outer[2]"), "inner")
        except FieldError as error:
            message = str(error)
        assert not message or "outer[2].inner" in message


def test_a_missing_field_is_named() -> None:
    with pytest.raises(FieldError, match=r"`a\.b` is missing"):
        Fields({"a": {}}).object("a").number("b")


@pytest.mark.parametrize("text", ["[" * 200_000, "9" * 5_000, '{"a": NaN}', '{"a": 1', b"\xff\xfe", ""])
def test_what_is_no_json_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(FieldError):
        loads(text)


@pytest.mark.parametrize("value", [1e400, -1e400, 10**400, True, "3", None, [1]])
def test_a_number_is_finite_and_no_other_kind(value: object) -> None:
    with pytest.raises(FieldError, match="`x` is"):
        Fields({"x": value}).number("x")


@given(st.dictionaries(st.text(), JSON))
def test_a_sealed_line_opens_after_it_was_written(line: dict[str, object]) -> None:
    import json

    line.pop(CHECKSUM_KEY, None)
    assert unsealed(loads(json.dumps(sealed(line)))) == line


def test_a_changed_digit_breaks_the_seal() -> None:
    line = sealed({"rounds_ns": [1000, 2000]})
    with pytest.raises(FieldError, match="checksum"):
        unsealed({**line, "rounds_ns": [1000, 2001]})


def test_a_line_without_a_seal_is_read() -> None:
    assert unsealed({"a": 1}) == {"a": 1}


def test_a_write_that_fails_leaves_the_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_atomic(path, "old")

    def fail(file: BinaryIO) -> None:
        file.write(b"new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_atomic(path, fail)
    assert (path.read_text(), caught.value.filename, os.listdir(tmp_path)) == ("old", str(path), ["kept.json"])


def test_parts_of_dead_processes_are_told_from_those_of_living_ones(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    dead, alive = tmp_path / "deep" / ".a.json.4194400.part", tmp_path / f".a.json.{os.getpid()}.part"
    dead.touch(), alive.touch(), (tmp_path / "mine.part").touch()
    assert list(abandoned_parts(tmp_path)) == [dead]


def test_a_file_of_its_owner_alone_is_so_from_its_first_byte(tmp_path: Path) -> None:
    modes: list[int] = []

    def write(file: BinaryIO) -> None:
        modes.append(os.fstat(file.fileno()).st_mode & 0o777)

    write_atomic(tmp_path / "a", write, mode=0o600)
    assert [*modes, (tmp_path / "a").stat().st_mode & 0o777] == [0o600, 0o600]


@pytest.mark.parametrize("words", [["serve", "pg://a:S3CRET@h"], ["x", "me:S3/CRET@h"], ["--storage=pg://S3CRET"]])
def test_a_command_line_is_shown_without_urls(words: list[str]) -> None:
    assert "CRET" not in command_line(words)
    assert command_line(["bench", "--host", "me@pi4"]) == "bench --host me@pi4"


@pytest.mark.parametrize("text", ["1e999", "[-1e400]", '{"a": {"b": 2E999}}'])
def test_a_number_that_no_float_holds_is_refused(text: str) -> None:
    with pytest.raises(FieldError, match="too large a number"):
        loads(text)


def test_a_path_begins_here_else_at_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, base = tmp_path / "here", tmp_path / "base"
    for folder in (here, base):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    assert resolve_path("data.csv", base) == base / "data.csv", "it is still to be made, or missing"
    (base / "data.csv").touch()
    assert resolve_path("data.csv", base) == base / "data.csv"
    (here / "data.csv").touch()
    assert resolve_path("data.csv", base) == Path("data.csv")
    assert resolve_path("~/data.csv", base) == here / "data.csv"
