"""YAML is read strictly and safely."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.errors import ConfigError
from hwnas.yaml_file import read_yaml


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
        ("1: a", r"instead of named keys"),
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
