"""The report in a real browser: no complaint, no request, every plot drawn, nothing cut off on a phone."""

from __future__ import annotations

import base64
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from hwnas.pareto import Limit
from hwnas.predictors.importances import Importance, Importances
from hwnas.report import ReportFacts, render, write_page
from tests.helpers.chromium import Browser, browser, chromium
from tests.helpers.synthetic_report import hostile, synthetic_facts, synthetic_tier

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH: apt-get install chromium"),
]

DRAWN = "[...document.querySelectorAll('.plot')].map((p) => p.querySelectorAll('.point, polyline').length)"
MIDDLE = """((selector, index) => {
    const mark = [...document.querySelectorAll(selector)].at(index);
    mark.scrollIntoView({block: 'center', behavior: 'instant'});
    const box = mark.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
})"""
FRONT_MARKS = ".plot .layer[data-name=front] .point"
TABLE = "document.querySelector('#Networks ~ * table')"
TIP = "document.querySelector('.tip:not([hidden])')?.innerText"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def forgotten(tab: Browser) -> None:
    tab.errors.clear()
    tab.requests.clear()


def assert_sound(tab: Browser, width: int) -> None:
    assert tab.errors == []
    assert tab.requests == []
    drawn = tab.value(DRAWN)
    assert drawn
    assert min(drawn) > 0
    assert tab.value("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "touch"), [(1280, False), (375, True)])
def test_a_report_draws_at_any_width(tab: Browser, tmp_path: Path, width: int, touch: bool, dark: bool) -> None:
    tab.open(write_page(synthetic_facts(), tmp_path / "report.html"), width=width, dark=dark, touch=touch)
    assert_sound(tab, width)
    assert tab.value("document.querySelectorAll('.plot').length") == 7
    assert tab.value("getComputedStyle(document.body).backgroundColor") == (
        "rgb(13, 18, 23)" if dark else "rgb(243, 245, 247)"
    )


CUT = """[...document.querySelectorAll('h3, p, dd, dt, small, th, td, li, text, .pick, button')].filter((node) => {
    const box = node.getBoundingClientRect();
    const card = node.closest('.card, header, footer')?.getBoundingClientRect();
    return box.width && card && (box.left < card.left - 1 || box.right > card.right + 1);
}).map((node) => node.textContent)"""
OVERLAPPING = """[...document.querySelectorAll('.card')].flatMap((card) => {
    const parts = [...card.children].filter((node) => node.getBoundingClientRect().height);
    return parts.slice(1).filter((node, i) =>
        node.getBoundingClientRect().top < parts[i].getBoundingClientRect().bottom - 1).map((node) => node.textContent);
})"""


@pytest.mark.parametrize(("width", "touch"), [(1400, False), (390, True)])
def test_nothing_is_cut_or_lies_over_another(tab: Browser, tmp_path: Path, width: int, touch: bool) -> None:
    facts = synthetic_facts(count=40)
    tab.open(write_page(facts, tmp_path / "report.html"), width=width, touch=touch)
    assert tab.value(CUT) == []
    assert tab.value(OVERLAPPING) == []
    assert tab.value("[...document.querySelectorAll('.scroll')].filter((s) => s.scrollWidth > s.clientWidth + 1)") == []


def test_a_table_too_wide_for_its_card_becomes_blocks_that_name_their_values(tab: Browser, tmp_path: Path) -> None:
    tab.open(write_page(synthetic_facts(count=40), tmp_path / "report.html"), width=390, touch=True)
    cell = f"{TABLE}.tBodies[0].rows[0].cells[1]"
    assert tab.value(f"getComputedStyle({cell}, '::before').content") == '"Top-1, validation, measured"'
    tab.call("Emulation.setDeviceMetricsOverride", width=1400, height=900, deviceScaleFactor=1, mobile=False)
    tab.wait_for("!document.querySelector('.stacked')")
    assert tab.value(f"getComputedStyle({cell}, '::before').content") == "none"


def test_an_entry_of_the_legend_hides_its_marks_and_shows_them_again(tab: Browser, tmp_path: Path) -> None:
    tab.open(write_page(synthetic_facts(count=40), tmp_path / "report.html"))
    shown = "getComputedStyle(document.querySelector('.layer[data-name=evaluated]')).display"
    button = "document.querySelector('.legend button[data-layers*=evaluated]')"
    assert tab.value(shown) == "inline"
    tab.value(f"{button}.click()")
    assert (tab.value(shown), tab.value(f"{button}.ariaPressed")) == ("none", "false")
    tab.value(f"{button}.click()")
    assert tab.value(shown) == "inline"


RECORDED = """(window.saved = [], HTMLAnchorElement.prototype.click = function () {
    window.saved.push([this.download, this.href]);
})"""


def test_a_chart_is_saved_as_svg_and_as_png(tab: Browser, tmp_path: Path) -> None:
    tab.open(write_page(synthetic_facts(count=40), tmp_path / "report.html"))
    tab.value(f"{RECORDED} && 1")
    tab.value("document.querySelectorAll('.plot + .save')[0].querySelectorAll('button').forEach((b) => b.click())")
    tab.wait_for("window.saved.length === 2")
    (name, svg), (picture, png) = tab.value("window.saved")
    assert (name.endswith(".svg"), picture.endswith(".png")) == (True, True)
    root = ElementTree.fromstring(unquote(svg.partition(",")[2]))
    points = [node for node in root.iter() if "point" in (node.get("class") or "").split()]
    assert len(points) == tab.value("document.querySelector('.plot').querySelectorAll('.point').length")
    assert "var(" not in unquote(svg)
    assert base64.b64decode(png.partition(",")[2]).startswith(b"\x89PNG")
    assert len(png) > 20_000, "an empty picture"
    assert_sound(tab, 1280)


AXE = os.environ.get("HWNAS_AXE", "")
SERIOUS = """axe.run(document, {resultTypes: ['violations']}).then((found) => {
    const serious = found.violations.filter((one) => ['serious', 'critical'].includes(one.impact));
    window.found = serious.map((one) => one.help);
}), 1"""


@pytest.mark.skipif(not AXE, reason="HWNAS_AXE names no axe.min.js: npm install axe-core")
@pytest.mark.parametrize(("width", "touch", "dark"), [(1400, False, False), (390, True, True)])
def test_axe_finds_nothing_serious(tab: Browser, tmp_path: Path, width: int, touch: bool, dark: bool) -> None:
    tab.open(write_page(with_importances(), tmp_path / "report.html"), width=width, touch=touch, dark=dark)
    tab.value("document.querySelectorAll('details').forEach((one) => { one.open = true; }) || 1")
    tab.value(Path(AXE).read_text("utf-8") + ";1")
    tab.value(SERIOUS)
    tab.wait_for("window.found", 60)
    assert tab.value("window.found") == []


@pytest.mark.parametrize(("width", "touch"), [(1400, False), (390, True)])
def test_choices_fit_and_their_table_opens(tab: Browser, tmp_path: Path, width: int, touch: bool) -> None:
    tab.open(write_page(with_importances(), tmp_path / "report.html"), width=width, touch=touch)
    tab.value("document.querySelectorAll('.beneath details').forEach((one) => { one.open = true; }) || 1")
    tab.wait_for("[...document.querySelectorAll('.scroll')].every((s) => s.scrollWidth <= s.clientWidth + 1)")
    assert tab.value(CUT) == []
    assert tab.value(OVERLAPPING) == []
    assert_sound(tab, width)


def with_importances() -> ReportFacts:
    """A report whose first tier has many choices, with long names."""
    facts = synthetic_facts(count=40)
    choices = [
        Importance(f"stage_{n}.{n}.expand", ("2", "6"), 1 / (n + 1), 0.02, -0.01 / (n + 1), 1e-3) for n in range(30)
    ]
    tier = facts.tiers[0]
    made = dict.fromkeys((tier.accuracy.metric, tier.latency.metric), Importances(0.8, 150, tuple(choices)))
    return replace(facts, tiers=(replace(tier, importances=made), *facts.tiers[1:]))


def unusual() -> Iterator[ReportFacts]:
    facts = synthetic_facts(count=20)
    out_of_reach = synthetic_tier("edge", count=20, limits=(Limit("latency_ms@edge", 1e-4),))
    tiers = (out_of_reach, synthetic_tier("one", count=1), synthetic_tier("none", count=0))
    yield replace(facts, tiers=tiers, training=None)
    name = "a-name-without-any-space-" + "x" * 120
    long = replace(synthetic_tier("edge", count=20), name=name)
    yield replace(facts, title=name, experiment=name, tiers=(long,), machine={name: name})


@pytest.mark.parametrize("facts", list(unusual()), ids=["hardly any points", "long names"])
def test_unusual_reports_draw_on_a_phone(tab: Browser, tmp_path: Path, facts: ReportFacts) -> None:
    tab.open(write_page(facts, tmp_path / "report.html"), width=375, touch=True)
    assert_sound(tab, 375)


def test_thousands_of_points_draw(tab: Browser, tmp_path: Path) -> None:
    facts = replace(synthetic_facts(), tiers=(synthetic_tier("edge", count=5000),))
    tab.open(write_page(facts, tmp_path / "report.html"))
    assert_sound(tab, 1280)
    assert tab.value("document.querySelectorAll('.plot')[0].querySelectorAll('.point').length") >= 5000


def test_names_do_not_run(tab: Browser, tmp_path: Path) -> None:
    page = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", render(hostile(synthetic_facts(count=20))))
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    tab.open(tmp_path / "report.html")  # without its policy: escaping alone has to hold
    tab.value(f"{MIDDLE}({FRONT_MARKS!r}, 0)")
    assert_sound(tab, 1280)
    assert tab.value("window.hit") is None


def test_hovering_tells_what_a_network_is(tab: Browser, tmp_path: Path) -> None:
    facts = synthetic_facts(count=60)
    tab.open(write_page(facts, tmp_path / "report.html"))
    x, y = tab.value(f"{MIDDLE}({FRONT_MARKS!r}, 0)")
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tab.wait_for(TIP)
    told = tab.value(TIP)
    assert any(point.key in told for tier in facts.tiers for point in tier.front)
    assert all(word in told for word in ("measured", "predicted", "MACs", "mbconv 3x3"))
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    assert tab.value(TIP) is None


def test_tapping_tells_what_a_network_is_and_swiping_scrolls(tab: Browser, tmp_path: Path) -> None:
    tab.open(write_page(synthetic_facts(count=60), tmp_path / "report.html"), width=375, height=740, touch=True)
    x, y = tab.value(f"{MIDDLE}({FRONT_MARKS!r}, 0)")
    tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    tab.wait_for(TIP)
    assert "predicted" in tab.value(TIP)
    box = "document.querySelector('.tip:not([hidden])').getBoundingClientRect()"
    assert tab.value(f"{box}.left") >= 0
    assert tab.value(f"{box}.right") <= 375
    before = tab.value("scrollY")
    tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    for step in range(1, 10):
        tab.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y - 20 * step}])
    tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    tab.wait_for(f"scrollY > {before} + 50")
    assert tab.value("scrollY") > before + 50


def test_a_click_on_a_header_sorts_and_gaps_stay_last(tab: Browser, tmp_path: Path) -> None:
    tab.open(write_page(synthetic_facts(), tmp_path / "report.html"))
    column = f"[...{TABLE}.tBodies[0].rows].map((row) => Number(row.cells[1].dataset.sort))"
    header = f"{TABLE}.tHead.rows[0].cells[1]"
    given = tab.value(column)
    tab.value(f"{header}.querySelector('button').click()")
    assert tab.value(column) == sorted(given) != given
    assert tab.value(f"{header}.ariaSort") == "ascending"
    tab.value(f"{header}.querySelector('button').click()")
    assert tab.value(column) == sorted(given, reverse=True)
    gaps = f"[...{TABLE}.tBodies[0].rows].map((row) => row.cells[2].dataset.sort === '')"
    for _ in ("ascending", "descending"):
        tab.value(f"{TABLE}.tHead.rows[0].cells[2].querySelector('button').click()")
        assert tab.value(gaps) == sorted(tab.value(gaps))
        assert {True, False} == set(tab.value(gaps))


def test_plots_follow_the_window_and_the_scheme(tab: Browser, tmp_path: Path) -> None:
    tab.open(write_page(synthetic_facts(count=30), tmp_path / "report.html"))
    ink = f"getComputedStyle([...document.querySelectorAll({FRONT_MARKS!r})].at(-1)).fill"
    light = tab.value(ink)
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    tab.wait_for(f"{ink} !== {light!r}")
    assert tab.value(ink) != light
    tab.call("Emulation.setDeviceMetricsOverride", width=375, height=740, deviceScaleFactor=1, mobile=False)
    widest = "Math.max(...[...document.querySelectorAll('.chart')].map((svg) => svg.getBoundingClientRect().right))"
    tab.wait_for(f"{widest} <= 375")
    assert tab.value(widest) <= 375
    assert_sound(tab, 375)


def test_paper_is_light_and_cuts_no_table(tab: Browser, tmp_path: Path) -> None:
    tab.open(write_page(synthetic_facts(count=30), tmp_path / "report.html"), dark=True)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", media="print", features=dark)
    tab.call("Emulation.setDeviceMetricsOverride", width=718, height=1000, deviceScaleFactor=1, mobile=False)
    try:
        assert tab.value("getComputedStyle(document.body).color") == "rgb(19, 26, 34)"
        tab.wait_for("document.documentElement.scrollWidth <= 718")
        assert tab.value("document.documentElement.scrollWidth") <= 718
        cut = """[...document.querySelectorAll('.card table')].filter((table) =>
            table.getBoundingClientRect().right > table.closest('.card').getBoundingClientRect().right).length"""
        assert tab.value(cut) == 0
        assert tab.value("document.querySelectorAll('.card table').length") > 2
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("planted", ["throw new Error('planted')", "console.error('planted')"])
def test_a_planted_script_error_is_seen(tab: Browser, tmp_path: Path, planted: str) -> None:
    page = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", render(synthetic_facts(count=20)))
    (tmp_path / "report.html").write_text(
        page.replace("</body>", f"<script>{planted}</script></body>"), encoding="utf-8"
    )
    tab.open(tmp_path / "report.html")
    assert any("planted" in error for error in tab.errors)


def test_a_planted_request_is_seen(tab: Browser, tmp_path: Path) -> None:
    page = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", render(synthetic_facts(count=20)))
    planted = '<img src="http://127.0.0.1:9/planted.png"></body>'
    (tmp_path / "report.html").write_text(page.replace("</body>", planted), encoding="utf-8")
    tab.open(tmp_path / "report.html")
    assert tab.requests == ["http://127.0.0.1:9/planted.png"]


def test_the_page_refuses_foreign_scripts_and_requests(tab: Browser, tmp_path: Path) -> None:
    planted = '<script>window.hit = 1</script><img src="http://127.0.0.1:9/planted.png"></body>'
    page = render(synthetic_facts(count=20)).replace("</body>", planted)
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    tab.open(tmp_path / "report.html")
    assert tab.value("window.hit") is None
    assert tab.requests == []
    assert len([error for error in tab.errors if "Content Security Policy" in error]) >= 2
