"""Counts of operators are kept between processes, and never stand for anything but what was counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.ops import count_cache
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.costs import operator_costs, operator_params
from tests.helpers.shipped_counts import counted_anew, forget, without_shipped

CONV, SHAPE = Conv(3, 8), (3, 8, 8)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The file of counts, in a cache folder of the test's own."""
    with without_shipped(tmp_path):
        yield count_cache.count_cache().file


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


def test_as_written_counts_are_kept_beside(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = pipeline.cost("nas_bench_201")["as_written"], pipeline.cost("ofa_proxyless_w1.3")["as_written"]
    in_another_process()
    for counter in ("counting", "torchstat", "layermacs"):
        monkeypatch.setitem(sys.modules, f"hwnas.ops.{counter}", None)
    assert (pipeline.cost("nas_bench_201")["as_written"], pipeline.cost("ofa_proxyless_w1.3")["as_written"]) == counted


COUNTED = (
    "cifar10_vit",
    "digits",
    "fbnet",
    "imu",
    "keywords",
    "mlperf_tiny_resnet8",
    "nas_bench_201",
    "ofa_proxyless_w1.3",
    "shapes_segmentation",
    "tabular",
)
"""Spaces of each kind of input and task, and those that have counts as they were written."""


@pytest.mark.slow
def test_shipped_counts_are_those_of_this_code_and_this_pytorch(tmp_path: Path) -> None:
    """The same code counts the same; a sample tells another PyTorch, and `--check` compares every count."""
    anew = json.loads(json.dumps(counted_anew(tmp_path, COUNTED, most=5)))
    shipped = json.loads(count_cache.SHIPPED_COUNTS.read_text())
    assert shipped["code"] == anew["code"], "run `python -m tests.helpers.shipped_counts`"
    assert anew["params"].items() <= shipped["params"].items()
    for counter, lines in anew["at"].items():
        for line, shapes in lines.items():
            assert shapes.items() <= shipped["at"][counter][line].items()


def test_counts_of_other_code_are_not_read(tmp_path: Path) -> None:
    assert not count_cache.read_counts(count_cache.SHIPPED_COUNTS, "other").params


def test_costs_of_shipped_spaces_are_there_without_pytorch(tmp_path: Path) -> None:
    """The first time as well, in an empty cache folder, which stays empty; and one is shown without it."""
    program = (
        "import sys; from hwnas import pipeline; from hwnas.io.resources import shipped_names\n"
        "for space in shipped_names('search_spaces'): pipeline.cost(space)\n"
        "pipeline.view(pipeline.open_space('digits')[0])\n"
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "HWNAS_CACHE": str(tmp_path)}
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=environment)
    assert printed.stdout.split() == [b"False"]
    assert not any(tmp_path.iterdir())
