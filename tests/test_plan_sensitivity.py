"""Plans at other links: numbers on a grid, and a page whose sliders look them up. Networks here are synthetic."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.collaborate.choice import winner_of
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.presets import PRESETS
from hwnas.collaborate.predict import Load, Worlds
from hwnas.collaborate.sensitivity import RATE_FACTORS, RTT_FACTORS, sensitivity
from hwnas.report import units
from tests.helpers.chromium import Browser, browser, chromium
from tests.helpers.links import constant_link
from tests.helpers.plan_pages import plan_page, predicted

UP, DOWN, RTT = 10.0, 30.0, 20.0


@pytest.fixture(scope="module")
def grid() -> dict[str, Any]:
    link = constant_link(UP, DOWN, RTT)
    plans = predicted(link)
    return sensitivity(plans, plans[:1], link, Load(), 0.01, 0, "max")


def test_each_cell_is_the_prediction_of_that_link(grid: dict[str, Any]) -> None:
    for i, rate in list(enumerate(RATE_FACTORS))[::2]:
        for j, trip in list(enumerate(RTT_FACTORS))[::3]:
            plans = predicted(constant_link(UP * rate, DOWN * rate, RTT * trip))
            for plan in plans:
                own = grid["plans"].get(plan.candidate.name)
                if own is None:
                    continue
                assert own["p50"][i][j] == pytest.approx(plan.latency.p50, rel=1e-4)
                assert own["p95"][i][j] == pytest.approx(plan.latency.p95, rel=1e-4)
                for step, value in plan.latency.waterfall.items():
                    assert own["waterfall_ms"][step][i][j] == pytest.approx(value, rel=1e-4)
            winner = winner_of(plans, 0.01)
            assert winner is not None
            assert grid["winners"][i][j] == winner.candidate.name
    assert len(grid["plans"]) == len({name for row in grid["winners"] for name in row}) == 3


def test_the_planned_link_has_the_predictions_themselves() -> None:
    link = LinkModel.of_preset("lte", PRESETS["lte"])
    plans = predicted(link, 2.0)
    found = sensitivity(plans, plans, link, Load(), 0.01, 0, "max")
    i, j = found["planned"]
    for plan in plans:
        assert found["plans"][plan.candidate.name]["p95"][i][j] == pytest.approx(plan.latency.p95, rel=1e-4)
    winner = winner_of(plans, 0.01)
    assert winner is not None
    assert found["winners"][i][j] == winner.candidate.name
    for one in found["plans"].values():
        p50 = np.array(one["p50"])
        assert (np.diff(p50, axis=0) <= 0.03 * p50[:-1]).all()  # a faster link is not slower; fewer requests beside it
        assert (np.diff(p50, axis=1) >= -0.03 * p50[:, 1:]).all()


@pytest.mark.parametrize("name", ["lte", "wired"])
def test_a_link_that_is_scaled_is_the_scaled_link(name: str) -> None:
    link = LinkModel.of_preset(name, PRESETS[name])
    draws = Worlds.drawn(link, 0, 2, 50).link
    ways = [draws.scaled(rate, 1.0).transfer(np.asarray(9e4), np.asarray(1e3)).total for rate in (0.5, 1.0, 2.0)]
    for slow, fast in pairwise(ways):
        assert (fast <= slow).all()
    same = draws.transfer(np.asarray(9e4), np.asarray(1e3)).total
    assert ways[1] == pytest.approx(same)
    assert draws.scaled(2.0, 0.5).transfer(np.asarray(9e4), np.asarray(1e3)).total == pytest.approx(same / 2)


# --- the page ---


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


WINNER = "document.querySelector('.winner b').textContent"


@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH: apt-get install chromium")
@pytest.mark.parametrize(("width", "touch"), [(1400, False), (390, True)])
def test_keys_move_the_link_and_the_page_follows(tab: Browser, tmp_path: Path, width: int, touch: bool) -> None:
    path, document = plan_page(tmp_path)
    tab.errors.clear()
    tab.open(path, width=width, touch=touch)
    grid, names = document["sensitivity"], list(document["sensitivity"]["plans"])
    kinds = {plan["name"]: plan["kind"].replace("_", " ") for plan in document["plans"]}
    assert tab.value("document.documentElement.scrollWidth") == width
    i, j = grid["planned"]
    tab.value("document.querySelector('.sliders input').focus()")
    seen = set()
    for step in range(len(RATE_FACTORS)):
        at = max(i - step, 0)
        winner = tab.value(WINNER)
        assert winner.startswith(kinds[grid["winners"][at][j]])
        seen.add(winner)
        shown = tab.value("[...document.querySelectorAll('.quantiles')].map((one) => one.textContent)")
        own = [grid["plans"][name] for name in names]
        quantiles = [
            f"p50 {units.milliseconds(one['p50'][at][j])}, p95 {units.milliseconds(one['p95'][at][j])}" for one in own
        ]
        assert sorted(shown) == sorted(quantiles)
        for kind in ("rawKeyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="ArrowLeft", code="ArrowLeft", windowsVirtualKeyCode=37)
    assert len(seen) > 1
    assert tab.errors == tab.requests == []


def test_without_scripts_the_page_shows_the_planned_link(tmp_path: Path) -> None:
    path, document = plan_page(tmp_path)
    page = path.read_text(encoding="utf-8")
    for plan in document["plans"]:
        if plan["name"] in document["sensitivity"]["plans"]:
            latency = plan["latency_ms"]
            assert f"p50 {units.milliseconds(latency['p50'])}, p95 {units.milliseconds(latency['p95'])}" in page
    assert 'class="sliders" hidden=""' in page
