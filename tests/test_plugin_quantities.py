"""Quantities of an installed distribution: objectives and limits everywhere, without a line of hwnas changing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas import pipeline
from hwnas.errors import ConfigError
from hwnas.network import lower
from hwnas.pareto import front
from hwnas.population import codebook_of
from hwnas.problem.cost_models import cost_metric_scorers
from hwnas.problem.population_costs import cost_functions
from hwnas.quantities import QUANTITIES
from hwnas.report import units
from hwnas.report.tables import front_table
from hwnas.search.fronts import read_front
from hwnas.space import AnySpace, Architecture, read_space

MODULE = """\
from hwnas.quantities import OverOperators, Quantity

DEPTH = Quantity("depth", "Depth", "min", "operators", of_network=lambda network: len(network.operators))
REUSE = Quantity(
    "reuse", "Reuse", "max", "MACs/parameter",
    of_network=lambda network: sum(part.macs for part in network.costs) / sum(part.params for part in network.costs),
)
WORK = Quantity(
    "work", "Work", "min", "MACs",
    of_setup=lambda network, setup: setup.batch * sum(part.macs for part in network.costs),
)
LARGEST = Quantity("largest", "Largest operator", "min", "count", over_operators=OverOperators("params", "max"))
CODES = Quantity(
    "codes", "Codes", "max", "", of_network=lambda network: 7.0, many=lambda codebook, codes: 7.0 + 0 * codes[:, 0]
)
FAULTY = Quantity("faulty", "Faulty", "min", "", of_network=lambda network: {}["missing"])
OTHER = Quantity("another", "Another", "min", "")
"""
POINTS = "".join(
    f"{name.lower()} = odd_sizes:{name}\n" for name in ("DEPTH", "REUSE", "WORK", "LARGEST", "CODES", "FAULTY", "OTHER")
)
SPACE = """\
name: small
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 8], kernel: [1, 3]}
  - {name: s1, op: conv, depth: [1, 2, 3], width: [8, 16], kernel: [1, 3]}
  - {name: head, op: classifier}
"""
EXPERIMENT: dict[str, Any] = {
    "name": "plugged", "space": "space.yaml",
    "accuracy": {"source": "table", "file": "table.csv", "key": "key", "column": "top1", "scale": "percent"},
    "setups": {
        "board": {"runtime": "published", "batch": 2, "latencies": {"file": "table.csv", "key": "key", "column": "ms"}}
    },
    "tiers": {
        "edge": {
            "setup": "board", "minimize": ["depth"], "maximize": ["reuse"],
            "limits": {"depth": 4, "reuse": 2, "work": {"at_most": 40000, "at_least": 1000}},
        }
    },
    "search": {"trials": 200, "sampler": "guided"},
}  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A distribution `sizes 0.1` in a folder of `sys.path`."""
    folder = tmp_path_factory.mktemp("sizes")
    (folder / "odd_sizes.py").write_text(MODULE)
    info = folder / "sizes-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sizes\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[{QUANTITIES.group}]\n{POINTS}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        vars(QUANTITIES).pop("installed", None)
        yield
    vars(QUANTITIES).pop("installed", None)
    sys.modules.pop("odd_sizes", None)


def every(space: AnySpace) -> list[Architecture]:
    codebook = codebook_of(space)
    return codebook.decode(codebook.every())


def experiment(folder: Path, **changes: Any) -> Path:
    """An experiment on published numbers of all networks of a small space."""
    (folder / "space.yaml").write_text(SPACE)
    lines = ["key,top1,ms"]
    for number, architecture in enumerate(every(read_space(folder / "space.yaml"))):
        size = sum(float(value) for _, value in architecture.picks)
        lines.append(f"{architecture.key},{40 + size + number % 7},{size / 20 + number % 5}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    path = folder / "plugged.yaml"
    path.write_text(yaml.safe_dump({**EXPERIMENT, **changes}))
    return path


@pytest.fixture(scope="module")
def searched(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was searched to the end."""
    top = tmp_path_factory.mktemp("plugged")
    return pipeline.run(experiment(top), runs=top / "runs").folder


def test_the_front_is_that_of_all_networks_within_the_limits(searched: Path) -> None:
    run = pipeline.open_run(searched)
    tier, rows = run.objectives.tier("edge"), {}
    for architecture in every(run.space):
        network = lower(run.space, architecture)
        macs, params = (sum(getattr(part, cost) for part in network.costs) for cost in ("macs", "params"))
        costs = {"depth": len(network.operators), "reuse": macs / params, "work@board": 2 * macs}
        top1 = float(dict(line.split(",")[:2] for line in lines_of(searched))[architecture.key]) / 100
        rows[architecture.key] = {
            **costs, "latency_ms@board": run.published.latencies("board")(architecture), "top1@table": top1,
        }  # fmt: skip
    rows = {key: row for key, row in rows.items() if not tier.broken(row)}
    best = {list(rows)[index] for index in front(list(rows.values()), tier.objectives)}
    points = read_front(searched / "fronts" / "edge.json")
    assert {point.architecture.key for point in points} == best
    for point in points:
        assert {metric: point.scores[metric] for metric in rows[point.architecture.key]} == pytest.approx(
            rows[point.architecture.key]
        )
        assert {point.origin[metric] for metric in ("depth", "reuse", "work@board")} == {"derived"}


def lines_of(folder: Path) -> list[str]:
    return (folder.parent.parent / "table.csv").read_text().splitlines()[1:]


def test_objectives_and_limits_have_the_directions_of_their_quantities(searched: Path) -> None:
    tier = pipeline.open_run(searched).objectives.tier("edge")
    assert [(one.goal, one.metric) for one in tier.objectives] == [
        ("max", "top1@table"), ("min", "latency_ms@board"), ("min", "depth"), ("max", "reuse"),
    ]  # fmt: skip
    assert list(map(str, tier.limits)) == ["depth <= 4", "reuse >= 2", "work@board <= 40000", "work@board >= 1000"]


def test_feasible_judges_limits_on_them(searched: Path) -> None:
    (tier,) = pipeline.feasible(searched)
    assert tier.whole
    reached = {reach.limit.metric: reach for reach in tier.reaches}
    assert (reached["depth"].least, reached["depth"].most) == (3, 5)
    assert reached["depth"].share == pytest.approx(1 - 1 / 3, abs=0.34)
    assert not tier.unjudged


def test_feasible_needs_no_table_for_them(installed: None, tmp_path: Path) -> None:
    setups = {"board": {"runtime": "onnxruntime"}}
    path = experiment(
        tmp_path, setups=setups, tiers={"edge": {"setup": "board", "limits": {"depth": 3, "latency_ms": 1}}}
    )
    (tier,) = pipeline.feasible(path, runs=tmp_path / "runs")
    reached = {reach.limit.metric: reach for reach in tier.reaches}
    assert (reached["depth"].least, reached["depth"].unjudged) == (3, "")
    assert "there is no table yet" in reached["latency_ms@board"].unjudged


def test_a_run_is_solved_again_with_limits_on_them(searched: Path) -> None:
    solved = pipeline.solve(searched, limits=["depth=3", "reuse>=3"])
    assert list(map(str, solved.tier.limits)) == ["depth <= 3", "reuse >= 3"]
    for point in solved.front:
        assert (point.scores["depth"], point.scores["reuse"] >= 3) == (3, True)


def test_they_are_shown_and_reported_with_their_units(searched: Path) -> None:
    (tier,) = pipeline.fronts(searched)
    assert tier.other_objectives == ("depth", "reuse")
    assert [str(column.header) for column in front_table(tier).columns[2:6]] == [
        "published ms",
        "meas. ms",
        "Depth",
        "Reuse",
    ]
    assert list(map(units.Units().limit, tier.limits))[1:3] == ["Reuse ≥ 2 MACs/parameter", "Work ≤ 40 kMACs"]
    page = pipeline.report(searched).read_text(encoding="utf-8")
    assert all(words in page for words in ("Depth", "Reuse", "4 operators", "Work ≤ 40 kMACs"))


def test_the_doctor_finds_the_run_sound(searched: Path) -> None:
    assert pipeline.doctor(searched).sound


def test_a_pick_may_weigh_them(searched: Path) -> None:
    (tier,) = pipeline.fronts(searched, pick="lexicographic:depth,reuse")
    (chosen,) = tier.front
    everyone = read_front(searched / "fronts" / "edge.json")
    assert chosen.scores["depth"] == min(point.scores["depth"] for point in everyone)


def test_costs_of_many_networks_are_those_of_each(installed: None, tmp_path: Path) -> None:
    tier = {"setup": "board", "minimize": ["largest", "depth", "work"], "maximize": ["codes"]}
    run = pipeline.open_run(experiment(tmp_path, tiers={"edge": tier}), runs=tmp_path / "runs")
    scorers, functions = cost_metric_scorers(run, "edge", {}), cost_functions(run, "edge", {})
    assert {"largest", "depth", "work@board", "codes"} <= scorers.keys() == functions.keys()
    codes = run.codebook.every()
    for metric, scorer in scorers.items():
        assert list(functions[metric](codes)) == [scorer(one) for one in run.codebook.decode(codes)], metric


@pytest.mark.parametrize(
    ("tier", "problem", "allowed"),
    [
        ({"limits": {"dept": 4}}, "unknown key `dept`", "Did you mean `depth`?"),
        ({"minimize": ["reuse"]}, "`minimize` is ['reuse']", "`reuse` is no cost whose goal is min"),
        ({"maximize": ["reus"]}, "`maximize` is ['reus']", "Did you mean `reuse`?"),
        ({"limits": {"other": 4}}, "`limits` is {'other': 4}", "is named `another`, and both names are one"),
        ({"limits": {"depth": "4 layers"}}, "`depth` is '4 layers'", "a number alone"),
        ({"limits": {"depth": {"at_mots": 4}}}, "unknown key `at_mots`", "Did you mean `at_most`?"),
    ],
)
def test_a_wrong_word_is_answered_with_the_near_one(
    installed: None, tmp_path: Path, tier: dict[str, Any], problem: str, allowed: str
) -> None:
    path = experiment(tmp_path, tiers={"edge": {"setup": "board", **tier}})
    with pytest.raises(ConfigError) as error:
        pipeline.open_run(path, runs=tmp_path / "runs")
    assert problem in error.value.met
    assert allowed in error.value.allowed


def test_a_quantity_that_raises_fails_networks_and_not_the_search(installed: None, tmp_path: Path) -> None:
    path = experiment(
        tmp_path, tiers={"edge": {"setup": "board", "minimize": ["faulty"]}}, search={"trials": 3, "sampler": "random"}
    )
    (tier,) = pipeline.search(path, runs=tmp_path / "runs")
    assert not tier.front
    assert {"`faulty` cannot be computed" in str(one.failed) for one in tier.evaluations} == {True}


def test_the_kept_experiment_means_the_same(searched: Path) -> None:
    run = pipeline.open_run(searched)
    assert run.experiment.tiers["edge"].limits.bounds is not None
    kept = yaml.safe_load((searched / "experiment.yaml").read_text())["tiers"]["edge"]
    assert (kept["limits"]["depth"], kept["minimize"], kept["maximize"]) == (4.0, ["latency_ms", "depth"], ["reuse"])
    known = json.loads((searched / "conditions" / "fronts" / "edge.json").read_text())
    assert known["objectives"] == ["max top1@table", "min latency_ms@board", "min depth", "max reuse"]
