"""A run in Python: frames and charts of what it left, and objects that print short."""

from __future__ import annotations

import csv
import io
import re
import sys
import types
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hwnas
from hwnas import pipeline
from hwnas.commands.run import Outcome
from hwnas.errors import ConfigError, MissingExtra, RunError
from hwnas.measure.table import LatencyTable
from hwnas.measure.timing import Measurement
from hwnas.report.charts import chart_file
from hwnas.report.charts.chart import ChartAxis, Figure, Marks
from hwnas.report.charts.chart_file import Chart
from hwnas.results import RunResults
from hwnas.rows import csv_text, frame, html_table
from hwnas.runtimes.setup import Setup
from hwnas.search.fronts import front_rows
from hwnas.words import LONGEST_REPR, brief
from hwnas.workspace.progress import Notebook, NullReporter, default_reporter
from tests.helpers.experiments import published

ROWS: list[Mapping[str, Any]] = [
    {"key": "a", "latency_ms": 1.5, "kept": True},
    {"key": "<b>", "latency_ms": None, "choice depth": 2},
]
FIGURE = Figure(
    (Marks("front", [1, 2], [3, 4], "--tier-1"),), ChartAxis((0, 3), "x"), ChartAxis((0, 5)), 300, "Two points."
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    folder = tmp_path_factory.mktemp("run")
    path = published(folder, search={"trials": 36})
    pipeline.search(path, runs=folder / "runs")
    return hwnas.open_run(path, runs=folder / "runs")


# --- rows ---


def test_a_frame_a_file_and_a_table_of_html_have_the_same_columns() -> None:
    columns = ["key", "latency_ms", "kept", "choice depth"]
    assert list(frame(ROWS).columns) == columns
    read = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert list(read[0]) == columns
    assert [row["latency_ms"] for row in read] == ["1.5", ""]
    assert re.findall("<th(?: [^>]*)?>(.*?)</th>", html_table("", ROWS)) == columns


def test_words_stand_left_in_a_table_of_html_and_numbers_do_not() -> None:
    made = html_table("", [{"key": "a", "latency_ms": 1.5}])
    assert '<td style="text-align:left">a</td><td>1.5</td>' in made


def test_text_in_a_table_of_html_stays_text_and_many_rows_are_counted() -> None:
    made = html_table("<i>", [*ROWS, *ROWS], most=2)
    assert "&lt;b&gt;" in made
    assert "&lt;i&gt;" in made
    assert made.count("<tr>") == 4
    assert "and 2 more rows" in made


def test_without_pandas_a_frame_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra) as refused:
        frame(ROWS)
    assert refused.value.do == 'Run: pip install "hwnas[frames]"'
    assert refused.value.where
    assert refused.value.allowed


# --- a run ---


def test_a_front_is_the_same_in_a_frame_and_in_its_file(run: RunResults) -> None:
    [front] = run.fronts.values()
    read = list(csv.DictReader(io.StringIO((run.folder / "fronts" / f"{front.loaded.tier.name}.csv").read_text())))
    made = front.frame()
    assert list(made.columns) == list(read[0])
    assert list(made["key"]) == [row["key"] for row in read] == [point.architecture.key for point in front]
    for metric in front[0].scores:
        assert list(made[metric]) == [float(row[metric]) for row in read]
        assert set(made[f"{metric} origin"]) <= {"published", "derived", "predicted", "measured"}


def test_an_outcome_is_the_fronts_of_its_tiers_in_a_frame_and_as_html(run: RunResults) -> None:
    folder = run.folder
    tiers = tuple(pipeline.search(folder, runs=folder.parent))
    made = Outcome(folder, tiers, (), folder / "report.html")
    assert list(made.frame()["key"]) == [point.architecture.key for tier in tiers for point in tier.front]
    assert set(made.frame()["tier"]) == {tier.tier.name for tier in tiers}
    assert tiers[0].front[0].architecture.key in made._repr_html_()


def test_a_study_has_all_that_was_tried_in_order_with_origins(run: RunResults) -> None:
    study = run.study()
    made = study.frame()
    assert len(study) == len(made)
    assert list(made["trial"]) == list(range(1, len(made) + 1))
    scores = [column for column in made if f"{column} origin" in made]
    assert {name.partition("@")[0] for name in scores} >= {"top1", "latency_ms", "params"}
    for name in scores:  # the origin stands beside the value
        assert list(made.columns)[list(made.columns).index(name) + 1] == f"{name} origin"
    assert {row["key"] for row in front_rows(next(iter(run.fronts.values())))} <= set(made["key"])


def test_a_set_up_or_a_tier_that_is_not_there_is_refused(run: RunResults) -> None:
    with pytest.raises(ConfigError, match="there is no tier `edgy`"):
        run.study("edgy")
    with pytest.raises(ConfigError, match="there is no set-up `nowhere`"):
        run.table("nowhere")


def test_charts_of_a_run_stand_alone(run: RunResults, tmp_path: Path) -> None:
    [front] = run.fronts.values()
    for chart in (front.plot(), front.importances.plot(), run.history.plot()):
        root = ElementTree.fromstring(chart.save(tmp_path / "chart.svg").read_text("utf-8"))
        assert root.tag.endswith("svg")
        assert "var(" not in chart.svg()
        assert chart._repr_html_().startswith('<img src="data:image/svg+xml;base64,')
    with pytest.raises(RunError, match="was timed again"):
        front.agreement.plot()
    with pytest.raises(RunError, match="no supernet was trained"):
        run.history.plot("loss")


def test_a_history_counts_up_to_the_last_trial(run: RunResults) -> None:
    made = run.history.frame()
    assert list(made["step"]) == list(range(1, len(run.study()) + 1))
    assert made["hypervolume"].is_monotonic_increasing


def test_the_report_of_a_run_is_written_again(run: RunResults) -> None:
    assert run.report().name == "report.html"


# --- charts ---


def test_a_chart_has_another_ending_or_no_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chart = Chart(FIGURE, "Two points")
    with pytest.raises(RunError, match=r"ending is `\.gif`"):
        chart.save(tmp_path / "chart.gif")
    monkeypatch.setattr(chart_file, "BROWSERS", ("no-such-browser",))
    with pytest.raises(MissingExtra) as refused:
        chart.save(tmp_path / "chart.png")
    assert "apt-get install chromium" in refused.value.do
    assert list(tmp_path.iterdir()) == []


def test_a_legend_has_the_symbols_of_its_marks() -> None:
    drawn = Chart(FIGURE, "Two points", (("--tier-1", "front"), ("--tier-1", "re-timed", "diamond"))).svg()
    legend = drawn.rpartition("</svg>")[0].rpartition("</svg>")[2]
    assert [part.partition("</text>")[0].rpartition(">")[2] for part in legend.split("<text")[1:]] == [
        "front",
        "re-timed",
    ]
    assert legend.count("<circle") == legend.count('href="#mark-diamond"') == 1


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ((-2.2, 1.1), ["0.01", "0.1", "1", "10"]),
        ((0.0, 2.0), ["1", "2", "5", "10", "20", "50", "100"]),
        ((3.0, 3.05), ["1,000", "1,025", "1,050", "1,075", "1,100"]),
    ],
)
def test_a_logarithmic_axis_is_labelled_with_numbers(ends: tuple[float, float], labels: list[str]) -> None:
    ticks = ChartAxis(ends, logarithmic=True).ticks
    assert [label for _, label in ticks] == labels
    assert all(ends[0] - 1e-9 <= value <= ends[1] + 1e-9 for value, _ in ticks)


# --- what is printed ---


@brief
@dataclass(frozen=True)
class Long:
    name: str
    values: tuple[int, ...]
    other: object


def test_a_short_repr_names_long_values_by_their_size() -> None:
    shown = repr(Long("x" * 500, tuple(range(10_000)), Long("inner", (), None)))
    assert len(shown) <= LONGEST_REPR
    assert "<10,000 items>" in shown
    assert "<Long inner>" in shown


def test_public_objects_print_in_a_line(run: RunResults, tmp_path: Path) -> None:
    workspace = run.workspace
    space, [front] = workspace.space, run.fronts.values()
    row, taken = ("conv", "{}", (1, 8, 8)), Measurement(tuple(range(1, 500)))
    table = LatencyTable(tmp_path / "t.jsonl", Setup("onnxruntime", "1", 1, "fp32", 1, "x"), {row: taken})
    facts = run._facts
    big, _ = pipeline.open_space("ofa_mobilenet_v3_224")
    searched = pipeline.search(workspace.folder, runs=workspace.folder.parent)
    shown = [
        run, workspace, workspace.experiment, workspace.objectives.tier(front.loaded.tier.name), space, big,
        big.largest(), hwnas.lower(big, big.largest()), space.choices[0], *searched, searched[0].finished,
        searched[0].evaluations[0], front, front[0], front.loaded, front.agreement, front.importances, run.study(),
        run.history, front.plot(), table, taken, facts, facts.tiers[0], facts.tiers[0].front[0],
        facts.tiers[0].points[0], *facts.tiers[0].importances.values(), pipeline.view(space),
        *pipeline.feasible(workspace.folder), *pipeline.fronts(workspace.folder), workspace.codebook,
    ]  # fmt: skip
    long = {type(one).__name__: len(repr(one)) for one in shown if len(repr(one)) > LONGEST_REPR or "\n" in repr(one)}
    assert long == {}


@pytest.mark.parametrize("name", ["digits", "nas_bench_201"])
def test_spaces_and_networks_show_as_tables(name: str) -> None:
    space, _ = pipeline.open_space(name)
    network = hwnas.lower(space, space.largest())
    assert space._repr_html_().count("<tr>") >= min(len(space.choices), 12)
    assert network._repr_html_().count("<tr>") == len(network.operators) + 1


def test_a_table_shows_its_rows_with_their_origin(tmp_path: Path) -> None:
    row, taken = ("conv", '{"kernel": 3}', (1, 8, 8)), Measurement((1e6, 2e6, 3e6))
    setup = Setup("onnxruntime", "1", 1, "fp32", 1, "x")
    table = LatencyTable(tmp_path / "t.jsonl", setup, {row: taken}, {(row,): taken}, taken, {row: 40})
    made = table.frame()
    assert list(made["kind"]) == ["operator", "network", "overhead"]
    assert list(made["latency_ms"]) == [taken.low_ms] * 3
    assert set(made["origin"]) == {"measured"}
    assert (made["knob kernel"][0], made["input"][0], made["file_bytes"][0]) == (3, "1x8x8", 40)
    assert "conv" in table._repr_html_()


# --- notebooks ---


def test_progress_in_a_notebook_is_one_output_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_reporter(None), NullReporter)
    updates: list[str] = []

    class Handle:
        def update(self, shown: Any) -> None:
            updates.append(repr(shown))

    shell, displayed = types.SimpleNamespace(kernel=object()), types.ModuleType("IPython.display")
    displayed.display = lambda shown, display_id: Handle()  # type: ignore[attr-defined]
    python = types.ModuleType("IPython")
    python.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", displayed)
    reporter = default_reporter(None)
    assert isinstance(reporter, Notebook)
    with reporter.bar("searching <edge>") as bar:
        for done in range(1000):
            bar.update(done + 1, 1000, "front 7")
    assert updates[-1] == "searching <edge>: 100 % front 7"
    assert len(updates) < 100
    assert "searching &lt;edge&gt;" in bar._repr_html_()  # type: ignore[attr-defined]
    given = NullReporter()
    assert default_reporter(given) is given
