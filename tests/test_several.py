"""Networks of several inputs or outputs, of whole numbers, and of signals of an elastic length."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from hwnas.cost_ranges import extent_of
from hwnas.data import Dataset, load_data
from hwnas.errors import ConfigError, DataError, SpaceError
from hwnas.export import format_named
from hwnas.export.bundle import Criterion, compare, outputs_of
from hwnas.export.tensors import ends_of
from hwnas.io.fields import FieldError
from hwnas.latency.rows import shape_of_row
from hwnas.measure.table import check_key, check_line, row_key, row_line
from hwnas.measure.table_lines import subject_of
from hwnas.network import bound_task, build, costs, lower, operators_of
from hwnas.ops.several import NamedOutputs
from hwnas.population import codebook_of
from hwnas.runtimes import open_runtime
from hwnas.space import Space, parse_space
from hwnas.space_checks import check_space
from hwnas.supernet import Recipe, Supernet, calibration_inputs, evaluate, extract_recalibrated, train
from hwnas.supernet.slicing.channel_groups import elastic_groups
from hwnas.tasks import Batch
from hwnas.tasks.ends import TensorSpec, call, examples, shape_text

HELPERS = Path(__file__).parent / "helpers"
TWO: dict[str, Any] = {
    "name": "two", "task": "two_ends.py:LabelAndSize", "outputs": 4, "plugins": ["two_ends.py"],
    "input": {"signal": {"shape": [2, [16, 24]]}, "facts": {"shape": [3]}},
    "stages": [
        {"name": "join", "op": "join", "width": [4, 8], "kernel": [3, 5]},
        {"name": "head", "op": "twoheads"},
    ],
}  # fmt: skip
TOKENS: dict[str, Any] = {
    "name": "tokens", "classes": 3, "plugins": ["two_ends.py"],
    "input": {"shape": [12], "dtype": "int64", "below": 20},
    "stages": [{"name": "stem", "op": "embed", "width": [4, 8]}, {"name": "head", "op": "classifier"}],
}  # fmt: skip
SIGNALS: dict[str, Any] = {
    "name": "signals", "classes": 3, "input": {"shape": [2, [20, 32, 40]]},
    "stages": [
        {"name": "stem", "op": "conv1d", "width": [4, 8], "kernel": [3, 5], "stride": 2},
        {"name": "head", "op": "classifier"},
    ],
}  # fmt: skip
RAW = {"two": TWO, "tokens": TOKENS, "signals": SIGNALS}


def space_named(name: str, **changes: Any) -> Space:
    return parse_space({**RAW[name], **changes}, where="space.yaml", base=HELPERS)


def inputs_of(space: Space, count: int = 6) -> Any:
    """Random inputs of the space's largest network."""
    drawn = lower(space, space.largest()).task.random_inputs(np.random.default_rng(0), count)
    tensors = tuple(map(torch.from_numpy, drawn))
    return tensors if len(tensors) > 1 else tensors[0]


@pytest.fixture(params=RAW)
def space(request: pytest.FixtureRequest) -> Space:
    return space_named(request.param)


# --- spaces ---


def test_sizes_of_named_inputs_are_choices_of_their_own() -> None:
    space = space_named("two")
    assert [choice.name for choice in space.choices] == ["signal.axis_2", "join.width", "join.1.kernel"]
    network = lower(space, space.smallest())
    assert network.input_shape == (TensorSpec("signal", (2, 16)), TensorSpec("facts", (3,)))
    assert network.operators[0].in_channels == (2, 3)
    assert [spec.name for spec in network.task.outputs] == ["label", "size"]
    assert shape_text(network.input_shape) == "signal 2x16 + facts 3"


def test_inputs_may_share_a_length() -> None:
    shared = {"left": {"shape": [1, "$length"]}, "right": {"shape": ["$length"]}}
    space = space_named("two", input=shared, choices={"length": [16, 24]})
    shapes = {
        tuple(spec.shape[-1] for spec in lower(space, space.random(random.Random(n))).input_shape) for n in range(9)
    }
    assert shapes == {(16, 16), (24, 24)}


def test_every_space_is_checked_counted_and_placed(space: Space) -> None:
    check_space(space)
    walked = {space.random(random.Random(seed)) for seed in range(300)}
    assert len(walked) == space.count
    networks = [lower(space, one) for one in walked]
    assert set(operators_of(space)) == {link for network in networks for link in network.links}
    book = codebook_of(space)
    chains = [[book.links[place] for place in row if place >= 0] for row in book.places(book.encode(list(walked)))]
    assert chains == [list(network.links) for network in networks]
    params = [costs(network).params for network in networks]
    assert (extent_of(space).params.least, extent_of(space).params.most) == (min(params), max(params))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"input": {"signal": {"shape": [2, 16]}, "facts": {}}}, "the input `facts` has no `shape`"),
        ({"input": {"signal": {"shape": [2, 16], "dtyp": 1}, "facts": {"shape": [3]}}}, "unknown key `dtyp`"),
        ({"input": {"signal": {"shape": [2, 16], "dtype": "float"}}}, "`dtype` is 'float'"),
        ({"input": {"signal": {"shape": [2, 16], "below": 3}}}, "`below` is set for float32"),
        ({"input": {"head": {"shape": [2, 16]}, "facts": {"shape": [3]}}}, "an input and a stage are named `head`"),
        ({"input": {"Signal": {"shape": [2]}}}, "`Signal` is no name"),
    ],
)
def test_a_wrong_input_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpaceError, match=problem):
        space_named("two", **changes)


def test_an_operator_of_one_input_does_not_begin_a_network_of_two() -> None:
    space = space_named("signals", input=TWO["input"])
    with pytest.raises(SpaceError, match="`conv1d` takes one input, and the networks have 2"):
        check_space(space)


def test_only_the_last_operator_gives_several_outputs() -> None:
    stages = [TWO["stages"][0], {"name": "middle", "op": "twoheads", "width": 4}, {"name": "head", "op": "regressor"}]
    with pytest.raises(SpaceError, match="`middle_1` gives output_1 4"):
        check_space(space_named("two", stages=stages))


# --- weights and costs ---


def test_a_slice_is_the_extracted_network(space: Space) -> None:
    supernet, inputs = Supernet(space).eval(), inputs_of(space)
    for architecture in {space.largest(), space.smallest(), space.random(random.Random(3))}:
        network = lower(space, architecture)
        expected = call(supernet.extract(network).eval(), network.task.fitted(inputs, network.input_shape))
        torch.testing.assert_close(supernet(inputs, network), expected)


def test_derived_costs_are_the_built_ones(space: Space) -> None:
    network = lower(space, space.largest())
    module = build(network).eval()
    assert costs(network).params == sum(parameter.numel() for parameter in module.parameters())
    outputs = module(*examples(network.input_shape, 2))
    given = [tuple(out.shape[1:]) for out in (outputs if isinstance(outputs, tuple) else (outputs,))]
    assert given == [spec.shape for spec in network.task.outputs]
    network.task.check_network(network.costs[-1].output_shape, where="test")


def test_channels_are_sorted_where_several_tensors_meet() -> None:
    groups = elastic_groups(space_named("two"))
    assert {group.size for group in groups} == {8}
    assert len({place.parameter for place in groups[0].places}) >= 3


# --- tables ---


def test_a_row_names_its_inputs_by_shape_and_number(space: Space) -> None:
    network = lower(space, space.largest())
    for operator, shape in network.links:
        line = json.loads(json.dumps(row_line(operator, shape)))
        key = row_key(operator, shape)
        assert subject_of(line).key == key
        assert row_key(operator, shape_of_row(key[2])) == key
    assert subject_of(json.loads(json.dumps(check_line(network)))).key == check_key(network)


def test_rows_of_unlike_numbers_are_unlike() -> None:
    (operator, shape), *_ = lower(space_named("tokens"), space_named("tokens").largest()).links
    assert len({row_key(operator, one) for one in (shape, (12,), (TensorSpec("input", (12,), "int32"),))}) == 3
    with pytest.raises(FieldError, match="holds a tensor without `dtype`"):
        subject_of({"op": "embed", "knobs": {}, "input": [{"shape": [3]}]})


# --- files ---

RUNTIMES_TRIED = {"onnx": "onnxruntime", "tflite": "tflite", "pt2": "pytorch"}


@pytest.mark.parametrize("format_name", RUNTIMES_TRIED)
def test_a_file_gives_what_pytorch_gives(space: Space, format_name: str, tmp_path: Path) -> None:
    network, file_format = lower(space, space.largest()), format_named(format_name)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = build(network).eval()
    inputs = tree_map(torch.Tensor.numpy, inputs_of(space, 5))
    names = [spec.name for spec in network.task.outputs]
    written = module if len(names) == 1 else NamedOutputs(module, names)
    path = file_format.exporter(written, network.input_shape, tmp_path / f"a{file_format.suffix}", batch=2)
    expected = outputs_of(module, inputs)
    loaded = open_runtime(RUNTIMES_TRIED[format_name], batch=2).load(path)
    loaded.invoke()
    got = loaded.run(inputs)
    tree_map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-5), got, expected)
    ends = ends_of(path, file_format, 2, network.input_shape)
    assert (len(ends.inputs), len(ends.outputs)) == (len(network.task.inputs), len(network.task.outputs))
    narrow = {"int64": "int32"} if format_name == "tflite" else {}  # its converter's choice
    dtypes = [narrow.get(spec.dtype, spec.dtype) for spec in network.task.inputs]
    assert [tensor["dtype"] for tensor in ends.inputs] == dtypes
    if format_name == "onnx" and len(names) > 1:
        assert [tensor["name"] for tensor in ends.inputs] == ["signal", "facts"]
        assert [tensor["name"] for tensor in ends.outputs] == ["label", "size"]


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_int8_of_several_inputs_is_refused_with_the_reason(format_name: str, tmp_path: Path) -> None:
    space, file_format = space_named("two"), format_named(format_name)
    network = lower(space, space.smallest())
    with pytest.raises(ConfigError, match="int8 files of networks that take signal 2x16") as error:
        file_format.exporter(build(network), network.input_shape, tmp_path / "a", precision="int8")
    assert "calibrated on one float32 input" in error.value.allowed


def test_the_head_and_the_tail_of_a_chain_are_the_chain(space: Space) -> None:
    network = lower(space, space.largest())
    module, inputs = build(network).eval(), inputs_of(space)
    head, *tail = module
    passed = call(head, inputs)
    for child in tail:
        passed = call(child, passed)
    torch.testing.assert_close(passed, call(module, inputs))
    assert [tuple(shape) for shape in network.shapes[1:]] == [tuple(call(head, inputs).shape[1:])]


# --- data and training ---


def data_of(space: Space, function: str) -> Dataset:
    return load_data(f"tests.helpers.two_ends:{function}", seed=0, task=bound_task(space))


@pytest.mark.parametrize(("name", "function"), [("two", "load_two"), ("tokens", "load_tokens")])
def test_a_supernet_learns_and_its_files_agree(name: str, function: str, tmp_path: Path) -> None:
    space = space_named(name)
    data, network = data_of(space, function), lower(space, space.largest())
    network.task.check_data(data.shape, data.width, where="test")
    supernet, calibration = Supernet(space), calibration_inputs(data, count=2, batch_size=30, seed=0)

    def quality() -> float:
        module = extract_recalibrated(supernet, network, calibration)
        return network.task.values(evaluate(module, network, data.validation))[network.task.quality.name].value

    before = quality()
    train(supernet, space, data, Recipe(epochs=4, batch_size=30, learning_rate=0.1), tmp_path / "train")
    assert quality() > max(0.5, before)
    module = extract_recalibrated(supernet, network, calibration)
    inputs = tree_map(torch.Tensor.numpy, network.task.fitted(data.test.every(), network.input_shape))
    path = format_named("onnx").exporter(module, network.input_shape, tmp_path / "a.onnx")
    batch, loaded = Batch(inputs, data.test.targets.numpy()), open_runtime("onnxruntime").load(path)
    parity = compare(
        outputs_of(module, inputs), loaded, batch, path=path, criterion=Criterion(1e-4, 1.0), task=network.task
    )
    assert parity.agreement == 1


def test_each_input_is_normalised_and_described_by_itself() -> None:
    space = space_named("two")
    data = data_of(space, "load_two")
    signal, facts = data.train.every()
    assert signal.mean((0, 2)).abs().max() < 1e-5
    assert facts.std(0, correction=0) == pytest.approx(torch.ones(3), abs=1e-4)
    described = data.preprocessing_at(lower(space, space.smallest()).input_shape)["inputs"]
    assert list(described) == ["signal", "facts"]
    assert described["signal"]["steps"][-1]["size"] == [16]


def test_whole_numbers_are_left_as_they_are() -> None:
    every = data_of(space_named("tokens"), "load_tokens").train.every()
    assert (every.dtype, int(every.max())) == (torch.int64, 17)


@pytest.mark.parametrize(
    ("function", "problem"),
    [("load_misnamed", "the inputs are named signal, fact"), ("load_short", "the inputs hold 200 and 300 samples")],
)
def test_data_of_other_inputs_are_refused(function: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        data_of(space_named("two"), function)


def test_data_of_one_input_do_not_fit_networks_of_two() -> None:
    network = lower(space_named("two"), space_named("two").largest())
    with pytest.raises(ConfigError, match=r"inputs of shape 2x24 .* expects signal 2x24 \+ facts 3"):
        network.task.check_data((2, 24), 4, where="test")
