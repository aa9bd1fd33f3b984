"""Two tables or two runs compared: what is told apart, and what is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas import pipeline
from hwnas.commands.compare import compare_fronts
from hwnas.errors import ConfigError, TableError
from hwnas.export.manifest import write_manifest
from hwnas.io.checksum import unsealed
from hwnas.latency.tables.comparison import compare_tables
from hwnas.measure.table import LatencyTable
from hwnas.measure.table_lines import key_of
from hwnas.measure.timing import REFERENCE_CONDITION, Measurement
from hwnas.pareto import Objective, Tier
from hwnas.problem.fronts.loading import LoadedFront
from hwnas.runtimes import Setup
from hwnas.search.fronts import FrontPoint
from hwnas.space import Architecture
from tests.helpers.command_line import Call
from tests.helpers.experiments import published
from tests.helpers.hand_made_bundles import write_bundle

ROWS, ROUNDS = 24, 60
SETUP = Setup("my board", "fake", "1")


def sitting(
    seed: int, *, slower: float = 1.0, state: float = 1.0, busy: float = 0.2, setup: Setup = SETUP
) -> LatencyTable:
    """A table as a shared machine gives it: in some rounds all takes twice as long, the reference too."""
    rng = np.random.default_rng(seed)
    spells = np.where(rng.random(ROUNDS) < busy, 2.0, 1.0) * state * np.exp(0.003 * rng.normal())
    table = LatencyTable(Path(f"{seed}.jsonl"), setup)
    for number in range(ROWS):
        noise = np.exp(np.abs(0.01 * rng.normal(size=(2, ROUNDS))))
        rounds = 1e4 * (number + 1) * slower * spells * noise[0] * np.exp(0.004 * rng.normal())
        reference = 1e5 * spells * noise[1]
        key = key_of("conv", {"width": number + 1}, (3, 8, 8))
        table.rows[key] = Measurement(tuple(rounds), {REFERENCE_CONDITION: reference.tolist()})
    return table


@pytest.fixture(scope="module")
def verdicts() -> dict[float, list[str]]:
    return {
        slower: [compare_tables(sitting(seed), sitting(1000 + seed, slower=slower)).verdict for seed in range(20)]
        for slower in (1.0, 1.03, 1 / 1.03)
    }


def test_sittings_of_one_machine_are_no_difference(verdicts: dict[float, list[str]]) -> None:
    assert verdicts[1.0].count("no difference") >= 19


def test_three_percent_are_found(verdicts: dict[float, list[str]]) -> None:
    assert verdicts[1.03].count("slower") >= 19
    assert verdicts[1 / 1.03].count("faster") >= 19


def test_a_slow_machine_that_the_reference_sees_is_no_difference() -> None:
    compared = compare_tables(sitting(0), sitting(1, state=1.1))
    assert compared.corrected
    assert compared.as_timed > 1.05
    assert 0.96 < compared.ratio < 1.04


def test_a_busy_sitting_widens_the_interval() -> None:
    quiet, busy = (compare_tables(sitting(0), sitting(1, busy=share)) for share in (0.0, 0.93))
    assert busy.high - busy.low > 1.5 * (quiet.high - quiet.low)


def test_a_comparison_is_the_inverse_of_that_the_other_way_round() -> None:
    one, other = sitting(0), sitting(1, slower=1.2)
    there, back = compare_tables(one, other), compare_tables(other, one)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low))
    assert (there.verdict, back.verdict) == ("slower", "faster")
    mirrored = sorted((1 / row.ratio for row in back.rows), reverse=True)
    assert [row.ratio for row in there.rows] == pytest.approx(mirrored)


def test_set_ups_that_differ_are_compared_as_timed_and_named() -> None:
    compared = compare_tables(sitting(0), sitting(1, state=1.5, setup=replace(SETUP, runtime_version="2")))
    assert not compared.corrected
    assert compared.differences == {"runtime_version": ("1", "2")}
    assert compared.verdict == "slower"


def test_tables_without_a_common_row_are_refused() -> None:
    other = sitting(1)
    other.rows = {key_of("mbconv", {}, (3, 8, 8)): row for row in other.rows.values()}
    with pytest.raises(TableError, match="no row in common"):
        compare_tables(sitting(0), other)


def loaded(points: list[tuple[float, float]], setup: str = "cpu") -> LoadedFront:
    objectives = (Objective("top1@inherited", "max"), Objective(f"latency_ms@{setup}", "min"))
    front = tuple(
        FrontPoint(Architecture("few", {"x": number}), {"top1@inherited": top1, f"latency_ms@{setup}": ms})
        for number, (top1, ms) in enumerate(points)
    )
    return LoadedFront("search", Tier("edge", objectives), None, front, Path())  # type: ignore[arg-type]


def test_fronts_are_compared_by_quantities() -> None:
    good, bad = loaded([(0.9, 2.0), (0.8, 1.0)]), loaded([(0.85, 2.0), (0.8, 1.5), (0.95, 9.0)], setup="other")
    compared = compare_fronts(good, bad)
    assert compared.objectives == ("top1", "latency_ms")
    assert compared.networks == (2, 3)
    assert compared.dominated == (0.0, 2 / 3)
    assert (compared.only_first, compared.only_second) == (2, 1)
    assert (compared.best_within[0].first, compared.best_within[0].second) == (0.8, None)
    assert (compared.best_within[-1].first, compared.best_within[-1].second) == (0.9, 0.95)
    same = compare_fronts(good, good)
    assert same.dominated == (0.0, 0.0)
    assert (same.only_first, same.only_second) == (0, 0)
    assert same.hypervolume[0] == same.hypervolume[1] > 0


def test_fronts_of_other_objectives_are_refused() -> None:
    other = loaded([(0.9, 1.0)])
    objectives = (Objective("mae@inherited", "min"), other.tier.objectives[1])
    points = tuple(replace(p, scores={"mae@inherited": 1.0, **p.scores}) for p in other.points)
    with pytest.raises(ConfigError, match="objectives of tier `edge`"):
        compare_fronts(loaded([(0.9, 1.0)]), replace(other, tier=Tier("edge", objectives), points=points))


def test_the_command_compares_shipped_tables(hwnas: Call) -> None:
    names = "epyc_onnxruntime_fp32_1t_ofa224", "xeon_onnxruntime_fp32_1t_ofa224"
    told = json.loads(hwnas("compare", *names, "--json").out)
    assert {"verdict", "ratio", "low", "high"} <= set(told)
    assert told["verdict"] == "faster"
    back = hwnas("compare", *reversed(names))
    assert back.code == 1, "the exit code tells a slower table"
    assert "slower: ratio" in back.out
    assert hwnas("compare", names[0], "digits").parts == ["error", "where", "allowed", "next"]


def test_bundles_are_compared_by_the_label_and_the_unit_of_their_tasks_metric(hwnas: Call, tmp_path: Path) -> None:
    bundles = [write_bundle(tmp_path / name) for name in ("old", "new")]
    for folder in bundles:
        content = unsealed(json.loads((folder / "manifest.json").read_text()))
        content |= {"quality": "miou", "task": {"name": "segmentation", "quality": "miou", "options": {}}}
        model = content["models"][0]
        for entry, value in ((model, {"value": 0.5}), (model["files"][0], 0.5)):
            entry |= {"test_miou": value, "miou_agreement": 1.0}
        write_manifest(folder / "manifest.json", content)
    done = hwnas("compare", *map(str, bundles))
    assert "mean IoU, test A" in done.out
    assert "50.00 %" in done.out
    other = hwnas("compare", str(bundles[0]), str(write_bundle(tmp_path / "classes")))
    assert (other.code, other.parts) == (2, ["error", "where", "allowed", "next"])


def test_runs_and_bundles_have_no_verdict_and_what_cannot_be_compared_is_input(hwnas: Call, tmp_path: Path) -> None:
    bundles = [str(write_bundle(tmp_path / name)) for name in ("old", "new")]
    assert hwnas("compare", *bundles).code == 0
    pipeline.search(published(tmp_path, search={"trials": 6, "sampler": "random"}), runs=tmp_path)
    runs = [str(tmp_path / "published")] * 2
    assert hwnas("compare", *runs).code == 0
    for pair in ((bundles[0], runs[0]), (runs[0], str(tmp_path / "nothing")), (bundles[0], str(tmp_path / "nothing"))):
        done = hwnas("compare", *pair)
        assert (done.code, done.parts) == (2, ["error", "where", "allowed", "next"])
