"""The accuracy on the test images stands beside that on the validation images wherever a front is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.errors import RunError
from hwnas.pipeline.tested import accuracies_of_export


def written(folder: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return folder


def test_they_are_read_by_key_where_they_are_known(tmp_path: Path) -> None:
    assert accuracies_of_export(tmp_path) == {}
    models = [{"key": "ab", "test_top1": {"value": 0.96}}, {"key": "cd", "test_top1": {"value": None}}, {"key": "ef"}]
    assert accuracies_of_export(written(tmp_path, {"models": models})) == {"ab": 0.96}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "it is no JSON"),
        ({}, "`models` is missing"),
        ([], "it is a list, an object is needed"),
        ({"models": [{"test_top1": {"value": 1}}]}, r"`models\[0\].key` is missing"),
        ({"models": [{"key": "a", "test_top1": {"value": "x"}}]}, r"`models\[0\].test_top1.value` is a text"),
    ],
)
def test_a_damaged_manifest_is_an_error_that_names_the_field(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(RunError, match=words):
        accuracies_of_export(written(tmp_path, content))
