"""Reading a space: what is told of it is true, fits a terminal, and is drawn within its picture."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hwnas import cli
from hwnas.cost_ranges import Extent, Range, extent_of
from hwnas.errors import ConfigError, RunError
from hwnas.network import costs, lower
from hwnas.pipeline import space_facts, view
from hwnas.report.charts.svg import lines_of
from hwnas.report.spaces.facts import KnobFacts, options, sides
from hwnas.report.spaces.picture import space_picture, write_picture
from hwnas.report.spaces.table import choice_lines, headline
from hwnas.space import AnySpace, FunctionSpace, Space
from tests.helpers.chromium import browser, chromium
from tests.helpers.spaces import SMALL, enumerate_architectures
from tests.helpers.tiny import SPACES, tiny
from tests.helpers.traced_nets import NETS

COUNTED = {name: space for name, space in SMALL.items() if space.count <= 3000}
SVG = "{http://www.w3.org/2000/svg}"


def over_all(space: AnySpace) -> tuple[Range, Range]:
    """The extent by walking every architecture."""
    everything = space.enumerate() if isinstance(space, FunctionSpace) else enumerate_architectures(space)
    totals = [costs(lower(space, architecture)) for architecture in everything]
    params, macs = ([getattr(total, name) for total in totals] for name in ("params", "macs"))
    return Range(min(params), max(params)), Range(min(macs), max(macs))


@pytest.mark.parametrize("name", COUNTED)
def test_ranges_are_those_of_all_networks(name: str) -> None:
    found = extent_of(COUNTED[name])
    assert (found.params, found.macs) == over_all(COUNTED[name])
    assert found.networks is None


@pytest.mark.parametrize("name", ["plain", "skips", "unfollowable"])
def test_ranges_of_a_small_function_are_those_of_all_networks(name: str) -> None:
    space = FunctionSpace(name, NETS[name])
    found = extent_of(space)
    assert (found.params, found.macs) == over_all(space)
    assert found.networks is None


def test_where_shared_choices_are_many_some_networks_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.cost_ranges.LOOKED_AT", 5)
    space = tiny("nas_bench_201")
    found = extent_of(space)
    assert found.networks == 7
    assert found.params.most == costs(lower(space, space.largest())).params
    assert bounded(found)


def test_a_large_function_tells_how_many_networks_were_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.cost_ranges.LOOKED_AT", 5)
    space = FunctionSpace("plain", NETS["plain"])
    found = extent_of(space)
    assert found.networks == 7
    assert any("of 7 networks" in line for line in headline(view(space)))


@pytest.mark.parametrize("name", sorted({*SPACES} - {"nas_bench_201"}))
def test_every_network_lies_within_the_ranges(name: str) -> None:
    space = tiny(name)
    found, rng = extent_of(space), random.Random(0)
    for architecture in (space.smallest(), space.largest(), *(space.random(rng) for _ in range(5))):
        total = costs(lower(space, architecture))
        assert found.params.least <= total.params <= found.params.most
        assert found.macs.least <= total.macs <= found.macs.most
    assert bounded(found)


def bounded(found: Extent) -> bool:
    """Sums over the parts bound the whole: parts are looked at apart from each other."""
    low, high = (sum(getattr(part.params, end) for part in found.parts) for end in ("least", "most"))
    return low <= found.params.least <= found.params.most <= high


def test_ways_of_stages_multiply_to_the_count() -> None:
    space = tiny("ofa_mobilenet_v3_w1.0")
    assert math.prod(stage.ways or 1 for stage in view(space).stages) == space.count


def test_the_document_holds_what_the_table_tells() -> None:
    facts = json.loads(json.dumps(space_facts(tiny("ofa_mobilenet_v3_w1.0"))))
    assert facts["stages"][2]["depth"]["options"] == [2, 3, 4]
    assert facts["stages"][2]["ways"] == 9**2 + 9**3 + 9**4
    assert facts["stages"][2]["params"]["least"] < facts["stages"][2]["params"]["most"]
    assert {"name", "source", "architectures", "choices", "params", "macs", "smallest", "largest"} <= facts.keys()


@pytest.mark.parametrize("name", ["ofa_mobilenet_v3_w1.0", "fbnet", "autoformer_tiny", "nas_bench_201", "imu"])
def test_the_table_fits_a_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hwnas.console.results import show_space

    monkeypatch.setenv("COLUMNS", "80")
    show_space(view(tiny(name)))
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    assert "…" not in told
    assert {block.op for stage in view(tiny(name)).stages for block in stage.blocks} <= set(told.split())


@pytest.mark.slow
def test_stages_alike_share_a_line_of_choices() -> None:
    lines = list(choice_lines(view(tiny("nas_bench_201"))))
    assert "s1, s2, s3:  $edge_1_0; $edge_2_0; $edge_2_1; $edge_3_0; $edge_3_1; $edge_3_2" in lines


def test_options_and_shapes_as_words() -> None:
    assert options(KnobFacts("r", tuple(range(128, 228, 4)), "space")) == "128 to 224 (25)"
    assert options(KnobFacts("se", (False, True), "layer")) == "no, yes"
    assert sides([(3, 56, 56), (3, 112, 112)]) == "56 to 112"
    assert sides([(192, 196)]) == "196 positions"
    assert sides([(1, 49, 10), (1, 98, 10)]) == "49x10 to 98x10"
    assert sides([(10,)]) == "vector"
    assert lines_of("a" * 30 + " b", 140) == ["a" * 17, "a" * 13 + " b"]


# --- the picture ---


@pytest.mark.parametrize("name", SPACES)
def test_a_picture_is_one_document_with_every_stage(name: str) -> None:
    found = view(tiny(name))
    root = ElementTree.fromstring(space_picture(found))
    told = {node.text for node in root.iter(f"{SVG}text")}
    assert {stage.name for stage in found.stages} <= told
    assert not [node for node in root.iter() if any("href" in key for key in node.attrib)]


@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="there is no Chromium")
@pytest.mark.parametrize("name", ["ofa_mobilenet_v3_w1.0", "fbnet", "autoformer_tiny", "nas_bench_201"])
def test_no_words_overlap_or_leave_the_picture(name: str, tmp_path: Path) -> None:
    path = write_picture(view(tiny(name)), tmp_path / "space.html")
    script = """(() => {
      const frame = document.querySelector('svg').getBoundingClientRect();
      const found = [...document.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
      const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom - 3 <= b.top || b.bottom - 3 <= a.top;
      const bad = found.filter(([, r]) => r.left < frame.left || r.right > frame.right || r.bottom > frame.bottom);
      found.forEach(([s, a], i) => found.slice(i + 1).forEach(([t, b]) => apart(a, b) || bad.push([s + ' | ' + t])));
      return bad.map(([said]) => said);
    })()"""
    with browser(tmp_path / "profile") as opened:
        opened.open(path)
        assert opened.value(script) == []


def run(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["hwnas", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_show_writes_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "digits.svg"
    assert run("show", "digits", "--picture", str(path), monkeypatch=monkeypatch) == 0
    assert f"wrote {path}" in " ".join(capsys.readouterr().out.split("\n"))
    assert path.read_text().startswith("<svg")


def test_pictures_are_svg_or_html(tmp_path: Path) -> None:
    space: Any = view(SMALL[next(iter(SMALL))])
    with pytest.raises(ConfigError, match=r"a picture cannot be written as `\.png`") as caught:
        write_picture(space, tmp_path / "space.png")
    assert "space.svg" in caught.value.do
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        write_picture(space, tmp_path / "file" / "space.svg")
    assert isinstance(SMALL[next(iter(SMALL))], Space)


@pytest.mark.parametrize("name", [".", "cluster:0", " "])
def test_a_picture_that_cannot_be_written_is_told_before_anything_is_printed(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["hwnas", "show", "digits", "--json", "--picture", name])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith("error: a picture cannot be written as")
