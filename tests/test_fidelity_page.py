"""What a run's fidelity shows: correlations, the verdict in words, the table for the terminal, the page."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import RunError
from hwnas.report.validation.fidelity import CORRELATION_NAMES, Budget, Fidelity, RankedNetwork, fidelity_table, verdict
from hwnas.report.validation.fidelity_page import render_fidelity, write_fidelity_page
from hwnas.tasks import DEFAULT_TASK, binomial_error
from tests.helpers.chromium import Browser, browser, chromium

WHEN = {"hwnas_version": "0.1", "created_at": "2026-11-24 17:31 UTC"}


def synthetic(count: int = 28, *, spread: float = 0.01, metric: str = "top1@inherited") -> Fidelity:
    """A run whose scores lie `spread` (one standard deviation) beside the accuracies alone, and 4 points below."""
    rng = np.random.default_rng(0)
    alone = rng.uniform(0.55, 0.78, count)
    scores = alone - 0.04 + rng.normal(0, spread, count)
    networks = tuple(
        RankedNetwork(
            f"{rng.integers(2**44):012x}", "s1.depth 2, s1.width 32", int(2e5 * alone[i] * rng.uniform(0.7, 1)),
            int(5e6 * alone[i] * rng.uniform(0.7, 1)), float(scores[i]), float(alone[i]), 110.0,
            *(binomial_error(float(np.clip(share, 0, 1)), 5000) for share in (scores[i], alone[i])),
        )
        for i in range(count)
    )  # fmt: skip
    return Fidelity(
        run="cifar10", space="cifar10_small", metric=metric, goal="max", task=DEFAULT_TASK,
        data="cifar10 limit=30000", seed=0, samples=5000,
        together=Budget(12, 30000, 4, 900.0), alone=Budget(12, 30000, count, 110.0 * count),
        networks=networks, failed={},
    )  # fmt: skip


def told(found: Fidelity) -> str:
    return " ".join(verdict(found))


def test_the_verdict_follows_kendalls_correlation() -> None:
    assert "can be relied on" in told(synthetic(spread=0.005))
    assert "are a guide" in told(synthetic(spread=0.05))
    assert "mean little" in told(synthetic(spread=1.0))


def test_the_verdict_tells_bias_failures_few_networks_and_rivals_that_are_free() -> None:
    assert "3.97 points below" in told(synthetic(spread=0.001))
    assert "below" not in told(synthetic(metric="score@naswot"))
    assert "1 network could not" in told(replace(synthetic(), failed={"ab": "it diverged"}))
    assert "5 networks are few" in told(synthetic(5))
    assert "are few" not in told(synthetic())
    assert "Costs alone rank" in told(synthetic(spread=1.0))
    assert "Costs alone rank" not in told(synthetic(spread=0.005))


def test_without_two_networks_there_is_no_correlation_and_no_number_in_its_place() -> None:
    for count in (0, 1):
        found = synthetic(count)
        assert "no correlation" in told(found)
        assert [found.as_dict()[kind] for kind in CORRELATION_NAMES] == [None] * 3
        assert render_fidelity(found, **WHEN)


def test_regret_is_what_the_best_score_loses() -> None:
    networks = synthetic(3).networks
    wrong = (replace(networks[0], score=0.9, alone=0.5), replace(networks[1], score=0.1, alone=0.7))
    assert replace(synthetic(), networks=wrong).regret == pytest.approx(0.2)


def test_the_json_holds_every_network_and_reads_back() -> None:
    found = synthetic()
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [n["key"] for n in document["networks_detail"]] == [n.key for n in found.networks]
    assert document["kendall"]["low"] <= document["kendall"]["value"] <= document["kendall"]["high"]
    assert set(document["rivals"]) == {"parameters", "MACs"}


def test_the_table_fits_eighty_columns() -> None:
    from rich.console import Console

    shown = io.StringIO()
    Console(file=shown, width=80).print(fidelity_table(synthetic()))
    text = shown.getvalue()
    assert "…" not in text
    for word in (*CORRELATION_NAMES.values(), "top1@inherited", "parameters", "MACs"):
        assert word in text


def test_the_page_tells_what_the_terminal_tells() -> None:
    found = replace(synthetic(), failed={"badbad": "TrainingError: it <diverged>"})
    page = render_fidelity(found, **WHEN)
    assert all(sentence.replace("'", "&#x27;") in page for sentence in verdict(found))
    assert all(network.key in page for network in found.networks)
    assert "it &lt;diverged&gt;" in page


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError):
        write_fidelity_page(synthetic(), tmp_path / "file" / "fidelity.html", **WHEN)


# --- in a browser ---


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH: apt-get install chromium")
@pytest.mark.parametrize("metric", ["top1@inherited", "score@naswot"])
@pytest.mark.parametrize(("width", "touch", "dark"), [(1280, False, False), (375, True, True)])
def test_a_page_draws_at_any_width(
    tab: Browser, tmp_path: Path, width: int, touch: bool, dark: bool, metric: str
) -> None:
    page = write_fidelity_page(synthetic(metric=metric), tmp_path / "fidelity.html", **WHEN)
    tab.open(page, width=width, touch=touch, dark=dark)
    drawn = "[...document.querySelectorAll('.plot')].map((p) => p.querySelectorAll('.point').length)"
    assert tab.value(drawn) == [28]
    assert (tab.errors, tab.requests) == ([], [])
    assert tab.value("document.documentElement.scrollWidth") == width
