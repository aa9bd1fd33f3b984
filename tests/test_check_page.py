"""What a checked table shows: the verdict in words, the table for the terminal, the page as text and in a browser."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.errors import RunError
from hwnas.report.validation.table_check import METRICS, Checked, check_table, compared, verdict
from hwnas.report.validation.table_check_page import render_check, write_check_page
from tests.helpers.chromium import Browser, browser, chromium
from tests.helpers.synthetic_checks import synthetic

WHEN = {"hwnas_version": "0.1", "created_at": "2026-11-23 17:31 UTC"}


def told(checked: Checked) -> str:
    return " ".join(verdict(checked))


def test_the_verdict_tells_noise_from_the_models_own_error() -> None:
    assert "most of the error is the machine's noise" in told(synthetic(model=0.01, noise=0.01))
    assert "most of the error is the model's" in told(synthetic(model=0.05, noise=0.01))


@pytest.mark.parametrize(
    ("coverage", "words"),
    [(0.9, "54 of 60 measurements."), (0.7, "42 of 60 measurements: they are too narrow"),
     (1.0, "60 of 60 measurements: they are wider")],
)  # fmt: skip
def test_the_verdict_tells_whether_intervals_hold(coverage: float, words: str) -> None:
    checked = synthetic()
    assert words in told(replace(checked, model=replace(checked.model, coverage_90=coverage)))


def test_the_verdict_tells_drift_gaps_and_few_networks() -> None:
    assert "2.0 % slower" in told(synthetic())
    assert "faster" in told(replace(synthetic(), drift=-0.03))
    assert "slower" not in told(replace(synthetic(), drift=None))
    assert "too few checks" in told(synthetic(checks=False))
    assert "5 networks are few" in told(synthetic(5))
    assert "are few" not in told(synthetic(60))


@pytest.mark.parametrize("checks", [True, False])
def test_the_table_has_every_metric_and_fits_eighty_columns(checks: bool) -> None:
    from rich.console import Console

    shown = io.StringIO()
    Console(file=shown, width=80).print(check_table(synthetic(checks=checks)))
    text = shown.getvalue()
    assert "…" not in text
    for word in (*METRICS, *compared(synthetic(checks=checks))):
        assert word in text


@pytest.mark.parametrize("checks", [True, False])
def test_the_page_tells_what_the_terminal_tells(checks: bool) -> None:
    checked = synthetic(checks=checks)
    page = render_check(checked, **WHEN)
    assert all(sentence.replace("'", "&#x27;") in page for sentence in verdict(checked))
    assert all(network.key in page for network in checked.networks)
    assert page.count('class="canvas"') == (5 if checks else 3)
    assert all(reason in page for reason in checked.absent.values())


def test_what_a_table_says_is_text() -> None:
    page = render_check(replace(synthetic(3), setup={"device": "<script>alert(1)</script>"}), **WHEN)
    assert "<script>alert(1)" not in page


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError) as met:
        write_check_page(synthetic(3), tmp_path / "file" / "check.html", **WHEN)
    assert "--plot" in met.value.do


# --- in a browser ---


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH: apt-get install chromium")
@pytest.mark.parametrize(("count", "checks"), [(60, True), (1, False)])
@pytest.mark.parametrize(("width", "touch", "dark"), [(1280, False, False), (375, True, True)])
def test_a_page_draws_at_any_width(
    tab: Browser, tmp_path: Path, width: int, touch: bool, dark: bool, count: int, checks: bool
) -> None:
    page = write_check_page(synthetic(count, checks=checks), tmp_path / "check.html", **WHEN)
    tab.open(page, width=width, touch=touch, dark=dark)
    drawn = "[...document.querySelectorAll('.plot')].map((p) => p.querySelectorAll('.point').length)"
    assert tab.value(drawn) == [count, 2 * count, *[count] * (3 if checks else 1)]
    assert (tab.errors, tab.requests) == ([], [])
    assert tab.value("document.documentElement.scrollWidth") == width
