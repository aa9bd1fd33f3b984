"""Missing rows: what is inferred from rows, however they are ordered, and how surely."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hwnas.errors import TableError
from hwnas.latency.imputation.missing_rows import FEWEST_ROWS, MissingRows
from hwnas.network import operators_of
from hwnas.ops import Operator, Shape
from hwnas.ops.conv import Conv
from hwnas.ops.costs import operator_costs
from hwnas.ops.mbconv import MBConv
from hwnas.space import read_space

Links = list[tuple[Operator, Shape]]


@pytest.fixture(scope="module")
def links(repository: Path) -> Links:
    return list(operators_of(read_space(repository / "search_spaces" / "ofa_mobilenet_v3_224.yaml")))


def machine(links: Links, noise: float = 0.0) -> NDArray[np.float64]:
    """A machine that computes and moves bytes at given rates."""
    rng = np.random.default_rng(0)
    costs = [operator_costs(*link) for link in links]
    ms = [0.01 + cost.macs / 4e7 + 4 * cost.params / 2e7 + cost.activation_bytes / 1e7 for cost in costs]
    return np.array(ms) * np.exp(noise * rng.normal(size=len(ms)))


def test_rows_left_out_are_estimated_within_their_intervals(links: Links) -> None:
    ms, order = machine(links, 0.02), random.Random(0).sample(range(len(links)), len(links))
    known, left = order[:70], order[70:]
    found, deviation = MissingRows.fit([links[i] for i in known], ms[known]).predict([links[i] for i in left])
    error = np.abs(found / ms[left] - 1)
    assert error.mean() < 0.06
    assert (error <= 1.6449 * deviation).mean() >= 0.7
    plain = np.abs(np.median(ms[known]) / ms[left] - 1)
    assert error.mean() < 0.2 * plain.mean()


def test_the_order_of_the_rows_does_not_matter(links: Links) -> None:
    links = [link for link in links if isinstance(link[0], MBConv)]
    ms, order = machine(links, 0.05), random.Random(1).sample(range(60), 60)
    one = MissingRows.fit(links[:60], ms[:60]).predict(links[60:])
    other = MissingRows.fit([links[i] for i in order], ms[order]).predict(links[60:])
    assert np.allclose(one, other, rtol=1e-6)


def test_a_machine_twice_as_slow_is_twice_as_slow(links: Links) -> None:
    links = [link for link in links if isinstance(link[0], MBConv)]
    ms = machine(links, 0.05)
    (slow, slow_sd), (quick, quick_sd) = (MissingRows.fit(links[:60], k * ms[:60]).predict(links[60:]) for k in (2, 1))
    assert np.allclose(slow, 2 * quick, rtol=1e-3)
    assert np.allclose(slow_sd, quick_sd, rtol=1e-2)


def test_a_row_comes_back_about_as_it_was(links: Links) -> None:
    ms = machine(links, 0.02)
    found, _ = MissingRows.fit(links, ms).predict(links)
    assert np.abs(found / ms - 1).mean() < 0.05


def test_what_rows_do_not_tell_is_refused(links: Links) -> None:
    ms = machine(links)
    with pytest.raises(TableError, match=f"{FEWEST_ROWS - 1} rows"):
        MissingRows.fit(links[: FEWEST_ROWS - 1], ms[: FEWEST_ROWS - 1])
    with pytest.raises(TableError, match="the least time 0"):
        MissingRows.fit(links, np.where(ms == ms[3], 0.0, ms))
    blocks = [(op, shape) for op, shape in links if isinstance(op, MBConv)]
    taught = MissingRows.fit(blocks, machine(blocks))
    with pytest.raises(TableError, match="no row of kind `conv`"):
        taught.predict([(Conv(3, 16, 3), (3, 32, 32))])
    with pytest.raises(TableError, match="gelu"):
        taught.predict([(MBConv(24, 24, 3, 3, activation="gelu"), (24, 56, 56))])
    assert taught.predict([])[0].shape == (0,)
