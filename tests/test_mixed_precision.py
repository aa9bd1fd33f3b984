"""Mixed precision: the programme is exact, files hold the kernels that were asked for, and no wish is dropped."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from hwnas import pipeline
from hwnas.config import parse_experiment
from hwnas.errors import ConfigError, ExportError
from hwnas.export.mixed.kernels import Mixed
from hwnas.export.mixed.onnx import onnx_kernels
from hwnas.export.mixed.tflite import tflite_kernels
from hwnas.export.onnx import export_mixed_onnx
from hwnas.export.tflite import export_mixed_tflite
from hwnas.io.resources import find_file
from hwnas.latency.model import LatencyModel
from hwnas.measure.table import read_table
from hwnas.measure.timing import Timing
from hwnas.mixed_precision.boundaries import BOUNDARY_KIND, boundary_links
from hwnas.mixed_precision.latency import MixedLatency, mixed_latency
from hwnas.mixed_precision.programme import Chain, fastest_within, pareto_assignments
from hwnas.mixed_precision.sensitivity import MixedNetwork, sensitivities
from hwnas.network import Network, build, known_operators, lower
from hwnas.problem.cost_models import load_cost_models
from hwnas.problem.fronts import remeasure
from hwnas.problem.precision import mixed as problem
from hwnas.problem.precision import mixed_files
from hwnas.runtimes import open_runtime
from hwnas.search.fronts import FrontPoint
from hwnas.search.precision.assignment import int8_of, is_mixed
from hwnas.space import read_space
from hwnas.workspace.measuring.setups import exporters_of
from hwnas.workspace.progress import Reporter
from hwnas.workspace.workspace import Workspace, open_run
from tests.helpers.experiments import EXPERIMENT, FEW, written
from tests.helpers.modules import trained_looking

MIXED = {"cloud": {"setup": "cpu", "precision": "mixed"}}
SEARCH = {"trials": 8, "sampler": "guided", "population": 4}
FILES = {"formats": ["onnx"], "picks": ["best", "fastest"]}


def _random_chain(rng: np.random.Generator, *, whole: bool) -> Chain:
    count = int(rng.integers(1, 13))

    def drawn(*shape: int) -> np.ndarray:
        return rng.integers(0, 6, shape).astype(float) if whole else rng.uniform(0, 1, shape)

    losses = drawn(count, 2)
    losses[:, 0] = 0.0
    boundaries = drawn(count + 1, 2, 2) / 4
    boundaries[:, [0, 1], [0, 1]] = 0.0
    return Chain(drawn(count, 2), losses, boundaries, constant_ms=0.25)


def _by_force(chain: Chain) -> list[tuple[float, float]]:
    priced = sorted({chain.price(one) for one in product((0, 1), repeat=len(chain.ms))})
    front, least = [], np.inf
    for ms, loss in priced:
        if loss < least:
            front.append((ms, loss))
            least = loss
    return front


@pytest.mark.parametrize("part", range(4))
def test_the_programme_is_brute_force(part: int) -> None:
    """On 200 random chains, half of them full of ties, and under any limit of loss."""
    rng = np.random.default_rng(part)
    for number in range(50):
        chain = _random_chain(rng, whole=number % 2 == 0)
        front, expected = pareto_assignments(chain), _by_force(chain)
        np.testing.assert_allclose([(one.ms, one.loss) for one in front], expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            [chain.price(one.precisions) for one in front], [(one.ms, one.loss) for one in front], rtol=1e-12
        )
        limit = float(rng.uniform(0, chain.losses.sum() + 0.1))
        best = fastest_within(front, limit)
        assert best is not None
        assert best.ms == pytest.approx(min(ms for ms, loss in expected if loss <= limit))
        assert fastest_within(front, -1.0) is None


# --- latency ---


@pytest.fixture(scope="module")
def once_for_all() -> tuple[MixedLatency, list[Network]]:
    """The model of the shipped tables of a Xeon, and networks."""
    space = read_space(find_file("ofa_mobilenet_v3_224", "search_spaces"))
    tables = [read_table(find_file(f"xeon_onnxruntime_{one}_1t_ofa224", "latency_tables")) for one in ("fp32", "int8")]
    models = [LatencyModel.of(table, operators=known_operators(space)) for table in tables]
    rng = random.Random(0)
    return mixed_latency(*models), [lower(space, space.random(rng)) for _ in range(5)]


def test_networks_of_one_precision_cost_what_they_cost(once_for_all: tuple[MixedLatency, list[Network]]) -> None:
    model, networks = once_for_all
    for network in networks:
        count = len(network.operators)
        assert model.predict_ms(network, [False] * count) == pytest.approx(model.fp32.predict_ms(network))
        assert model.predict_ms(network, [True] * count) == pytest.approx(model.int8.predict_ms(network))


def test_the_fastest_assignment_is_no_slower_than_one_precision(
    once_for_all: tuple[MixedLatency, list[Network]],
) -> None:
    model, networks = once_for_all
    for network in networks:
        best = pareto_assignments(model.chain(network, [0.0] * len(network.operators)))[0]
        assert best.ms <= min(model.fp32.predict_ms(network), model.int8.predict_ms(network)) + 1e-9
        assert best.ms == pytest.approx(model.predict_ms(network, [bool(one) for one in best.precisions]))


def test_conversions_that_were_not_timed_are_told(once_for_all: tuple[MixedLatency, list[Network]]) -> None:
    model, _ = once_for_all
    assert "no conversion was timed" in model.origin
    assert 0 < model.boundaries.ms("int8", (16, 112, 112)) < 1
    assert model.boundaries.ms("fp32", (16, 112, 112)) > model.boundaries.ms("fp32", (16, 56, 56))


@pytest.mark.parametrize("runtime", ["onnxruntime", "tflite"])
def test_a_conversion_is_a_file_that_runs(runtime: str, tmp_path: Path) -> None:
    opened = open_runtime(runtime, threads=1, precision="int8", batch=1)
    export, _ = exporters_of(opened.setup)
    for operator, shape in boundary_links([(3, 8, 8), (10,)]):
        path = export(operator.module(), shape, tmp_path / f"{operator.knobs['to']}{len(shape)}")
        opened.load(path).invoke()


# --- files ---


def random_network(seed: int, space: str = "digits") -> tuple[Network, nn.Module]:
    opened, rng = read_space(find_file(space, "search_spaces")), random.Random(seed)
    network = lower(opened, opened.random(rng))
    torch.manual_seed(seed)
    return network, trained_looking(build(network)).eval()


def images(network: Network, count: int = 16) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, *network.input_shape), dtype=np.float32)


@pytest.mark.parametrize("space", ["digits", "cifar10_mobile"])
def test_exactly_the_operators_asked_for_are_int8(space: str, tmp_path: Path) -> None:
    network, module = random_network(1, space)
    rng = random.Random(0)
    int8 = tuple(slot for slot in network.slots if rng.random() < 0.5)
    path = export_mixed_onnx(
        module, network.input_shape, tmp_path / "m.onnx", mixed=Mixed(network.slots, int8), calibration=images(network)
    )
    by_operator: dict[str, Counter[bool]] = {slot: Counter() for slot in network.slots}
    for kernel in onnx_kernels(path, network.slots):
        if kernel.operator:
            by_operator[kernel.operator][kernel.integer] += 1
        else:  # made by ONNX Runtime, without a name
            assert not kernel.weighted
    for slot, kernels in by_operator.items():
        assert kernels[slot in int8] > 0
        assert kernels[slot not in int8] == 0


@pytest.mark.slow
def test_exactly_the_operators_asked_for_are_int8_in_tflite(tmp_path: Path) -> None:
    network, module = random_network(1)
    int8 = network.slots[::2]
    path = export_mixed_tflite(
        module,
        network.input_shape,
        tmp_path / "m.tflite",
        mixed=Mixed(network.slots, int8),
        calibration=images(network),
    )
    kernels = tflite_kernels(path, network.slots)
    assert {kernel.operator for kernel in kernels} == set(network.slots)
    assert all(kernel.integer == (kernel.operator in int8) for kernel in kernels)
    expected = module(torch.from_numpy(images(network))).detach().numpy()
    got = open_runtime("tflite", threads=1, precision="int8", batch=1).load(path).run(images(network))
    assert np.mean((got - expected) ** 2) < 0.01 * np.var(expected)


def test_a_wish_that_names_no_operator_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        Mixed(("stem_1", "head_1"), ("stem",))
    assert "`stem` is to be int8" in error.value.met
    assert "would be the same" in error.value.met
    assert "stem_1, head_1" in error.value.allowed


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x)


def chain(**children: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    module = nn.Sequential()
    for name, child in children.items():
        module.add_module(name, child)
    return module.eval(), tuple(children)


def test_a_wish_that_changes_no_kernel_is_refused(tmp_path: Path) -> None:
    """ONNX Runtime has no integer kernel for an exponential."""
    module, names = chain(first=nn.Conv2d(3, 4, 3), second=Doubled(), third=nn.Conv2d(4, 4, 3))
    with pytest.raises(ConfigError) as error:
        export_mixed_onnx(module, (3, 9, 9), tmp_path / "m.onnx", mixed=Mixed(names, ("second",)))
    assert error.value.met == "`second` is to be int8, which changes no kernel of it: it would stay fp32 (1 Exp)"
    assert not list(tmp_path.iterdir())


def test_an_operator_that_would_become_int8_unasked_is_refused(tmp_path: Path) -> None:
    """ONNX Runtime pulls a pooling between two integer operators into integers."""
    module, names = chain(first=nn.Conv2d(3, 4, 3), second=nn.AvgPool2d(2), third=nn.Conv2d(4, 4, 3))
    with pytest.raises(ExportError, match="`second` is to be fp32, and becomes 1 QLinearAveragePool"):
        export_mixed_onnx(module, (3, 12, 12), tmp_path / "m.onnx", mixed=Mixed(names, ("first", "third")))


# --- losses ---


def test_noise_of_operators_adds_up_to_that_of_the_file(tmp_path: Path) -> None:
    network, module = random_network(2)
    inputs = torch.from_numpy(images(network, 64))
    assert isinstance(module, nn.Sequential)
    mixed = MixedNetwork(module, inputs, file_format="onnx")
    noise = sensitivities(mixed, inputs)
    assert min(noise) > 0
    exact = module(inputs).detach()
    for flags in ([True] * len(noise), [number % 2 == 1 for number in range(len(noise))]):
        int8 = tuple(slot for slot, one in zip(network.slots, flags, strict=True) if one)
        path = export_mixed_onnx(
            module, network.input_shape, tmp_path / "m.onnx",
            mixed=Mixed(network.slots, int8), calibration=inputs.numpy(), batch=64,
        )  # fmt: skip
        (got,) = onnxruntime.InferenceSession(str(path)).run(None, {"input": inputs.numpy()})
        power = float(exact.var())
        file_noise = float(np.mean((got - exact.numpy()) ** 2)) / power
        with torch.no_grad():
            simulated = float((mixed.assigned(flags)(inputs.clone()) - exact).square().mean()) / power
        summed = sum(one for one, flag in zip(noise, flags, strict=True) if flag)
        assert simulated == pytest.approx(file_noise, rel=0.5)
        assert 1 / 3 < summed / file_noise < 3


# --- experiments ---


class Alternating:
    """A latency model by which every other operator is faster in int8, and faster than any timing."""

    origin = "rows of a test"

    def chain(self, network: Network, losses: list[float]) -> Chain:
        count = len(network.operators)
        ms = np.full((count, 2), 1e-4)
        ms[::2, 1] = 1e-5
        lost = np.stack([np.zeros(count), losses], axis=1)
        return Chain(ms, lost, np.zeros((count + 1, 2, 2)))


def timed_quickly(run: Workspace, tier: str, points: Sequence[FrontPoint], reporter: Reporter) -> dict[str, Any]:
    """Times of mixed networks as they were predicted; their files are made."""
    assert points
    assert all(mixed_files.mixed_file(run, tier, point).is_file() for point in points)
    return {point.candidate.key: {"latency_ms@cpu": point.scores["latency_ms@cpu"]} for point in points}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of an experiment with a tier of mixed precision, which pays by its latency model."""
    folder = tmp_path_factory.mktemp("mixed")
    path = written(folder, FEW, tiers=MIXED, search=SEARCH, export=FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem, "mixed_latency", lambda fp32, int8: Alternating())
        patch.setattr(remeasure, "time_mixed", timed_quickly)
        pipeline.run(path, runs=folder / "runs")
    return folder / "runs" / "mini"


def test_conversions_are_rows_of_the_table_in_int8(run: Path) -> None:
    kinds = [{key[0] for key in read_table(run / "latency" / f"{name}.jsonl").rows} for name in ("cpu", "cpu-int8")]
    assert BOUNDARY_KIND not in kinds[0]
    assert BOUNDARY_KIND in kinds[1]
    assert sum(result.missing for result in pipeline.bench(run, dry_run=True)) == 0


def test_the_front_knows_the_precision_of_each_operator(run: Path) -> None:
    points = json.loads((run / "fronts" / "cloud.json").read_text())
    mixed = [point for point in points if is_mixed(point["precision"])]
    assert mixed
    for point in mixed:
        assert int8_of(point["precision"]) == (True, False)
        assert point["paired"]["samples"] > 0
    (shown,) = pipeline.fronts(run)
    assert {point.precision for point in shown.front} == {point["precision"] for point in points}
    page = (run / "report.html").read_text()
    assert all(point["precision"] in page for point in mixed)


def test_the_bundle_tells_the_precision_of_each_operator(run: Path) -> None:
    manifest = json.loads((run / "bundle" / "cloud" / "manifest.json").read_text())
    models = [model for model in manifest["models"] if is_mixed(model["precision"])]
    assert models
    for model in models:
        assert [(one["name"], one["precision"]) for one in model["operators"]] == [
            ("stem_1", "int8"),
            ("head_1", "fp32"),
        ]
        (file,) = model["files"]
        assert file["precision"] == "mixed"
        kernels = onnx_kernels(run / "bundle" / "cloud" / file["name"], ("stem_1", "head_1"))
        assert {(kernel.operator, kernel.integer) for kernel in kernels} == {("stem_1", True), ("head_1", False)}
        assert model["quantization"]["scheme"] == "u8s8"
    (verified,) = pipeline.verify(run / "bundle" / "cloud", timing=Timing(rounds=3, processes=0, warm_up_ms=0))
    assert verified.ok, verified.findings


def test_models_of_both_tables_make_that_of_mixed_networks(run: Path) -> None:
    workspace = open_run(run)
    models = load_cost_models(workspace)
    latency = mixed_latency(models["cpu"].model, models["cpu-int8"].model)
    assert "timed conversions" in latency.origin
    network = workspace.network(workspace.space.smallest())
    assert 0 < latency.predict_ms(network, (True, False)) < 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"precision": "mixed", "measure": "live"}, "needs a table of each precision"),
        ({"precision": "mixed", "minimize": ["energy_mj"]}, "`energy_mj` of networks with a precision for each"),
        ({"precision": ["mixed"]}, "`mixed` is no precision that a search chooses"),
        ({"precision": "fixed"}, "or `precision: mixed`, by operator"),
    ],
)
def test_what_cannot_be_mixed_is_refused(changes: dict[str, Any], reason: str) -> None:
    tiers = {"cloud": {"setup": "cpu", **changes}}
    with pytest.raises(ConfigError, match=reason):
        parse_experiment({**EXPERIMENT, "tiers": tiers}, where="test")
