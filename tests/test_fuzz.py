"""Bad input, most of it valid but for one thing, ends in an error: the short profile of `benchmarks/fuzz.py`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmarks import _fuzz_base, _fuzz_inputs, _fuzz_judge, _fuzz_work, _mutations

SEED, INPUTS, PARTS = 13, 160, 8


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _fuzz_base.make_quick(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_bad_input_ends_in_an_error_and_damages_nothing(part: int, base: Path) -> None:
    seen = []
    for number in range(part, INPUTS, PARTS):
        done = _fuzz_work.once(number, SEED, base, kinds=_fuzz_inputs.QUICK)
        seen += [(number, done["file"], done["what"], fault) for fault in done["faults"]]
    assert not seen, json.dumps(seen, indent=1)


@pytest.mark.slow
def test_a_seed_names_an_input(base: Path, tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for number in range(20):
        one, two = (
            _fuzz_inputs.made(number, SEED, base, folder / str(number), _fuzz_inputs.QUICK) for folder in folders
        )
        assert one == two
    assert _fuzz_judge.content_of(folders[0]) == _fuzz_judge.content_of(folders[1])


def test_most_changes_leave_a_file_that_can_be_parsed() -> None:
    content = json.dumps({"a": [1, 2, {"b": "x"}], "c": 0.5, "d": {"e": None}}).encode()
    parsed = {_mutations.in_json: json.loads, _mutations.in_yaml: yaml.safe_load}
    for change, read in parsed.items():
        good = 0
        for number in range(100):
            made = change(content, random.Random(number))
            try:
                good += read(made.content) != json.loads(content)
            except (ValueError, RecursionError, AttributeError, KeyError, yaml.YAMLError):
                continue
        assert good > 60


def test_a_command_that_fails_without_words_or_hangs_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kinds_of(behavior: object, *more: str) -> list[str]:
        monkeypatch.setattr(_fuzz_judge.entry, "main", behavior)
        return [fault.kind for fault in _fuzz_judge.faults(_fuzz_judge.tried(["show", "x", *more], tmp_path))]

    def traced() -> None:
        raise KeyError("architecture")

    def silent() -> None:
        raise SystemExit(1)

    def endless() -> None:
        while True:
            pass

    def damaging() -> None:
        (tmp_path / "kept").write_text("other")

    def judging(printed: str) -> Callable[[], None]:
        def judge() -> None:
            print(printed)
            raise SystemExit(2)

        return judge

    monkeypatch.setattr(_fuzz_judge, "HANG_S", 0.05)
    assert kinds_of(judging('{"empty": true}'), "--json") == []
    assert kinds_of(judging('{"empty": true}\n{}'), "--json") == ["output"]
    assert kinds_of(traced) == ["traceback"]
    assert kinds_of(silent) == ["silent"]
    assert kinds_of(endless) == ["hang"]
    assert kinds_of(damaging) == ["damaged"]
    assert kinds_of(lambda: print("latency nan ms")) == ["absurd"]
    assert kinds_of(lambda: print("latency 0.1 ms")) == []
