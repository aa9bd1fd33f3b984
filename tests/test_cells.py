"""NAS-Bench-201: exact, without dead parts, and equal networks as equal architectures."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from functools import cache
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn

from hwnas.cell import EDGES, KNOBS, OPERATIONS, Cell, form, live, representative
from hwnas.errors import SpaceError
from hwnas.network import costs, lower
from hwnas.notation import read_architecture, write_architecture
from hwnas.notation.nas_bench_201 import as_written
from hwnas.ops import cell as operator
from hwnas.ops import layers
from hwnas.ops.costs import operator_costs
from hwnas.pipeline import cost
from hwnas.population import Codebook, codebook_of
from hwnas.space import Architecture, Space, read_space
from hwnas.space_checks import check_space
from hwnas.supernet import Supernet
from tests.helpers.modules import trained_looking
from tests.helpers.repository import REPOSITORY

FILE = REPOSITORY / "search_spaces" / "nas_bench_201.yaml"
CELLS: list[Cell] = list(product(OPERATIONS, repeat=len(EDGES)))
STRING = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
NETWORKS = 5425


@pytest.fixture(scope="module")
def space() -> Space:
    return read_space(FILE)


@pytest.fixture(scope="module")
def codebook(space: Space) -> Codebook:
    return codebook_of(space)


def string_of(cell: Cell) -> str:
    one, two, three, four, five, six = cell
    return f"|{one}~0|+|{two}~0|{three}~1|+|{four}~0|{five}~1|{six}~2|"


# --- which cells are equal ---


def paper_form(cell: Cell) -> str:
    """The expression by which NAS-Bench-201 tells cells apart: no sharing, and `#` where nothing comes."""
    nodes = ["0"]
    for node in (1, 2, 3):
        terms = []
        for (entered, source), operation in zip(EDGES, cell, strict=True):
            if entered == node:
                zero = operation == "none" or nodes[source] == "#"
                carried = nodes[source] if operation == "skip_connect" else f"({nodes[source]})@{operation}"
                terms.append("#" if zero else carried)
        nodes.append("+".join(sorted(terms)))
    return nodes[3]


def test_the_strings_make_so_many_networks_by_each_definition() -> None:
    """Live labelled graphs; the paper's expressions; the same operations on the same sums."""
    assert len(set(CELLS)) == 15_625
    assert len(set(map(live, CELLS))) == 9_445
    assert len(set(map(paper_form, CELLS))) == 6_466
    assert len(set(map(form, CELLS))) == len(set(map(representative, CELLS))) == NETWORKS
    assert sum(not form(cell) for cell in CELLS) == 341


def test_so_many_strings_have_an_edge_that_nothing_reaches_on_the_way_to_the_output() -> None:
    found = Counter[bool]()
    for cell in CELLS:
        useful = {3}
        for (node, source), operation in reversed(list(zip(EDGES, cell, strict=True))):
            useful |= {source} if operation != "none" and node in useful else set()
        unreached = [
            operation
            for (node, _), operation, kept in zip(EDGES, cell, live(cell), strict=True)
            if node in useful and operation != kept
        ]
        if unreached:
            found[any(operation.startswith("nor_conv") for operation in unreached)] += 1
    assert found == {True: 2_140, False: 3_320 - 2_140}


def test_the_papers_expressions_join_networks_of_unlike_size() -> None:
    sizes = defaultdict(set)
    for cell in CELLS:
        sizes[paper_form(cell)].add(tuple(sorted(op for op in live(cell) if op.startswith("nor_conv"))))
    assert sum(len(found) > 1 for found in sizes.values()) == 430


def dataflow(cell: Cell) -> tuple[Any, ...]:
    """Operations, each on a sum of others, up to the numbering of the operations: by trying all numberings."""
    sums: dict[int, list[Any]] = {0: ["input"], 1: [], 2: [], 3: []}
    reads: dict[Any, tuple[str, list[Any]]] = {}
    for edge, operation in zip(EDGES, live(cell), strict=True):
        node, source = edge
        if operation == "skip_connect":
            sums[node] += sums[source]
        elif operation != "none":
            reads[edge] = operation, sums[source]
            sums[node] = [*sums[node], edge]
    found = []
    for numbers in permutations(range(len(reads))):
        number = dict(zip(reads, numbers, strict=True)) | {"input": -1}
        table = sorted((number[e], op, sorted(number[t] for t in terms)) for e, (op, terms) in reads.items())
        found.append((sorted(number[term] for term in sums[3]), table))
    return tuple(map(str, min(found)))


def test_forms_are_equal_where_operations_and_sums_can_be_matched() -> None:
    few = [cell for cell in CELLS if sum(op not in ("none", "skip_connect") for op in live(cell)) <= 4]
    drawn = random.Random(0).sample(few, 250)
    joined = {form(cell) for cell in drawn[:30]}
    drawn += [cell for cell in few if form(cell) in joined][:250]
    forms, graphs = [form(cell) for cell in drawn], [dataflow(cell) for cell in drawn]
    assert len(set(zip(forms, graphs, strict=True))) == len(set(forms)) == len(set(graphs)) < len(drawn)


@cache
def classes() -> dict[Cell, list[Cell]]:
    found: dict[Cell, list[Cell]] = {}
    for cell in CELLS:
        found.setdefault(representative(cell), []).append(cell)
    return found


def test_what_stands_for_a_network_is_itself_and_has_the_fewest_edges() -> None:
    for one, equal in classes().items():
        assert representative(one) == one == live(one)
        assert one.count("none") == max(live(cell).count("none") for cell in equal)


def built(cell: Cell, channels: int = 4) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return trained_looking(operator.Cell(channels, channels, *cell).module()).double().eval()


def outputs(cell: Cell, weights: tuple[nn.Module, ...], x: Tensor) -> list[Tensor]:
    """What a cell computes with these convolutions, for each way of handing them to its edges."""
    module, found = built(cell), []
    edges = {name: op for name, op in zip(KNOBS, live(cell), strict=True) if op.startswith("nor_conv")}
    for order in permutations(weights):
        if [one.label for one in order] == list(edges.values()):
            for (name, op), one in zip(edges.items(), order, strict=True):
                module.get_submodule(f"{name}.{op}").load_state_dict(one.state_dict())
            with torch.no_grad():
                found.append(module(x))
    return found


def convolutions(cell: Cell) -> tuple[nn.Module, ...]:
    found = []
    for number, op in enumerate(op for op in live(cell) if op.startswith("nor_conv")):
        torch.manual_seed(number)
        made: Any = trained_looking(layers._EDGE_MODULES[op](4)).double().eval()
        made.label = op
        found.append(made)
    return tuple(found)


def same(one: Cell, other: Cell) -> bool:
    """Whether some matching of their convolutions makes both compute the same."""
    torch.manual_seed(0)
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    weights = convolutions(one)
    if Counter(w.label for w in weights) != Counter(w.label for w in convolutions(other)):
        return False
    expected = outputs(one, weights, x)[0]
    return any(torch.allclose(found, expected, rtol=0, atol=1e-12) for found in outputs(other, weights, x))


def small(cell: Cell) -> bool:
    return sum(op.startswith("nor_conv") for op in live(cell)) <= 4


@pytest.fixture
def _seeds() -> Any:
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.usefixtures("_seeds")
def test_equal_cells_compute_the_same_with_the_same_convolutions() -> None:
    rng = random.Random(0)
    several = [equal for equal in classes().values() if len(equal) > 1 and small(equal[0])]
    for equal in rng.sample(several, 40):
        one, other = rng.sample(equal, 2)
        assert same(one, other), (one, other)


@pytest.mark.usefixtures("_seeds")
def test_unequal_cells_of_the_same_operations_compute_something_else() -> None:
    """But where poolings of two tensors are summed, because a pooling of the sum is the same."""
    alike = defaultdict(list)
    for one in filter(small, classes()):
        if "avg_pool_3x3" not in one:
            alike[tuple(sorted(op for op in one if op.startswith("nor_conv")))].append(one)
    rng = random.Random(0)
    for _ in range(40):
        one, other = rng.sample(rng.choice([cells for cells in alike.values() if len(cells) > 1]), 2)
        assert not same(one, other), (one, other)


# --- what is built ---


def test_dead_edges_are_not_built() -> None:
    dead = operator.Cell(8, 8, "none", "nor_conv_1x1", "nor_conv_3x3", "nor_conv_1x1", "nor_conv_3x3", "none")
    alone = operator.Cell(8, 8, "none", "none", "none", "nor_conv_1x1", "none", "none")
    assert list(dead.module().state_dict()) == list(alone.module().state_dict())
    assert operator_costs(dead, (8, 6, 6)) == operator_costs(alone, (8, 6, 6))


def test_a_cell_without_a_path_gives_zeros() -> None:
    module = operator.Cell(4, 4, *["none"] * 5, "nor_conv_3x3").module()
    x = torch.ones(2, 4, 3, 3, requires_grad=True)
    assert torch.equal(module(x), torch.zeros(2, 4, 3, 3))
    assert operator_costs(operator.Cell(4, 4, *["none"] * 6), (4, 3, 3)).params == 0


@pytest.mark.parametrize(
    ("channels", "change", "told"),
    [
        ((4, 4), {"edge_2_1": "conv_3x3"}, "`edge_2_1` is `conv_3x3`.*nor_conv_3x3"),
        ((4, 8), {}, "4 channels enter and 8 leave"),
    ],
    ids=str,
)
def test_a_cell_that_cannot_be_is_refused(channels: tuple[int, int], change: dict[str, str], told: str) -> None:
    knobs = dict.fromkeys(KNOBS, "skip_connect") | change
    with pytest.raises(SpaceError, match=told):
        operator.Cell(*channels, **knobs).module()


# --- the space ---


def test_the_space_holds_each_network_once(space: Space) -> None:
    check_space(space)
    assert space.count == NETWORKS
    drawn = {space.sample(lambda choice, cell=cell: cell[KNOBS.index(choice.name)]).key for cell in CELLS[::7]}
    assert len(drawn) == len({representative(cell) for cell in CELLS[::7]})


def test_networks_are_drawn_alike(space: Space, codebook: Codebook) -> None:
    drawn = Counter(map(bytes, codebook.draw(40 * NETWORKS, np.random.default_rng(0)).astype(np.uint8)))
    assert len(drawn) == NETWORKS
    assert chisquare(list(drawn.values())).pvalue > 1e-3
    rng = random.Random(0)
    assert len({space.random(rng).key for _ in range(60)}) > 55


def test_another_architecture_of_the_same_network_is_refused_by_name(space: Space, codebook: Codebook) -> None:
    picks = dict(zip(KNOBS, ["skip_connect", "none", "none", "none", "nor_conv_3x3", "none"], strict=True))
    architecture = Architecture(space.name, tuple(sorted(picks.items())))
    with pytest.raises(SpaceError, match=r"another architecture stands for this network.*edge_3_0 nor_conv_3x3"):
        lower(space, architecture)
    with pytest.raises(SpaceError, match="another architecture stands for this network"):
        codebook.encode([architecture])
    assert dict(space.sample(lambda choice: picks[choice.name]).picks)["edge_3_0"] == "nor_conv_3x3"


@pytest.fixture(scope="module")
def supernet(space: Space) -> Supernet:
    return Supernet(space).eval()


def test_a_supernet_holds_every_weight_of_every_network(space: Space, supernet: Supernet) -> None:
    """Though it builds few of the operators."""
    weights = dict(supernet.named_parameters())
    for picks in space.distinct:
        for edge, operation in picks.items():
            if str(operation).startswith("nor_conv"):
                size = int(str(operation)[-1])
                assert weights[f"s3_5/cell/{edge}/{operation}/conv/weight"].shape == (64, 64, size, size)


def test_a_supernet_keeps_so_many_templates_at_most(
    space: Space, supernet: Supernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.supernet.weights.TEMPLATES", 30)
    rng, images = random.Random(0), torch.ones(1, 3, 32, 32)
    networks = [lower(space, space.random(rng)) for _ in range(4)]
    with torch.no_grad():
        first = [supernet(images, network) for network in networks]
        assert all(
            torch.equal(supernet(images, network), logits) for network, logits in zip(networks, first, strict=True)
        )
    assert len(supernet._templates) <= 30


# --- as published ---


def test_costs_as_written_equal_the_published_ones_of_all_strings(space: Space, shared_data: Path) -> None:
    published = np.load(shared_data / "accuracy" / "nasbench201_cifar10.npz")
    links = list(lower(space, space.smallest()).links)
    counted = [as_written(str(written), links) for written in published["arch"]]
    for name in ("params", "flops"):
        millions = np.array([found[name] for found in counted]) / 1e6
        assert (millions.astype(np.float32) == published[f"{name}_cifar10"]).all()


def test_where_nothing_is_dead_what_is_built_is_what_is_published(space: Space) -> None:
    rng = random.Random(0)
    for cell in rng.sample([cell for cell in CELLS if live(cell) == cell], 20):
        network = lower(space, read_architecture(space, string_of(cell), where="test"))
        found, written = costs(network), as_written(string_of(cell), network.links)
        assert (found.params, found.macs) == (written["params"], written["macs"])


def test_cost_tells_both(tmp_path: Path) -> None:
    dead = "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
    found = cost(FILE, dead)
    assert found["notation"] == dead.replace("nor_conv_3x3", "none")
    assert found["as_written"]["params"] - found["params"] == 5 * (9 * (16**2 + 32**2 + 64**2) + 2 * (16 + 32 + 64))
    (tmp_path / "arch.json").write_text(f'"{dead}"')
    assert cost(FILE, str(tmp_path / "arch.json")) == found
    assert "as_written" not in cost("digits")


# --- strings ---


def test_every_string_is_read_and_what_is_written_is_read_back(space: Space) -> None:
    for cell in CELLS[::5]:
        architecture = read_architecture(space, string_of(cell), where="test")
        assert write_architecture(space, architecture) == string_of(representative(cell))
    assert read_architecture(space, f" {STRING} ", where="test") == read_architecture(space, STRING, where="test")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (STRING.replace("nor_conv_1x1", "nor_conv_5x5"), "unknown operation `nor_conv_5x5` on the edge from node 1"),
        (STRING.replace("|none~0|nor", "|none~1|nor"), "`none~1` stands where node 2 has its edge from node 0"),
        (STRING.replace("none~2", "none"), "`none` stands where node 3 has its edge from node 2"),
        (STRING.replace("|none~1|none~2|", "|none~1|"), "of node 3 does not hold 3 edges between bars"),
        (STRING[:-1], "of node 3 does not hold 3 edges between bars"),
        (STRING.partition("+")[0], "the string has 1 of 3 groups"),
        ({"picks": 1}, "a dict is no string"),
    ],
    ids=str,
)  # fmt: skip
def test_a_string_that_does_not_fit_is_refused_by_name(space: Space, raw: Any, told: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read_architecture(space, raw, where="--architecture")
    assert told in str(caught.value)
    assert "--architecture" in str(caught.value)
