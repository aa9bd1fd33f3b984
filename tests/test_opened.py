"""Trained networks of the user's, opened: the largest network is the given one, smaller ones are slices of it."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from hwnas import lower, pipeline
from hwnas.errors import ConfigError, HwnasError, SpaceError
from hwnas.network import build, operators_by_slot, operators_of
from hwnas.opened.weights import load_weights
from hwnas.space import FunctionSpace
from hwnas.supernet import Supernet
from hwnas.workspace.folder import locked
from tests.helpers.experiments import EXPERIMENT
from tests.helpers.opened_nets import module_of

FEW = {"stages.1.blocks.1.conv1.width": [16, 32], "stages_1_blocks_1.depth": [0, 1]}


def opened(net: Path, function: str = "model", weights: Path | None = None) -> FunctionSpace:
    raw = {"network": f"{net}:{function}", **({"weights": str(weights)} if weights else {})}
    space, _ = pipeline.open_space(raw)
    assert isinstance(space, FunctionSpace)
    return space


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def test_the_largest_network_is_the_given_one(net: Path, weights: Path) -> None:
    given = module_of(net)
    load_weights(given, weights)
    space = opened(net, weights=weights)
    largest = lower(space, space.largest())
    expected = given.eval()(images())
    for module in (Supernet(space).eval().extract(largest), build(largest)):
        assert (module.eval()(images()) - expected).abs().max() <= 1e-5
    assert (Supernet(space).eval()(images(), largest) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("function", ["model", "tokens", "shared", "dense", "denser", "skipping"])
def test_every_network_is_a_slice_of_the_largest(net: Path, function: str) -> None:
    space = opened(net, function)
    supernet, rng = Supernet(space).eval(), random.Random(0)
    for architecture in [space.smallest(), *(space.random(rng) for _ in range(8))]:
        network = lower(space, architecture)
        logits = supernet(images(), network)
        assert torch.allclose(logits, supernet.extract(network).eval()(images()), atol=1e-6)
        assert torch.allclose(logits, build(network).eval()(images()), atol=1e-6)


def test_a_smaller_network_computes_what_the_whole_does_without_the_channels_it_lacks(net: Path, weights: Path) -> None:
    space = opened(net, weights=weights)
    name = "stages.1.blocks.1.conv1.width"
    small = lower(space, space.sample(lambda choice: 8 if choice.name == name else choice.options[-1]))
    whole = build(lower(space, space.largest())).eval()
    reading = whole.get_submodule("stages_1_blocks_1.stages.1.blocks.1.conv2").get_parameter("weight")
    with torch.no_grad():
        reading[:, 8:] = 0
        assert torch.allclose(build(small).eval()(images()), whole(images()), atol=1e-5)


def test_containers_of_ones_own_are_opened_down_to_their_blocks(net: Path) -> None:
    space = opened(net)
    blocks = [f"stages_{stage}_blocks_{block}" for stage in (0, 1) for block in (0, 1)]
    assert lower(space, space.largest()).slots == ("stem-bn", *blocks, "fc")
    assert lower(space, space.smallest()).slots == ("stem-bn", "stages_1_blocks_0", "fc")
    assert {c.name: c.options for c in space.choices} == {
        "stem.width": (8, 16),
        "stages.0.blocks.0.conv1.width": (8, 16),
        "stages.0.blocks.1.conv1.width": (8, 16),
        "stages.1.blocks.0.conv2.width": (16, 24, 32),
        "stages.1.blocks.0.conv1.width": (8, 16, 24, 32),
        "stages.1.blocks.1.conv1.width": (8, 16, 24, 32),
        **{f"{slot}.depth": (0, 1) for slot in (blocks[0], blocks[1], blocks[3])},
    }


def test_channels_that_are_joined_end_to_end_are_cut_where_each_lies(net: Path) -> None:
    for function in ("dense", "denser", "skipping"):
        network = opened(net, function).build.network  # type: ignore[attr-defined]
        assert network.elastic_share == 1
        assert not network.closed
        assert network.max_difference <= 1e-5
    space = opened(net, "dense")
    name = "layers.0.conv2.width"
    small = lower(space, space.sample(lambda choice: 8 if choice.name == name else choice.options[-1]))
    whole, cut = build(lower(space, space.largest())).eval(), build(small).eval()
    kept = [*range(24), *range(32, 48)]  # the stem's 16, 8 of the first layer's 16, those of the second
    ours, theirs = (one.get_parameter(f"{small.slots[-1]}.fc.weight") for one in (cut, whole))
    assert torch.equal(ours, theirs[:, kept])
    assert {c.name for c in opened(net, "denser").choices if c.options == (0.5, 1.0)}  # many that meet: together


def test_attention_is_cut_by_heads(net: Path) -> None:
    space = opened(net, "tokens")
    by_name = {choice.name: choice.options for choice in space.choices}
    assert by_name["patch.width"] == (16, 24, 32)  # along a table of positions too
    assert "layers_0_0.depth" in by_name
    assert by_name["layers.0.0.q.width"] == (8, 16, 24, 32)


def test_the_most_important_channels_come_first(net: Path, weights: Path) -> None:
    space = opened(net, weights=weights)
    whole = build(lower(space, space.largest()))
    reading = (
        whole.get_submodule("stages_0_blocks_0.stages.0.blocks.0.conv2").get_parameter("weight").abs().sum((0, 2, 3))
    )
    assert torch.all(reading[:-1] >= reading[1:] - 1e-4)


def test_all_operators_of_its_networks_are_listed_and_equal_blocks_share_rows(net: Path) -> None:
    space = opened(net)
    listed, rng = operators_by_slot(space), random.Random(0)
    for _ in range(50):
        network = lower(space, space.random(rng))
        assert all(link in listed[slot] for slot, link in zip(network.slots, network.links, strict=True))
    assert listed["stages_0_blocks_0"] == listed["stages_0_blocks_1"]
    assert len(operators_of(space)) == 2 + 4 + 24 + 12 + 3


def test_rows_and_choices_do_not_depend_on_the_process_or_the_weights(net: Path, weights: Path) -> None:
    space, other = opened(net), pickle.loads(pickle.dumps(opened(net, weights=weights)))  # noqa: S301 - our own
    assert [op.describe() for op, _ in operators_of(space)] == [op.describe() for op, _ in operators_of(other)]
    assert space.build.identity != other.build.identity  # type: ignore[attr-defined]


def test_a_written_space_is_the_same_space(net: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    result = pipeline.open_network(f"{net}:model", weights=weights, out=out)
    assert (result.operators, result.elastic_share, result.closed, result.choices) == (6, 1.0, (), 9)
    assert result.max_difference <= 1e-5
    space, _ = pipeline.open_space(out)
    direct = opened(net, weights=weights)
    assert space.choices == direct.choices
    assert space.name == "mine"
    one, other = (build(lower(s, s.largest())).eval()(images()) for s in (space, direct))
    assert torch.equal(one, other)
    raw = yaml.safe_load(out.read_text())
    raw["choices"] = {"stages.1.blocks.0.conv2.width": [16, 32]}
    out.write_text(yaml.safe_dump(raw))
    assert [(c.name, c.options) for c in pipeline.open_space(out)[0].choices] == [
        ("stages.1.blocks.0.conv2.width", (16, 32))
    ]


def test_a_run_searches_an_opened_network_and_exports_one(net: Path, weights: Path, tmp_path: Path) -> None:
    raw = {
        **EXPERIMENT,
        "space": {"network": f"{net}:model", "weights": str(weights), "choices": FEW},
        "train": {"epochs": 1, "batch_size": 64, "learning_rate": 0.01, "warm_up_epochs": 0},
        "search": {"trials": 4, "sampler": "guided"},
    }
    raw["timing"] = {**raw["timing"], "validation_networks": 2}
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(raw))
    outcome = pipeline.run(tmp_path / "mini.yaml", runs=tmp_path / "runs")
    assert outcome is not None
    run = tmp_path / "runs" / "mini"
    manifest = json.loads((run / "bundle" / "cloud" / "manifest.json").read_text())
    assert manifest
    assert max(max(point.scores.values()) for point in pipeline.fronts(run)[0].front) > 0.7
    again = pipeline.open_run(run)  # from the copies in the folder
    assert {choice.name: list(choice.options) for choice in again.space.choices} == FEW


def _saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "bad.pth")
    return folder / "bad.pth"


STATES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "missing": (lambda state: {k: v for k, v in state.items() if k != "fc.bias"}, "1 missing key (fc.bias)"),
    "extra": (lambda state: {**state, "aux.bias": torch.ones(1)}, "1 unknown key (aux.bias)"),
    "classes": (lambda state: {**state, "fc.weight": torch.ones(7, 32)}, "`fc.weight` is 7x32 in the file"),
    "list": (lambda state: list(state.values()), "it holds list"),
    "nested": (lambda state: {"epoch": 3}, "a dictionary with epoch"),
    "module": (lambda state: nn.Linear(2, 2), "other things than tensors"),
    "numbered": (lambda state: dict(enumerate(state.values())), "a dictionary with 0, 1, 2, 3, 4 and"),
    "diverged": (lambda state: {**state, "fc.bias": torch.full((10,), torch.nan)}, "`fc.bias` holds values that are"),
    "another network": (lambda state: nn.Linear(2, 2).state_dict(), "2 unknown keys (weight, bias)"),
}


@pytest.mark.parametrize("kind", STATES)
def test_weights_that_are_not_those_of_the_network_are_named(kind: str, net: Path, tmp_path: Path) -> None:
    change, told = STATES[kind]
    file = _saved(tmp_path, change(dict(module_of(net).state_dict())))
    with pytest.raises(ConfigError) as caught:
        opened(net, weights=file)
    assert told in str(caught.value)
    assert str(file) in caught.value.where


def test_a_file_of_weights_that_is_damaged_or_absent_is_told(net: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 nothing")
    for name, told in (("cut.pth", "damaged"), ("none.pth", "cannot be read")):
        with pytest.raises(HwnasError, match=told):
            opened(net, weights=tmp_path / name)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("branching", "branches on values of data"),
        ("two", "other arguments than one input"),
        ("auxiliary", "returns tuple"),
        ("shapeless", "the input shape is None"),
        ("nothing", "the function returns int"),
        ("absent", "defines no `absent`"),
    ],
)
def test_a_network_that_cannot_be_opened_is_refused(function: str, told: str, net: Path) -> None:
    with pytest.raises(HwnasError) as caught:
        opened(net, function)
    assert told in caught.value.met
    assert all((caught.value.where, caught.value.allowed, caught.value.do))


def test_sizes_written_into_the_code_close_the_group_that_they_are_of(net: Path, tmp_path: Path) -> None:
    result = pipeline.open_network(f"{net}:baked", out=tmp_path / "baked.yaml")
    assert [one["layer"] for one in result.closed] == ["one"]
    assert "does not run" in result.closed[0]["reason"]
    assert "16 is fixed" in result.closed[0]["reason"]
    assert result.elastic_share == 0.6


def test_a_module_that_is_used_twice_is_one_operator_and_opens(net: Path) -> None:
    space = opened(net, "shared")
    assert "stages_0_blocks_0" in lower(space, space.largest()).slots[1]
    assert len(lower(space, space.largest()).slots) == 5


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"stem.widht": [8, 16]}, "is no choice of the network"),
        ({"stem.width": [4, 16]}, "lists 4"),
        ({"stem.width": [16, 8]}, "lists [16, 8]"),
        ({"stages_0_blocks_0.depth": [0]}, "lists [0]"),
        ([], "no mapping"),
    ],
)
def test_choices_of_a_space_file_are_checked(choices: Any, told: str, net: Path) -> None:
    with pytest.raises(SpaceError) as caught:
        pipeline.open_space({"network": f"{net}:model", "choices": choices})
    assert told in caught.value.met


def test_keys_of_a_network_as_a_space_are_checked(net: Path) -> None:
    for raw, told in (
        ({"weights": "x"}, "`network` is missing"),
        ({"network": "net.txt"}, "`network` is"),
        ({"network": "two_inputs.onnx"}, "`network` is 'two_inputs.onnx'"),
        ({"network": f"{net}:model", "input": "3x3"}, "`input` is"),
        ({"network": f"{net}:model", "weight": "x"}, "unknown key `weight`"),
    ):
        with pytest.raises(SpaceError) as caught:
            pipeline.open_space(raw)
        assert told in caught.value.met


def _importance_run(folder: Path, net: Path, weights: Path, **changes: Any) -> Path:
    space = {"network": f"{net}:model", "weights": str(weights), "choices": FEW, **changes}
    (folder / "mini.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "space": space}))
    return folder / "mini.yaml"


@pytest.mark.parametrize("kind", ["activations", "taylor"])
def test_channels_are_sorted_once_by_what_they_do_on_data(kind: str, net: Path, weights: Path, tmp_path: Path) -> None:
    experiment = _importance_run(tmp_path, net, weights, importance=kind)
    run = pipeline.open_run(experiment, runs=tmp_path / "runs")
    source = run.space.build.source  # type: ignore[union-attr]
    given = module_of(net)
    load_weights(given, weights)
    largest = build(run.network(run.space.largest())).eval()
    assert (largest(images()) - given.eval()(images())).abs().max() <= 1e-5
    by_weights = build(lower(s := opened(net, weights=weights), s.largest())).state_dict()
    assert any(not torch.equal(value, by_weights[name]) for name, value in largest.state_dict().items())
    layer = "stages.1.blocks.1.conv1"
    best = int(source.scores.values[f"axis 0 of {layer}.weight"].argmax())
    ours, theirs = largest.get_parameter(f"stages_1_blocks_1.{layer}.weight"), given.get_parameter(f"{layer}.weight")
    assert torch.equal(ours[0].flatten().sort().values, theirs[best].flatten().sort().values)
    with locked(run):
        pass
    kept = pipeline.open_run(tmp_path / "runs" / "mini").space.build.source  # type: ignore[union-attr]
    assert kept.scores == source.scores
    again = pipeline.open_run(experiment, runs=tmp_path / "runs").space.build.source  # type: ignore[union-attr]
    assert again.scores == source.scores


def test_taylor_is_the_first_order_change_of_the_loss(net: Path) -> None:
    from hwnas.opened.importance import scores_on_data
    from hwnas.tasks import DEFAULT_TASK, Batch

    module, network = module_of(net).eval(), opened(net).build.network  # type: ignore[attr-defined]
    groups = [one.group for one in network.groups.values() if one.name == "stages.0.blocks.0.conv1"]
    batch = Batch(images(1), torch.tensor([3]))
    scores = scores_on_data(module, (1, 8, 8), groups, "taylor", [batch], DEFAULT_TASK)
    gate = torch.ones(16, 1, 1, requires_grad=True)
    module.get_submodule("stages.0.blocks.0.conv2").register_forward_pre_hook(lambda _, args: (args[0] * gate,))
    DEFAULT_TASK.loss(module(batch.inputs), batch).backward()  # type: ignore[no-untyped-call]
    assert gate.grad is not None
    expected = gate.grad.flatten().double().square()
    assert torch.allclose(torch.as_tensor(scores.values[groups[0].name]), expected, rtol=1e-4)


def test_a_file_without_code_is_no_network(tmp_path: Path) -> None:
    for name in ("two_inputs.onnx", "net.tflite", "whole_module.pt"):
        with pytest.raises(SpaceError) as caught:
            pipeline.open_network(name, out=tmp_path / "x.yaml")
        assert "file without code" in caught.value.do
        assert "FILE.py:FUNCTION" in caught.value.allowed


def test_an_importance_that_looks_at_data_wants_some(net: Path, weights: Path, tmp_path: Path) -> None:
    experiment = _importance_run(tmp_path, net, weights, importance="taylor")
    raw = {**yaml.safe_load(experiment.read_text()), "data": None, "accuracy": {"source": "synflow"}}
    experiment.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match="looks at data"):
        pipeline.open_run(experiment, runs=tmp_path / "runs")
    with pytest.raises(SpaceError, match="`importance` is 'taylr'"):
        pipeline.open_space({"network": f"{net}:model", "importance": "taylr"})
    raw = {**yaml.safe_load(experiment.read_text()), "data": {"name": "digits", "limit": 1}, "accuracy": {}}
    experiment.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match="looks at training samples, and there are 1"):
        pipeline.open_run(experiment, runs=tmp_path / "runs")
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(SpaceError, match="cannot be read"):
        pipeline.open_space({"network": f"{net}:model", "importance": str(tmp_path / "bad.npz")})
