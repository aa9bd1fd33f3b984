"""The size of a network's file, told before it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from hwnas.errors import TableError
from hwnas.export import format_of
from hwnas.latency.file_size import predict_file_bytes, saved_by_joining
from hwnas.measure.table import LatencyTable, open_table, read_table
from hwnas.measure.timing import Measurement
from hwnas.network import Network, build, lower
from hwnas.runtimes import RUNTIMES
from hwnas.runtimes.setup import Setup
from hwnas.space import read_space
from tests.helpers.spaces import SMALL

SETUP = Setup("board", "runtime", "1.0")
TIMED = Measurement((1.0, 1.0, 1.0))


def made_up(tmp_path: Path, sizes: list[int], overhead: int) -> tuple[LatencyTable, Network]:
    """A table with made-up sizes of one network's operators."""
    space = SMALL["per layer"]
    network = lower(space, space.largest())
    table = open_table(tmp_path / "t.jsonl", SETUP)
    table.append_overhead(TIMED, overhead)
    for (operator, shape), size in zip(network.links, sizes, strict=True):
        table.append_row(operator, shape, TIMED, size)
    return table, network


def test_operators_are_added_and_what_they_share_is_counted_once(tmp_path: Path) -> None:
    table, network = made_up(tmp_path, [1000, 2000, 4000], overhead=300)
    assert saved_by_joining(table) == 300
    assert predict_file_bytes(table, network) == 7000 - 2 * 300


def test_what_joining_saves_is_learnt_from_whole_networks(tmp_path: Path) -> None:
    table, network = made_up(tmp_path, [1000, 2000, 4000], overhead=300)
    table.append_check(network, TIMED, 7240)
    assert saved_by_joining(table) == -120
    assert predict_file_bytes(table, network) == 7240
    assert saved_by_joining(read_table(table.path)) == -120, "it is kept in the file"


def test_a_check_without_a_size_or_with_unknown_operators_teaches_nothing(tmp_path: Path) -> None:
    table, network = made_up(tmp_path, [1000, 2000, 4000], overhead=300)
    table.append_check(network, TIMED)
    other = SMALL["blocks"]
    table.append_check(lower(other, other.largest()), TIMED, 99)
    assert saved_by_joining(table) == 300


def test_an_operator_without_a_size_is_named(tmp_path: Path) -> None:
    table, network = made_up(tmp_path, [1000, 2000, 4000], overhead=300)
    with pytest.raises(TableError, match="1 of 2 operators have no file size, first mbconv") as caught:
        predict_file_bytes(table, lower(SMALL["per layer"], SMALL["per layer"].smallest()))
    assert str(table.path) == caught.value.where
    assert predict_file_bytes(table, network) == 7000 - 600


@pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=[pytest.mark.slow] * (name == "tflite")) for name in RUNTIMES]
)
def test_predicted_sizes_are_those_of_real_files(runtime: str, tmp_path: Path, repository: Path) -> None:
    """Within 10 %, for the smallest network too, where what a file holds beside weights weighs most."""
    space = read_space(repository / "search_spaces" / "digits.yaml")
    export = format_of(runtime).exporter
    tried = lower(space, space.smallest())
    taught = lower(space, space.sample(lambda c: c.options[-1 if c.name == "head.1.features" else 0]))

    def size(module: nn.Module, shape: tuple[int, ...]) -> int:
        return int(export(module.eval(), shape, tmp_path / "model").stat().st_size)

    table = open_table(tmp_path / "t.jsonl", SETUP)
    table.append_overhead(TIMED, size(nn.Identity(), (8, 1, 1)))
    for operator, shape in {**dict.fromkeys(taught.links), **dict.fromkeys(tried.links)}:
        table.append_row(operator, shape, TIMED, size(operator.module(), shape))
    table.append_check(taught, TIMED, size(build(taught), taught.input_shape))
    real = size(build(tried), tried.input_shape)
    assert predict_file_bytes(table, tried) == pytest.approx(real, rel=0.1)
