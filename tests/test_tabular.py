"""Published numbers of whole networks: rows become networks, and what is wrong with a file is told in four parts."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.errors import DataError, MissingExtra, NoScore
from hwnas.notation import read_architecture, write_architecture
from hwnas.space import Space, parse_space, read_space
from hwnas.tabular import READERS, TableMetric, Wanted, read_metric
from hwnas.tabular.rows import Names
from tests.helpers.experiments import MANY
from tests.helpers.repository import REPOSITORY

DEAD = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
SAME = "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
LIVE = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
CSV = f"arch,acc,raspi\n{DEAD},90.0,4.0\n{LIVE},94.0,9.5\n{SAME},92.0,6.0\n"


@pytest.fixture(scope="module")
def cells() -> Space:
    return read_space(REPOSITORY / "search_spaces" / "nas_bench_201.yaml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cells.csv"
    path.write_text(CSV)
    return path


def read(path: Path, space: Space, column: str = "acc", key: str | None = "arch", **how: Any) -> TableMetric:
    return read_metric(Wanted(path, column, key, **{"scale": "percent", **how}), Names(space))


def test_percents_become_fractions(cells: Space, file: Path) -> None:
    assert read(file, cells)(read_architecture(cells, LIVE, where="test")) == pytest.approx(0.94)


def test_rows_that_are_one_network_are_joined_and_that_is_said(cells: Space, file: Path) -> None:
    same = read_architecture(cells, SAME, where="test")
    metric = read(file, cells)
    assert metric(same) == pytest.approx(0.91)
    assert metric.description == "cells.csv: `acc` of 3 rows, 2 networks: the mean of rows that are one network"
    assert read(file, cells, rows="first")(same) == pytest.approx(0.90)


def test_a_network_without_a_row_has_no_score(cells: Space, file: Path) -> None:
    with pytest.raises(NoScore, match=r"no row for architecture .* rows of 2 networks"):
        read(file, cells)(cells.largest())


@pytest.mark.parametrize("values", [np.empty(0), np.empty((2, 0))], ids=["no rows", "no seeds"])
def test_a_column_without_numbers_is_refused(values: Any, cells: Space, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", arch=np.array([LIVE, DEAD][: len(values)], dtype=str), acc=values)
    with pytest.raises(DataError, match="holds no number"):
        read(tmp_path / "t.npz", cells)


def test_latencies_become_milliseconds(cells: Space, file: Path) -> None:
    live = read_architecture(cells, LIVE, where="test")
    found = {unit: read(file, cells, "raspi", scale=unit)(live) for unit in ("ms", "us", "s")}
    assert found == pytest.approx({"ms": 9.5, "us": 0.0095, "s": 9500.0})


def test_every_format_gives_the_same_numbers(cells: Space, tmp_path: Path) -> None:
    table = {"arch": [DEAD, LIVE], "acc": [90.0, 94.0]}
    (tmp_path / "t.csv").write_text(f"arch,acc\n{DEAD},90\n{LIVE},94.0\n")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    np.savez(tmp_path / "t.npz", **{name: np.array(values) for name, values in table.items()})
    arrow = pytest.importorskip("pyarrow", reason="pyarrow reads Parquet")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.table(table), tmp_path / "t.parquet")
    found = [dict(read(tmp_path / f"t{ending}", cells).values) for ending in READERS]
    assert all(values == found[0] for values in found)
    assert len(found[0]) == 2


def test_several_values_a_row_are_averaged(cells: Space, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", arch=np.array([LIVE]), seeds=np.array([[93.0, 95.0]]))
    assert set(read(tmp_path / "t.npz", cells, "seeds").values.values()) == {0.94}


def test_rows_are_named_by_picks_where_each_choice_has_a_column(tmp_path: Path) -> None:
    space, rng = parse_space_of(MANY), random.Random(0)
    architectures = list(dict.fromkeys(space.random(rng) for _ in range(20)))
    names = [choice.name for choice in space.choices]
    lines = [",".join(str(dict(a.picks).get(name, "")) for name in names) + f",{0.01 * i}" for i, a in
             enumerate(architectures)]  # fmt: skip
    path = tmp_path / "picks.csv"
    path.write_text("\n".join([",".join([*names, "acc"]), *lines]))
    metric = read(path, space, key=None, scale="fraction")
    assert [metric(a) for a in architectures] == pytest.approx([0.01 * i for i in range(len(architectures))])


def test_rows_are_named_by_hwnass_own_keys(cells: Space, tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    path.write_text(f"key,acc\n{cells.largest().key},0.5\n{cells.smallest().key},0.25\n")
    assert read(path, cells, key="key", scale="fraction")(cells.smallest()) == 0.25


def parse_space_of(text: str) -> Space:
    import yaml

    return parse_space(yaml.safe_load(text), where="test")


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "a column that is misspelt": (CSV, {"column": "ac"}, "no column `ac`.*Did you mean `acc`"),
    "a key that is no column": (CSV, {"key": "cell"}, "no column `cell`"),
    "no key, and no picks": (CSV, {"key": None}, "no column says which architecture a row is of.*key: COLUMN"),
    "a row twice": (CSV + f"{LIVE},93,9\n", {}, "rows 2 and 4 name the same architecture"),
    "NaN": (CSV.replace("94.0", "nan"), {}, "row 2 of `acc` is no finite number, 1 of 3"),
    "a word": (CSV.replace("94.0", "ninety"), {}, "row 2 of `acc` is `ninety`"),
    "an empty cell": (CSV.replace("94.0", ""), {}, "row 2 of `acc` is ``"),
    "percents as fractions": (CSV, {"scale": "fraction"}, "reaches from 90 to 94.*Say `scale: percent`"),
    "fractions as percents": (
        CSV.replace("90.0", "0.9").replace("94.0", "0.94").replace("92.0", "0.92"), {}, "Say `scale: fraction`",
    ),
    "latencies as accuracies": (CSV.replace("94.0", "940"), {}, "reaches from 90 to 940.*column of accuracies"),
    "a latency below zero": (CSV.replace("9.5", "-1"), {"column": "raspi", "scale": "ms"}, "A latency is not below 0"),
    "a string of another form": (CSV.replace("nor_conv_3x3~0", "conv9x9~0"), {}, "row 1 names no arch.*`conv9x9`"),
    "a last row that was cut off": (CSV[:-12], {}, "row 3 of 3 has 1 cells"),
    "a column twice": (CSV.replace("raspi", "acc"), {}, "two columns are called `acc`"),
    "nothing": ("", {}, "it holds 0 lines"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "how", "met"), WRONG.values(), ids=WRONG)
def test_a_wrong_table_is_told_in_four_parts(
    cells: Space, tmp_path: Path, text: str, how: dict[str, Any], met: str
) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"(?s){met}") as told:
        read(path, cells, **how)
    assert "wrong.csv" in told.value.where
    assert all((told.value.met, told.value.allowed, told.value.do))


def test_objects_are_never_unpickled(cells: Space, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", arch=np.array([LIVE, None], dtype=object), acc=np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="Python objects, which are never unpickled"):
        read(tmp_path / "t.npz", cells)


@pytest.mark.parametrize("ending", READERS)
def test_a_truncated_file_is_told(cells: Space, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    whole = {".csv": CSV.encode(), ".csv.gz": gzip.compress(CSV.encode())}.get(ending, b"PK\x03\x04PAR1 and no more")
    path.write_bytes(whole[: len(whole) * 2 // 3])
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow reads Parquet")
    with pytest.raises(DataError, match=f"t{ending}"):
        read(path, cells)


def test_a_file_that_is_missing_or_of_no_format_is_told(cells: Space, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "t.csv", cells)
    with pytest.raises(DataError, match=r"Known: \.csv"):
        read(tmp_path / "t.xlsx", cells)


def test_parquet_without_its_package_names_the_command(
    cells: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r'pip install "hwnas\[parquet\]"'):
        read(tmp_path / "t.parquet", cells)


def test_a_producer_tells_files_columns_and_scales_apart(cells: Space, file: Path) -> None:
    other = file.with_name("other.csv")
    other.write_text(CSV.replace("94.0", "94.1"))
    readings = [
        read(file, cells), read(other, cells), read(file, cells, rows="first"),
        read(file, cells, "raspi", scale="percent"), read(file, cells, "raspi", scale="ms"),
    ]  # fmt: skip
    assert len({metric.producer for metric in readings}) == len(readings)
    assert read(file, cells).producer == readings[0].producer


def test_what_hwnas_writes_it_reads(cells: Space, tmp_path: Path) -> None:
    rng = random.Random(1)
    architectures = list(dict.fromkeys(cells.random(rng) for _ in range(30)))
    path = tmp_path / "t.csv"
    path.write_text("arch,acc\n" + "".join(f"{write_architecture(cells, a)},0.5\n" for a in architectures))
    assert read(path, cells, scale="fraction").values.keys() == {a.key for a in architectures}
