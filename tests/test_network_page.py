"""A network operator by operator: what each adds, its picture and page, two beside each other; comparisons as pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hwnas import pipeline
from hwnas.errors import ConfigError
from hwnas.latency.tables.comparison import TableComparison
from hwnas.report.networks.facts import OperatorFacts, latency_lines, predicted_ms
from hwnas.report.networks.page import latency_figure, memory_figure
from hwnas.report.networks.picture import aligned, differs, network_picture
from tests.helpers.command_line import Call

SPACE, TABLE = "digits", "xeon_tflite_fp32_1t"


def operator(slot: str, *, width: int = 8, ms: float | None = 0.5, kind: str = "conv") -> OperatorFacts:
    knobs = {"in_channels": 4, "out_channels": width, "kernel": 3}
    return OperatorFacts(slot, kind, knobs, (4, 8, 8), (width, 8, 8), 10, 20, 1024 * width, ms, ms, ms)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    out = tmp_path_factory.mktemp("page") / "two.html"
    documents = pipeline.draw_network(SPACE, "random:1", beside="smallest", table=Path(TABLE), out=out)
    return out, documents


def test_lines_tell_shares_of_the_prediction() -> None:
    call = OperatorFacts("call", "overhead", {}, (), (), 0, 0, 0, 0.2, 0.2, 0.2)
    *rows, total = latency_lines([operator("stem", ms=0.6), operator("head", ms=0.2), call], "a board")
    assert [re.findall(r"[\d.]+ %", row)[0] for row in rows] == ["60.00 %", "20.00 %", "20.00 %"]
    assert total == "1 ms in all, predicted for a board"


def test_without_a_table_there_are_no_lines_and_no_sum() -> None:
    assert list(latency_lines([operator("stem", ms=None)], "a board")) == []
    assert predicted_ms([operator("stem", ms=None), operator("head")]) is None


def test_slots_of_two_networks_stand_beside_each_other() -> None:
    first = [operator("stem"), operator("s1_1"), operator("s1_2"), operator("head")]
    second = [operator("stem"), operator("s1_1", width=16), operator("s2_1"), operator("head")]
    pairs = aligned(first, second)
    slots = [(one and one.slot, other and other.slot) for one, other in pairs]
    assert slots == [("stem", "stem"), ("s1_1", "s1_1"), ("s1_2", None), (None, "s2_1"), ("head", "head")]
    assert [differs(pair) for pair in pairs] == [False, True, True, True, False]


def test_the_picture_marks_as_many_rows_as_differ() -> None:
    first, second = [operator("stem"), operator("head")], [operator("stem"), operator("head", width=16)]
    drawn = network_picture("space", {"A": first, "B": second})
    assert drawn.count('class="changed"') == 1
    assert "1 rows differ" in drawn
    assert network_picture("space", {"A": first}).count('class="changed"') == 0


def test_what_operators_add_sums_to_the_latency(drawn: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    for document in drawn[1].values():
        operators = [OperatorFacts.of(entry) for entry in document["operators"]]
        assert predicted_ms(operators) == pytest.approx(document["latency_ms"])


def test_figures_hold_every_operator_of_both(drawn: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    networks = {name: (one, tuple(map(OperatorFacts.of, one["operators"]))) for name, one in drawn[1].items()}
    latency, memory = latency_figure(networks), memory_figure(networks)
    for name, (document, operators) in networks.items():
        assert len(latency.layer(name).x) == len(operators)
        assert max(memory.layer(name).y) * 2**10 == pytest.approx(document["activation_bytes"])


def test_the_page_names_device_runtime_and_origin(drawn: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    page = drawn[0].read_text("utf-8")
    for words in ("Xeon", "tflite", "predicted", "random:1 beside smallest", "Memory over the chain"):
        assert words in page


def test_a_picture_alone_is_svg(tmp_path: Path, hwnas: Call) -> None:
    done = hwnas("cost", "digits", "--beside", "smallest", "-o", "net.svg")
    assert done.code == 0, done.err
    assert (tmp_path / "net.svg").read_text("utf-8").startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits", "--beside", "smallest"], "--beside draws nothing without -o"),
        (["digits", "-o", "net.pdf"], "cannot be drawn as `.pdf`"),
        (["digits", "--beside", "tiny", "-o", "net.html"], "names no architecture"),
    ],
)
def test_drawing_refuses(tmp_path: Path, hwnas: Call, arguments: list[str], words: str) -> None:
    done = hwnas("cost", *arguments)
    assert done.code == 2
    assert words in done.err
    assert not list(tmp_path.glob("net.*"))


def test_a_comparison_of_tables_is_a_page(tmp_path: Path) -> None:
    other = "xeon_onnxruntime_fp32_1t"
    page = tmp_path / "compared.html"
    compared = pipeline.compare(TABLE, other)
    assert isinstance(compared, TableComparison)
    pipeline.write_comparison(compared, (TABLE, other), page)
    text = page.read_text("utf-8")
    assert text.count("<tr>") == len(compared.rows) + 1
    assert other in text
    with pytest.raises(ConfigError, match="cannot be written as"):
        pipeline.write_comparison(compared, (TABLE, other), tmp_path / "compared.txt")
