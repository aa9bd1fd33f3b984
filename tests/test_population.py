"""Populations: whatever is looked up for many networks at once equals what is found by lowering each of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from hwnas.errors import SpaceError, TableError
from hwnas.latency.model import LatencyModel
from hwnas.latency.population import predict_many, predict_many_ms, upper_many_ms
from hwnas.measure.table import LatencyTable, row_key
from hwnas.measure.timing import Measurement
from hwnas.network import costs, lower, operators_of
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.costs import operator_costs
from hwnas.population import EMPTY_SLOT, codebook_of, population_costs, population_sums
from hwnas.runtimes import Setup
from hwnas.space import AnySpace, Architecture, FunctionSpace, Space, parse_space, read_space
from hwnas.space.function import Choose
from tests.helpers.spaces import HEAD, SMALL, SPACES, enumerate_architectures, space_of

every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def all_of(space: AnySpace) -> list[Architecture]:
    return list(space.enumerate() if isinstance(space, FunctionSpace) else enumerate_architectures(space))


@every_space
def test_codes_stand_for_architectures_one_to_one(space: AnySpace) -> None:
    codebook, architectures = codebook_of(space), all_of(space)
    codes = codebook.encode(architectures)
    assert len(np.unique(codes, axis=0)) == len(architectures)
    assert codebook.decode(codes) == architectures
    assert (codebook.canonical(codes) == codes).all()


def assert_found_as_lowered(space: AnySpace, architectures: Sequence[Architecture]) -> None:
    codebook = codebook_of(space)
    codes, networks = codebook.encode(architectures), [lower(space, architecture) for architecture in architectures]
    for places, network in zip(codebook.places(codes), networks, strict=True):
        assert [codebook.links[place] for place in places if place != EMPTY_SLOT] == list(network.links)
    parts = [operator_costs(*link) for link in codebook.links]
    sums = codebook.total(codes, [(part.params, part.macs) for part in parts])
    peaks = codebook.maximum(codes, [part.activation_bytes for part in parts])
    expected = [costs(network) for network in networks]
    assert sums.tolist() == [[found.params, found.macs] for found in expected]
    assert peaks.tolist() == [found.activation_bytes for found in expected]


@every_space
def test_what_is_looked_up_is_what_lowering_finds(space: AnySpace) -> None:
    assert list(codebook_of(space).links) == list(operators_of(space))
    assert_found_as_lowered(space, all_of(space))


SHARED: dict[str, list[Any]] = {"n": [1, 2], "k": [1, 3], "w": [8, 16]}


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Stages at random: blocks, shared and single options, widths, strides, even kernels, knobs decided per stage."""

    def some(options: list[Any], shared: str) -> Any:
        one = st.sampled_from(options)
        listed = st.lists(one, min_size=1, max_size=2, unique=True).map(lambda some: sorted(some, key=options.index))
        return draw(st.one_of(one, listed, st.just(f"${shared}")))

    stages = []
    for number in range(draw(st.integers(1, 3))):
        blocks = draw(st.lists(st.sampled_from(["thin", "wide"]), unique=True, max_size=2))
        knobs = {} if blocks else {"kernel": some([1, 2, 3], "k"), "activation": some(["relu", "silu"], "a")}
        per = {knob: draw(st.sampled_from(["layer", "stage"])) for knob in knobs}
        width, depth = some([8, 16, 24], "w"), some([1, 2, 3], "n")
        stride = {"stride": draw(st.sampled_from([1, 2]))} if draw(st.booleans()) else {}
        stages.append(
            {
                "name": f"s{number}",
                "op": blocks or "conv",
                "width": width,
                "depth": depth,
                "per": per,
                **stride,
                **knobs,
            }
        )
    shared = {**SHARED, "a": ["relu", "none"]}
    used = {name: options for name, options in shared.items() if f"${name}" in str(stages)}
    blocks_known = {
        "thin": {"op": "mbconv", "kernel": [1, 3], "expand": 2},
        "wide": {"op": "mbconv", "kernel": 5, "expand": [1, 2], "se": [False, True]},
    }
    resolution = draw(st.sampled_from([8, [8, 9], [8, 12, 16]]))
    raw = {"name": "drawn", "input": {"channels": 1, "resolution": resolution}, "classes": 3, "choices": used}
    return parse_space({**raw, "blocks": blocks_known, "stages": [*stages, HEAD]}, where="drawn")


@given(space=spaces(), seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_any_space_is_looked_up_as_it_is_lowered(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    architectures = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(10))]
    assert_found_as_lowered(space, architectures)
    codebook = codebook_of(space)
    assert codebook.decode(codebook.encode(architectures)) == architectures
    drawn = codebook.draw(5, np.random.default_rng(seed))
    assert (codebook.encode(codebook.decode(drawn)) == drawn).all()


@every_space
def test_what_stands_where_no_choice_is_open_does_not_matter(space: AnySpace) -> None:
    codebook, rng = codebook_of(space), np.random.default_rng(0)
    sizes = [len(choice.options) for choice in codebook.choices]
    codes = rng.integers(0, sizes, size=(200, len(sizes)))
    canonical = codebook.canonical(codes)
    assert (codebook.places(codes) == codebook.places(canonical)).all()
    assert codebook.decode(codes) == codebook.decode(canonical)
    assert (codebook.encode(codebook.decode(codes)) == canonical).all()


@every_space
def test_drawing_is_uniform_over_architectures(space: AnySpace) -> None:
    codebook = codebook_of(space)
    drawn = Counter(map(bytes, codebook.draw(40 * space.count, np.random.default_rng(0)).astype(np.uint8)))
    known = {bytes(row) for row in codebook.encode(all_of(space)).astype(np.uint8)}
    assert set(drawn) <= known
    if len(known) > 1:
        assert chisquare([drawn[row] for row in known]).pvalue > 1e-3


def test_drawing_is_exact_beyond_64_bits() -> None:
    """Of 3 + 3^60 architectures, the three of one layer never come up."""
    space = space_of({"name": "s1", "op": "conv", "width": 8, "kernel": [1, 3, 5], "depth": [1, 60]})
    codes = codebook_of(space).draw(300, np.random.default_rng(0))
    columns = {choice.name: codes[:, column] for column, choice in enumerate(space.choices)}
    assert (columns["s1.depth"] == 1).all()
    assert chisquare(np.bincount(columns["s1.60.kernel"], minlength=3)).pvalue > 1e-3


def test_architectures_that_do_not_fit_are_refused_as_by_lowering() -> None:
    space = SMALL["per layer"]
    codebook, good = codebook_of(space), space.largest()
    picks = dict(good.picks)
    unknown = {**picks, "s1.1.kernel": 9}
    lacking = {name: value for name, value in picks.items() if name != "s1.1.kernel"}
    inactive = {**picks, "s1.depth": 1}
    for wrong in (unknown, lacking, inactive):
        architecture = Architecture(space.name, tuple(sorted(wrong.items())))
        with pytest.raises(SpaceError) as lowered:
            lower(space, architecture)
        with pytest.raises(SpaceError) as encoded:
            codebook.encode([good, architecture])
        assert str(encoded.value) == str(lowered.value)
    with pytest.raises(SpaceError, match="of space `other`"):
        codebook.encode([Architecture("other", good.picks)])


def test_codes_and_values_that_do_not_fit_are_refused() -> None:
    codebook = codebook_of(SMALL["per layer"])
    codes = codebook.draw(3, np.random.default_rng(0))
    for wrong in (codes[:, 1:], codes[0], codes.astype(float), codes.astype(int) - 1, codes + 2):
        with pytest.raises(SpaceError, match="codes of shape"):
            codebook.places(wrong)
    with pytest.raises(SpaceError, match="1 values are given for"):
        codebook.total(codes, [1.0])
    assert codebook.total(codes[:0], np.ones((len(codebook.links), 2))).shape == (0, 2)


def test_a_function_beyond_walking_makes_known_what_it_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    def long(choose: Choose) -> Any:
        kernels = [choose(f"k{i}", [1, 3]) for i in range(12)]
        head = {"head": Classifier(1, 2, features=8 if sum(kernels) == 12 else 4)}  # one in 4,096 networks
        return (1, 4, 4), {**{f"c{i}": Conv(1, 1, kernel) for i, kernel in enumerate(kernels)}, **head}

    monkeypatch.setattr("hwnas.space.function.COUNTABLE", 100)
    monkeypatch.setattr("hwnas.population.functions.operators_of", lambda space: {})
    space = FunctionSpace("long", long)
    codebook = codebook_of(space)
    codes = codebook.encode([space.smallest(), space.largest()])
    with pytest.raises(SpaceError, match="0 values are given for 4 links"):
        codebook.total(codes, [])
    expected = [costs(lower(space, architecture)).params for architecture in codebook.decode(codes)]
    assert codebook.total(codes, [operator_costs(*link).params for link in codebook.links]).tolist() == expected


def table_for(space: AnySpace, checks: int) -> LatencyTable:
    """Uneven rows, and checks that take a little less than their sum."""
    rng, draw = np.random.default_rng(0), random.Random(0)

    def timed(ms: float) -> Measurement:
        return Measurement(tuple(ms * 1e6 * rng.uniform(1, 1.1, size=9)))

    table = LatencyTable(Path("table.jsonl"), Setup("my board", "fake", "1"), overhead=timed(0.002))
    ms = {link: rng.uniform(0.01, 0.1) for link in operators_of(space)}
    table.rows = {row_key(*link): timed(0.002 + cost) for link, cost in ms.items()}
    for architecture in draw.choices(all_of(space), k=checks):
        links = list(lower(space, architecture).links)
        table.checks[tuple(row_key(*link) for link in links)] = timed(0.9 * sum(ms[link] for link in links))
    return table


@pytest.mark.parametrize("checks", [0, 12])
@every_space
def test_a_population_is_predicted_as_its_networks_are(space: AnySpace, checks: int) -> None:
    model, codebook, architectures = LatencyModel.of(table_for(space, checks)), codebook_of(space), all_of(space)
    codes = codebook.encode(architectures)
    one_by_one = [model.predict(lower(space, architecture)) for architecture in architectures]
    found = predict_many(model, codebook, codes)
    assert predict_many_ms(model, codebook, codes) == pytest.approx([one.ms for one in one_by_one], rel=1e-9)
    assert found.ms == pytest.approx([one.ms for one in one_by_one], rel=1e-9)
    assert found.low_ms == pytest.approx([one.low_ms for one in one_by_one], rel=1e-6)
    assert found.high_ms == pytest.approx([one.high_ms for one in one_by_one], rel=1e-6)
    assert found.estimated_rows.tolist() == [one.estimated_rows for one in one_by_one]
    upper = [model.upper_ms(lower(space, architecture), 0.8) for architecture in architectures]
    assert upper_many_ms(model, codebook, codes, 0.8) == pytest.approx(upper, rel=1e-6)


def test_a_missing_row_matters_to_networks_that_hold_it_only() -> None:
    space = SMALL["per layer"]
    codebook, table = codebook_of(space), table_for(space, 0)
    links = list(lower(space, space.largest()).links)
    del table.rows[row_key(*links[0])]
    model = LatencyModel.of(table, bench="hwnas bench small")
    without = [one for one in all_of(space) if links[0] not in list(lower(space, one).links)]
    expected = [model.predict_ms(lower(space, architecture)) for architecture in without]
    assert predict_many_ms(model, codebook, codebook.encode(without)) == pytest.approx(expected, rel=1e-9)
    assert len(predict_many(model, codebook, codebook.encode(without)).ms) == len(without)
    with pytest.raises(TableError, match="no row"):
        predict_many_ms(model, codebook, codebook.encode([space.largest()]))


@pytest.mark.parametrize("space", SMALL.values(), ids=SMALL)
def test_costs_of_a_population_are_those_of_its_networks(space: Space) -> None:
    codebook = codebook_of(space)
    architectures = list(enumerate_architectures(space))
    found = population_costs(codebook, codebook.encode(architectures))
    for index, architecture in enumerate(architectures):
        alone = costs(lower(space, architecture))
        held = found.params[index], found.macs[index], found.activation_bytes[index]
        assert held == (alone.params, alone.macs, alone.activation_bytes)


@every_space
def test_every_code_of_a_space_is_there_once(space: AnySpace) -> None:
    codebook = codebook_of(space)
    found = codebook.decode(codebook.every())
    assert len(found) == space.count
    assert set(found) == set(all_of(space))


@pytest.mark.slow
def test_parameters_and_macs_of_all_cells_are_counted_from_few_that_are_run(repository: Path) -> None:
    """NAS-Bench-201 has some 16,000 cells at three widths; five operations at three widths are enough."""
    from hwnas.ops import costs as counting

    space = read_space(repository / "search_spaces" / "nas_bench_201.yaml")
    codebook = codebook_of(space)
    codes = codebook.every()
    before = counting.operator_costs.cache_info().misses
    sums = population_sums(codebook, codes)
    assert counting.operator_costs.cache_info().misses - before < 40
    for place in np.random.default_rng(0).choice(len(codes), 20, replace=False).tolist():
        (architecture,) = codebook.decode(codes[[place]])
        found = costs(lower(space, architecture))
        assert sums[place].tolist() == [found.params, found.macs]
