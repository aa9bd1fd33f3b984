"""Counts of operators are kept between processes, and never stand for anything but what was counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hwnas.ops import costs, count_cache
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.costs import operator_costs, operator_params

CONV, SHAPE = Conv(3, 8), (3, 8, 8)


def forget() -> None:
    for cached in (costs.operator_costs, costs.operator_params, count_cache.count_cache):
        cached.cache_clear()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of counts, in a cache folder of the test's own."""
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path))
    forget()
    yield count_cache.count_cache().file
    forget()


def in_another_process() -> None:
    """As if this one ended and the next one began."""
    count_cache.count_cache().write(os.getpid())
    forget()


def test_what_was_counted_is_told_without_counting(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = operator_costs(CONV, SHAPE)
    in_another_process()
    monkeypatch.setitem(sys.modules, "hwnas.ops.counting", None)  # it cannot be imported
    assert operator_costs(CONV, SHAPE) == counted
    assert operator_params(CONV) == counted.params
    with pytest.raises(ImportError):
        operator_costs(CONV, (3, 16, 16))


def test_a_process_adds_to_what_others_kept(file: Path) -> None:
    operator_costs(CONV, SHAPE)
    in_another_process()
    mine = operator_costs(Classifier(8, 10), (8, 4, 4)), operator_costs(CONV, (3, 16, 16))
    in_another_process()
    kept = count_cache.read_counts(file)
    assert kept.counts_of(CONV, SHAPE) is not None
    assert kept.counts_of(Classifier(8, 10), (8, 4, 4)) == (
        mine[0].macs,
        mine[0].activation_bytes,
        mine[0].output_shape,
    )
    assert kept.counts_of(CONV, (3, 16, 16)) == (mine[1].macs, mine[1].activation_bytes, mine[1].output_shape)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: json.dumps({"params": {}, "at": json.loads(text)["at"]}),
        lambda text: text.replace("[8, 8, 8]", '"8"'),
        lambda text: text.replace(str(operator_params(CONV)), "null"),
    ],
    ids=["half", "list", "no parameters", "no shape", "no number"],
)
def test_a_damaged_file_is_counted_anew(file: Path, damage: Callable[[str], str]) -> None:
    counted = operator_costs(CONV, SHAPE)
    in_another_process()
    damaged = damage(file.read_text())
    assert damaged != file.read_text()
    forget()
    file.write_text(damaged)
    assert operator_costs(CONV, SHAPE) == counted


def test_operators_of_others_are_not_kept(file: Path) -> None:
    """Their code may change from one command to the next, and is no part of the file's name."""

    class Mine(Conv):
        pass

    operator_costs(Mine(3, 8), SHAPE)
    count_cache.count_cache().write(os.getpid())
    assert not count_cache.read_counts(file).params


def test_other_code_or_another_pytorch_has_another_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_cache.metadata, "version", lambda name: "99.0")
    count_cache.count_cache.cache_clear()
    assert count_cache.count_cache().file != file


def test_where_nothing_can_be_written_counts_are_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_CACHE", str(file.parent / "a file" / "below"))
    (file.parent / "a file").touch()
    counted = operator_costs(CONV, SHAPE)
    forget()
    assert operator_costs(CONV, SHAPE) == counted
    count_cache.count_cache().write(os.getpid())


@pytest.mark.slow
def test_the_second_command_needs_no_compiler_of_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's meta kernels import it with sympy: a second of processor time."""
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path))
    program = (
        "import sys; from hwnas import pipeline; cost = pipeline.cost('digits'); "
        "print(cost['params'], cost['macs'], 'sympy' in sys.modules)"
    )
    told = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    ]
    assert told[0][:2] == told[1][:2]
    assert told[1][2] == "False"
