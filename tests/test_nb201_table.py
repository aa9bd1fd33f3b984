"""The tables that `benchmarks/nb201_search.py` races samplers on, from files in the layout that it names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.errors import ConfigError

WORDS, PLACES = ("none", "skip", "conv"), 3
OPS = np.array(list(product(range(len(WORDS)), repeat=PLACES)))
NAMES = ["|".join(WORDS[code] for code in row) for row in OPS]
ACCURACY = 50.0 + OPS @ [9.0, 3.0, 1.0]
MILLISECONDS = 1.0 + OPS @ [1.0, 2.0, 4.0]
EVERYTHING = len(OPS)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))


def table_of(folder: Path, accuracy: Any = ACCURACY, costs: Sequence[object] = tuple(MILLISECONDS)) -> Any:
    from nb201_table import read_table

    np.savez(folder / "accuracy.npz", arch=NAMES, ops=OPS, op_names=WORDS, top1=accuracy)
    lines = [f"{name},{cost}" for name, cost in zip(NAMES, costs, strict=False)]
    (folder / "latency.csv").write_text("\n".join(["arch_str,board", *lines]))
    return read_table(folder / "accuracy.npz", "top1", folder / "latency.csv", "board")


def with_gaps(values: Any, gaps: dict[int, object]) -> list[Any]:
    return [gaps.get(place, value) for place, value in enumerate(values)]


def test_an_architecture_without_a_number_or_a_row_is_left_out_of_the_metric(tmp_path: Path) -> None:
    gaps = table_of(tmp_path, with_gaps(ACCURACY, {26: np.nan}), with_gaps(MILLISECONDS, {3: "", 4: "nan"})[:-2])
    assert np.flatnonzero(~gaps.measured).tolist() == [3, 4, 25, 26]
    assert gaps.share(np.flatnonzero(gaps.measured)) == 1.0
    costs, accuracies = (np.delete(values, [3, 4, 25, 26]) for values in (MILLISECONDS, ACCURACY))
    assert gaps.ends[0] == (costs.min(), np.percentile(costs, 99.9))
    assert gaps.ends[1] == (accuracies.max(), np.percentile(accuracies, 10))


@pytest.mark.parametrize("sampler", ["random", "nsga2", "tpe", "forest", "guided"])
def test_a_sampler_evaluates_each_architecture_that_has_a_number_once(tmp_path: Path, sampler: str) -> None:
    from nb201_guided import guided
    from nb201_rivals import RIVALS

    gaps = table_of(tmp_path, with_gaps(ACCURACY, {7: np.nan}), with_gaps(MILLISECONDS, {3: "", 20: "nan"}))
    rows = {**RIVALS, "guided": guided}[sampler](gaps, EVERYTHING - 3, 0)
    assert sorted(rows) == np.flatnonzero(gaps.measured).tolist()


@pytest.mark.parametrize(
    ("accuracy", "costs", "met"),
    [
        (ACCURACY, ["3.0"] * EVERYTHING, "next to all costs are equal"),
        (np.full(EVERYTHING, 90.0), MILLISECONDS, "next to all accuracies are equal"),
        (ACCURACY, MILLISECONDS[:10], "17 of 27 architectures have no number"),
        (ACCURACY, with_gaps(MILLISECONDS, {5: "fast"}), "`fast` is no number"),
    ],
)
def test_what_no_search_can_be_judged_by_is_refused(tmp_path: Path, accuracy: Any, costs: Any, met: str) -> None:
    with pytest.raises(ConfigError, match=met):
        table_of(tmp_path, accuracy, costs)
