"""A report tells what the facts tell: escaped, finite, self-contained, small; and charts of which nothing is lost."""

from __future__ import annotations

import html.parser
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hwnas.errors import RunError
from hwnas.pareto import Limit
from hwnas.report import EpochFacts, ReportFacts, TrainingFacts, parts, render, units, write_page
from hwnas.report.charts import plots
from hwnas.report.charts.chart import ChartAxis, Figure, Line
from hwnas.report.charts.chart_svg import drawn, tooltip_texts
from hwnas.report.charts.front_plot import front_figure
from hwnas.report.markup import el, join, safe_json
from hwnas.report.parts import TableCell
from hwnas.report.tables import cost_rows, costs_table, front_table
from hwnas.search.fronts import ShrunkenEstimate
from hwnas.tasks import DEFAULT_TASK
from tests.helpers.synthetic_report import hostile, synthetic_facts, synthetic_tier

FACTS = synthetic_facts(count=40)


class Reader(html.parser.HTMLParser):
    """Collects elements, text outside scripts, and the data of each script."""

    VOID = ("meta", "link")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)


def figures(facts: ReportFacts) -> Iterator[Figure]:
    for index, tier in enumerate(facts.tiers):
        yield front_figure(tier, plots.tier_color(index))
        if tier.errors is not None:
            yield plots.agreement_figure(tier, plots.tier_color(index))
    yield plots.hypervolume_figure(facts)
    if facts.training is not None:
        yield plots.loss_figure(facts.training)
        yield plots.learning_figure(facts.training)


class TestPage:
    def test_every_element_is_closed_and_nothing_is_fetched(self) -> None:
        page = Reader(render(FACTS))
        assert page.open == []
        links = [value for _, attrs in page.elements for name, value in attrs.items() if name in ("src", "href")]
        assert all(link is not None and link.startswith(("#", "data:")) for link in links)
        assert not any(tag in ("iframe", "img", "object", "form") for tag, _ in page.elements)

    def test_sections_are_reached_by_their_links(self) -> None:
        page = Reader(render(FACTS))
        anchors = {attrs["href"] for tag, attrs in page.elements if tag == "a" and "download" not in attrs}
        assert anchors == {f"#{attrs['id']}" for tag, attrs in page.elements if tag == "h2"}

    def test_every_plot_says_what_it_shows(self) -> None:
        canvases = [
            attrs for tag, attrs in Reader(render(FACTS)).elements if attrs.get("role") == "img" and tag == "div"
        ]
        assert len(canvases) == len(list(figures(FACTS)))
        assert all(attrs["aria-label"] for attrs in canvases)

    @pytest.mark.parametrize("origin", ["measured", "predicted", "derived"])
    def test_origins_are_told_and_explained(self, origin: str) -> None:
        assert f'class="origin {origin}"' in render(FACTS)

    def test_an_origin_of_a_tier_reaches_its_numbers(self) -> None:
        tier = replace(FACTS.tiers[0], latency=replace(FACTS.tiers[0].latency, origin="emulated"))
        words = Reader(render(replace(FACTS, tiers=(tier,)))).words
        assert words.count("emulated") > 3
        assert "predicted" not in words

    def test_text_in_the_facts_stays_text(self) -> None:
        plain, attacked = Reader(render(FACTS)), Reader(render(hostile(FACTS)))
        assert {tag for tag, _ in attacked.elements} <= {tag for tag, _ in plain.elements}
        assert [len(script) > 0 for script in attacked.scripts] == [len(script) > 0 for script in plain.scripts]
        assert not any(name.startswith("on") for _, attrs in attacked.elements for name in attrs)
        assert sum("<script>" in word for word in attacked.words) > 100

    def test_a_number_that_is_none_is_refused_with_its_place(self) -> None:
        point = replace(FACTS.tiers[1].points[3], scores={"top1@inherited": float("nan")})
        points = (*FACTS.tiers[1].points[:3], point)
        facts = replace(FACTS, tiers=(FACTS.tiers[0], replace(FACTS.tiers[1], points=points)))
        with pytest.raises(RunError, match=r"report\.tiers\[1\]\.points\[3\]\.scores\['top1@inherited'\]: .* nan"):
            render(facts)

    def test_the_figures_of_a_tested_pick_are_those_of_the_test_images_with_the_validation_beside(self) -> None:
        tier = FACTS.tiers[0]
        front = tuple(
            replace(tier.front[0], key=key, picks=(key,), test_accuracy=test,
                    scores={tier.accuracy.metric: top1, tier.latency.metric: ms})
            for key, top1, test, ms in (("best", 0.9916, 0.9638, 0.3), ("knee", 0.9889, 0.9694, 0.2))
        )  # fmt: skip
        page = render(replace(FACTS, tiers=(replace(tier, front=front),)))
        figures = Reader(page).words
        large = [figures[i + 1] for i, word in enumerate(figures) if word.startswith(("Knee", "Best in"))]
        assert large == ["96.94", "96.38"]
        said = " ".join(figures)
        assert "on test images 98.89 % validation" in said
        assert "the best of many such scores is optimistic; the test images chose nothing" in said
        assert "Best accuracy" not in page

    def test_what_is_not_tested_is_said_to_be_validation(self) -> None:
        tier = FACTS.tiers[0]
        front = tuple(replace(point, test_accuracy=None) for point in tier.front)
        words = " ".join(Reader(render(replace(FACTS, tiers=(replace(tier, front=front, files=()),)))).words)
        assert "on validation images" in words
        assert "the picks are tested when they are exported" in words

    def test_an_empty_front_says_why(self) -> None:
        limits = (Limit("latency_ms@edge", 0.001), Limit("params", 10**9))
        words = " ".join(Reader(render(replace(FACTS, tiers=(synthetic_tier("edge", count=30, limits=limits),)))).words)
        assert "none of the 30 evaluated networks meets every limit" in words
        assert "broken by 30 of 30; they reach" in words
        assert "1.00 G: broken" not in words

    @pytest.mark.parametrize("count", [0, 1])
    def test_hardly_any_points(self, count: int) -> None:
        tier = synthetic_tier("edge", count=count, limits=(Limit("latency_ms@edge", 3.0),))
        assert Reader(render(replace(FACTS, tiers=(tier,), training=None, elapsed={}, config_yaml=""))).open == []

    def test_what_was_not_done_has_no_section(self) -> None:
        tier = replace(synthetic_tier("edge", count=20, measured=False), files=())
        page = render(replace(FACTS, tiers=(tier,), training=None))
        assert not any(f'id="{name}"' in page for name in ("Latency", "Files", "Training"))

    def test_epochs_without_accuracies_show_the_loss(self) -> None:
        training = TrainingFacts(
            (EpochFacts(1, 2.0, None, None, 1.0), EpochFacts(2, 1.0, None, None, 1.0)), DEFAULT_TASK
        )
        page = render(replace(FACTS, training=training))
        assert "Training loss by epoch" in page
        assert "Validation accuracy of the largest" not in page

    def test_a_space_that_cannot_be_counted_says_so(self) -> None:
        words = Reader(render(replace(FACTS, space=replace(FACTS.space, count=None)))).words
        assert "not counted" in words
        assert not any("networks in the space" in word for word in words)

    def test_writing_leaves_one_file(self, tmp_path: Path) -> None:
        path = tmp_path / "run" / "report.html"
        assert write_page(FACTS, path) == path
        assert write_page(FACTS, path).read_text("utf-8") == render(FACTS)
        assert list(path.parent.iterdir()) == [path]

    def test_a_failed_write_keeps_the_old_page(self, tmp_path: Path, fill_disk: Callable[[], None]) -> None:
        path = tmp_path / "report.html"
        path.write_text("old")

        fill_disk()
        with pytest.raises(RunError, match=r"the report cannot be written \(No space"):
            write_page(FACTS, path)
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
        assert path.read_bytes() == b"old"

    def test_a_report_is_small(self) -> None:
        assert len(render(synthetic_facts(count=200)).encode()) < 500_000

    def test_a_report_of_thousands_of_networks_with_long_names_stays_below_six_megabytes(self) -> None:
        tier = synthetic_tier("edge", count=20)
        points = tuple(replace(tier.points[i % 20], key=f"{i:012x}", summary=f"{i} " * 500) for i in range(5000))
        facts = replace(FACTS, tiers=(replace(tier, points=points),))
        assert len(render(facts).encode()) < 6_000_000

    def test_a_report_is_made_without_torch(self) -> None:
        code = "import sys, hwnas.report, hwnas.report.tables; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestPlots:
    @pytest.mark.parametrize("figure", list(figures(FACTS)), ids=lambda figure: figure.label[:30])
    def test_a_chart_holds_every_mark_at_its_place(self, figure: Figure) -> None:
        svg = ElementTree.fromstring(drawn(figure))
        points = [node for node in svg.iter() if "point" in (node.get("class") or "").split()]
        marks = [layer for layer in figure.layers if not isinstance(layer, Line)]
        assert len(points) == sum(len(layer.x) for layer in marks)
        places = [float((node.get("cx") or node.get("x") or "").rstrip("%")) for node in points]
        wanted = [figure.x.share(x) for layer in marks for x in layer.x]
        assert places == pytest.approx(wanted, abs=0.006)
        assert all(-0.01 <= place <= 100.01 for place in places)

    @pytest.mark.parametrize("figure", list(figures(FACTS)), ids=lambda figure: figure.label[:30])
    def test_every_point_that_can_be_met_has_a_tip(self, figure: Figure) -> None:
        lines = {layer.name for layer in figure.layers if isinstance(layer, Line)}
        for layer in figure.layers:
            assert len(layer.tips) == len(layer.x) or (layer.name in lines and not layer.tips)
        content = json.loads(Reader(str(tooltip_texts(figure))).scripts[0])
        assert len(content["points"]) == sum(len(layer.tips) for layer in figure.layers)
        heads = [content["words"][point[2]] for point in content["points"]]
        assert heads == [tip.head for layer in figure.layers for tip in layer.tips]

    @pytest.mark.parametrize("whole", [False, True])
    @pytest.mark.parametrize("span", [1e-4, 0.03, 0.7, 1.0, 2.4, 99.0, 12345.0])
    @pytest.mark.parametrize("low", [0.0, 0.3, -7.0, 1000.0])
    def test_ticks_are_few_distinct_and_within_the_axis(self, low: float, span: float, whole: bool) -> None:
        ticks = ChartAxis((low, low + span), whole=whole).ticks
        assert len(ticks) <= 8
        assert whole or len(ticks) >= 2
        assert len({label for _, label in ticks}) == len(ticks)
        for value, label in ticks:
            assert low - 1e-9 * abs(low + span) - 1e-12 <= value <= low + span + 1e-9 * abs(low + span) + 1e-12
            assert float(label.replace(",", "").replace("\N{MINUS SIGN}", "-")) == pytest.approx(value, abs=1e-9)

    def test_every_evaluated_network_is_drawn_once(self) -> None:
        tier = FACTS.tiers[0]
        placed = {layer.name: len(layer.x) for layer in front_figure(tier, "--tier-0").layers}
        assert placed["evaluated"] + placed["breaks a limit"] + placed["front"] == len(tier.points)

    def test_thinning_says_so(self) -> None:
        count = plots.MOST_DRAWN + 500
        tier = synthetic_tier("edge", count=20)
        points = tuple(replace(tier.points[i % 20], key=str(i)) for i in range(count))
        figure = front_figure(replace(tier, points=points, front=()), "--tier-0")
        assert sum(len(layer.x) for layer in figure.layers) == plots.MOST_DRAWN
        assert figure.notes == (f"500 of {count:,} evaluated networks are not drawn, so that the page stays quick.",)

    def test_networks_that_were_stopped_early_are_counted(self) -> None:
        tier = synthetic_tier("edge", count=20)
        stopped = replace(
            tier.points[0], key="stopped", scores={"latency_ms@edge": 9.0}, broken=("latency_ms@edge <= 1",)
        )
        figure = front_figure(replace(tier, points=(*tier.points, stopped)), "--tier-0")
        assert figure.notes == ("1 of 21 evaluated networks broke a limit before both axes were scored.",)

    def test_points_and_picks_lie_inside_the_axes(self) -> None:
        figure = front_figure(FACTS.tiers[0], "--tier-0")
        (left, right), (bottom, top) = figure.x.ends, figure.y.ends
        for layer in figure.layers:
            assert all(left <= x <= right for x in layer.x)
            assert all(bottom < y < top for y in layer.y)

    def test_errors_are_those_of_the_front(self) -> None:
        points = FACTS.tiers[0].front[:2]
        first = replace(points[0], predicted_ms=11.0, measured_ms=10.0, low_ms=9.5, high_ms=12.0)
        second = replace(points[1], predicted_ms=8.0, measured_ms=10.0, low_ms=7.0, high_ms=9.0)
        errors = replace(FACTS.tiers[0], front=(first, second)).errors
        assert errors is not None
        assert errors.mean_percent == pytest.approx(15)
        assert (errors.worst_percent, errors.worst_key) == (pytest.approx(20), second.key)
        assert (errors.count, errors.inside, errors.intervals) == (2, 1, 2)


class TestMarkup:
    def test_only_markup_is_markup(self) -> None:
        made = el("p", "<b>", el("b", "&"), None, title='"', aria_label=None)
        assert made == '<p title="&quot;">&lt;b&gt;<b>&amp;</b></p>'
        assert join("<", made) == f"&lt;{made}"

    def test_json_in_a_script_cannot_end_it(self) -> None:
        value = ["</script><!--", "a&b\u2028"]
        text = safe_json(value)
        assert not set("<>&\u2028") & set(text)
        assert json.loads(text) == value

    def test_json_holds_no_nan(self) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            safe_json([float("nan")])


class TestTable:
    def test_words_stand_left_and_numbers_right(self) -> None:
        long = "mbconv, kernel 3, expand 2, stride 1"
        rows = [[TableCell("a", "a"), TableCell(long, long), TableCell("5 µs", 5.0), TableCell("4 %", "4 %")]]
        made = parts.table("T", [("Slot", None), ("Operator", None), ("Adds", "predicted"), ("Share", None)], rows)
        cells = dict(re.findall(r'data-label="([^"]*)"(?: class="([^"]*)")?', made))
        assert cells == {"Operator": "left words", "Adds, predicted": "", "Share": ""}


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (units.count(1_200_000), "1.20 M"), (units.count(812), "812"), (units.count(None), units.GAP),
            (units.macs(45_300_000), "45.3 MMACs"), (units.macs(12), "12 MACs"), (units.size(12_800), "12.5 KiB"),
            (units.size(100), "100 B"), (units.milliseconds(0.05), "50 µs"),
            (units.milliseconds(0.0), "0 ms"), (units.milliseconds(0.1), "0.100 ms"),
            (units.milliseconds(0.09996), "100.0 µs"), (units.interval(0.0391, 0.0433), "39.1 to 43.3 µs"),
            (units.interval(0.09, 0.12), "90 to 120 µs"), (units.interval(0.4, 0.5), "0.400 to 0.500 ms"),
            (units.percent(0.9742), "97.42 %"), (units.seconds(41.4), "41 s"), (units.seconds(200), "3 min 20 s"),
            (units.seconds(3900), "1 h 05 min"), (units.architectures(13_824), "13,824"),
            (units.architectures(23 * 10**18), "2.30 \N{MULTIPLICATION SIGN} 10¹⁹"),
            (units.Units().label("latency_ms@pi4"), "Latency"), (units.Units().scored("file_bytes", 2048), "2 KiB"),
            (units.Units().limit(Limit("latency_ms@pi4", 0.25)), "Latency ≤ 0.25 ms"),
            (units.Units().limit(Limit("top1@inherited", 0.9, "least")), "Top-1 accuracy ≥ 90 %"),
            (units.Units().limit(Limit("params", 100)), "Parameters ≤ 100"),
            (units.Units().limit(Limit("file_kib@pi4", 200)), "File size ≤ 200 KiB"),
            (units.setup_line({"device": "Pi", "runtime": "tflite", "threads": 4}), "Pi · tflite · 4 threads"),
            (units.setup_line({"threads": 1, "precision": "int8", "batch": 2}), "1 thread · int8 · batch 2"),
        ],
    )  # fmt: skip
    def test_numbers_read_well(self, text: str, expected: str) -> None:
        assert text == expected


def printed(renderable: Any, width: int = 140) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


class TestTables:
    def test_the_front_is_listed_by_rising_latency(self) -> None:
        tier = FACTS.tiers[0]
        text = printed(front_table(tier))
        places = [text.index(point.key) for point in tier.ordered]
        assert places == sorted(places)
        assert "knee" in text
        assert f"{len(tier.front)} of 40 evaluated" in text

    def test_a_front_whose_points_are_unknown_is_still_counted(self) -> None:
        tier = replace(FACTS.tiers[0], points=())
        assert f"{len(tier.front)} networks;" in printed(front_table(tier))

    def test_a_front_fits_a_terminal_of_eighty_columns(self) -> None:
        tier = FACTS.tiers[0]
        longest = replace(tier.ordered[0], picks=("fastest", "best", "knee"), kept=False, params=123_456, macs=123_456)
        text = printed(front_table(replace(tier, front=(longest, *tier.ordered[1:]))), width=80)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        for word in (
            "network",
            "top-1 val",
            "test",
            "pred. µs",
            "meas. µs",
            "params",
            "MACs",
            "fastest",
            "best",
            "knee",
            "123 k",
        ):
            assert word in text
        assert all(point.key in text for point in tier.front)

    def test_shrunken_estimates_stand_beside_what_was_measured(self) -> None:
        tier = FACTS.tiers[0]
        accuracy = tier.accuracy.metric
        shrunk = replace(
            tier,
            front=tuple(replace(p, estimate=ShrunkenEstimate(p.scores[accuracy] - 0.0123, 0.004)) for p in tier.front),
        )
        point = shrunk.ordered[0]
        text = printed(front_table(shrunk), width=80)
        assert "est." in text
        assert "…" not in text
        assert units.Units().scored(accuracy, point.scores[accuracy] - 0.0123) in text
        assert units.Units().scored(accuracy, point.scores[accuracy]) in text
        page = render(replace(FACTS, tiers=(shrunk, *FACTS.tiers[1:])))
        assert f"shrunken estimate {shrunk.estimate(point)}" in page
        assert shrunk.estimate(point).endswith("±0.80"), "two standard deviations"
        assert "hrunken estimate" not in render(FACTS)
        marks = next(layer for layer in front_figure(shrunk, "--tier-0").layers if layer.name == "front")
        assert sorted(marks.y) == pytest.approx(sorted(100 * (p.scores[accuracy] - 0.0123) for p in shrunk.front))

    def test_accuracies_that_may_be_no_better_than_a_faster_ones_are_marked(self) -> None:
        tier = FACTS.tiers[0]
        accuracy, latency = tier.accuracy.metric, tier.latency.metric
        front = tuple(
            replace(tier.front[0], key=key, scores={accuracy: top1, latency: ms}, accuracy_error=0.005, picks=())
            for key, top1, ms in (("slow", 0.91, 3.0), ("fast", 0.80, 1.0), ("near", 0.81, 2.0))
        )
        near = replace(tier, front=front)
        assert near.alike == {"near": "fast"}
        lines = printed(front_table(near), width=80).splitlines()
        assert next(line.split()[0] for line in lines if "≈" in line) == "near"
        assert sum("≈" in line for line in lines) == 2, "the network and the caption"
        page = render(replace(FACTS, tiers=(near, *FACTS.tiers[1:])))
        assert page.count("≈ fast") == 1

    def test_brackets_in_names_are_not_styles(self) -> None:
        assert "[bold]x[/]" in printed(front_table(replace(FACTS.tiers[0], name="[bold]x[/]")))

    def test_a_network_costs_its_operators(self) -> None:
        rows = [("stem", "conv 3x3", 1000, 2_000_000, 2048, 0.5), ("head", "classifier", 500, 1_000_000, 1024, 0.25)]
        foot = printed(costs_table(rows)).splitlines()[-2]
        assert [cell.strip() for cell in foot.strip("│").split("│")][1:] == [
            "network", "1.50 k", "3 MMACs", "2 KiB", "0.750 ms",
        ]  # fmt: skip

    def test_a_missing_latency_leaves_the_sum_open(self) -> None:
        rows = [("stem", "conv", 1, 1, 1, 0.5), ("head", "classifier", 1, 1, 1, None)]
        assert units.GAP in printed(costs_table(rows)).splitlines()[-2]
        assert "latency" not in printed(costs_table([("head", "classifier", 1, 1, 1, None)]))

    def test_costs_name_their_units(self) -> None:
        assert dict(cost_rows(1000, 2000, 4096, file_bytes=5120, ms=0.1)) == {
            "parameters": "1 k", "MACs": "2 kMACs", "activations": "4 KiB", "file": "5 KiB", "latency": "0.100 ms",
        }  # fmt: skip
