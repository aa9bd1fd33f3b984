"""Importances: what a choice explains is found, what is chance is not, and the report shows both with their errors."""

from __future__ import annotations

import base64
import csv
import io
import random
import re
from dataclasses import replace

import numpy as np

from hwnas.predictors.importances import FEWEST_TRIED, Importances, importances
from hwnas.report import render
from hwnas.space import Architecture
from tests.helpers.spaces import mb, space_of
from tests.helpers.synthetic_report import synthetic_facts

SPACE = space_of(mb("s1", depth=[1, 2], kernel=[3, 5], width=[8, 16, 24]))
RNG = random.Random(0)
DRAWN = [SPACE.random(RNG) for _ in range(200)]
NOISE = np.random.default_rng(0).normal(size=len(DRAWN))


def accuracies(width: float = 1.0, noise: float = 0.1) -> list[float]:
    wide = {8: 0.0, 16: 1.0, 24: 2.0}
    return [width * wide[int(dict(one.picks)["s1.width"])] + noise * n for one, n in zip(DRAWN, NOISE, strict=True)]


def computed(targets: list[float], drawn: list[Architecture] = DRAWN) -> Importances:
    made = importances(SPACE.choices, drawn, targets)
    assert made is not None
    return made


def test_the_choice_that_decides_comes_first_and_others_explain_nothing() -> None:
    made = computed(accuracies())
    first, *others = made.choices
    assert first.choice == "s1.width"
    assert made.explained > 0.9
    assert first.share > 10 * first.share_error
    assert abs(first.change - 2.0) < 0.1
    assert first.options == ("8", "24")
    assert all(abs(one.share) < 0.05 for one in others)
    assert {one.choice for one in made.choices} == {choice.name for choice in SPACE.choices}


def test_shares_are_parts_of_the_variance() -> None:
    places = {choice.name: {option: i for i, option in enumerate(choice.options)} for choice in SPACE.choices}
    weights = {"s1.width": 2.0, "s1.depth": 1.5}
    parts = {name: [weight * places[name][dict(one.picks)[name]] for one in DRAWN] for name, weight in weights.items()}
    made = computed([sum(both) for both in zip(*parts.values(), strict=True)])
    whole = sum(np.var(values) for values in parts.values())
    shares = {one.choice: one.share for one in made.choices}
    for name, values in parts.items():
        assert abs(shares[name] - np.var(values) / whole) < 0.12
    assert 0.8 < sum(shares.values()) < 1.15


def test_chance_explains_nothing() -> None:
    made = computed(accuracies(width=0.0))
    assert made.explained < 0.1
    assert all(one.share < 0.2 for one in made.choices)


def test_a_choice_that_is_seldom_active_explains_less_than_one_that_always_is() -> None:
    deep = [sum(value == 5 for name, value in one.picks if name.endswith("kernel")) for one in DRAWN]
    shares = {one.choice: one.share for one in computed([float(count) for count in deep]).choices}
    assert shares["s1.1.kernel"] > shares["s1.2.kernel"] > 0.05


def test_few_networks_or_equal_targets_have_no_importances() -> None:
    assert importances(SPACE.choices, DRAWN[: FEWEST_TRIED - 1], accuracies()[: FEWEST_TRIED - 1]) is None
    assert importances(SPACE.choices, DRAWN, [0.5] * len(DRAWN)) is None
    assert importances((), DRAWN, accuracies()) is None


def test_the_same_networks_have_the_same_importances() -> None:
    assert computed(accuracies()) == computed(accuracies())


def test_the_report_shows_them_with_their_errors_and_as_a_file() -> None:
    facts = synthetic_facts(count=40)
    tier = facts.tiers[0]
    made = {tier.accuracy.metric: computed(accuracies()), tier.latency.metric: computed(accuracies(width=0.0))}
    page = render(replace(facts, tiers=(replace(tier, importances=made), *facts.tiers[1:])))
    assert 'id="Choices"' in page
    first = made[tier.accuracy.metric].choices[0]
    assert f"{100 * first.share:.1f} ± {100 * first.share_error:.1f} %" in page
    assert ("importances are chance" in page) == (made[tier.latency.metric].explained <= 0)
    [link] = re.findall(r'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="choices-of-edge.csv"', page)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(link).decode())))
    assert {row["Choice"] for row in rows} == {choice.name for choice in SPACE.choices}
    assert float(rows[0]["Part of top-1 accuracy (fraction), predicted"]) == first.share
    assert 'id="Choices"' not in render(facts)


def test_a_table_of_networks_is_a_file_with_units_and_origins() -> None:
    facts = synthetic_facts(count=40)
    tier = facts.tiers[0]
    name = r'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="front-networks-of-edge.csv"'
    [link] = re.findall(name, render(facts))
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(link).decode())))
    assert len(rows) == len(tier.front)
    shown = {float(row["Latency (ms), predicted"]) for row in rows}
    assert shown == {point.predicted_ms for point in tier.front}
    assert {float(row["Top-1, validation (fraction), measured"]) for row in rows} == {
        point.scores[tier.accuracy.metric] for point in tier.front
    }
