"""Any `torch.nn.Module` as a space: cut into operators, with shared weights and the same laws."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from hwnas import cli, pipeline
from hwnas.errors import SpaceError
from hwnas.export import format_of
from hwnas.network import Network, build, costs, lower, operators_of
from hwnas.runtimes import open_runtime
from hwnas.space import FunctionSpace
from hwnas.space_checks import check_space
from hwnas.supernet import Supernet
from hwnas.traced.operator import Traced
from hwnas.traced.root import module_in
from tests.helpers.repository import REPOSITORY
from tests.helpers.traced_nets import NETS, UNCUT

each_net = pytest.mark.parametrize("name", NETS)
modes = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def space_of(name: str) -> FunctionSpace:
    return FunctionSpace(name, NETS[name], source="traced_nets.py")


@cache
def opened(name: str) -> tuple[FunctionSpace, Supernet]:
    space = space_of(name)
    check_space(space)
    return space, Supernet(space)


def some_networks(space: FunctionSpace) -> list[Network]:
    rng = random.Random(0)
    return [lower(space, a) for a in (space.smallest(), space.largest(), space.random(rng), space.random(rng))]


def seeded(call: Any, *args: Any) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return call(*args)  # type: ignore[no-any-return]


def slots(space: FunctionSpace, **picks: Any) -> tuple[str, ...]:
    """Of the largest network with these picks."""
    return lower(space, space.sample(lambda choice: picks.get(choice.name, choice.options[-1]))).slots


# --- the laws ---


@each_net
@modes
def test_the_chain_computes_what_the_module_computes(name: str, training: bool) -> None:
    space, _ = opened(name)
    for architecture in (space.smallest(), space.largest()):
        network = lower(space, architecture)
        whole, chain = module_in(space.blueprint(architecture, weights=True)), build(network)
        whole(IMAGES)  # layers that take their sizes from what they see
        state = whole.state_dict()
        chain.load_state_dict({key: state[key.split(".", 1)[1]] for key in chain.state_dict()})
        assert sum(p.numel() for p in chain.parameters()) == sum(p.numel() for p in whole.parameters())
        with torch.no_grad():
            expected = seeded(whole.train(training), IMAGES)
            whole.load_state_dict(state)
            assert_close(seeded(chain.train(training), IMAGES), expected)


@each_net
@modes
def test_a_slice_is_a_network(name: str, training: bool) -> None:
    space, supernet = opened(name)
    for network in some_networks(space):
        module = supernet.extract(network).train(training)
        with torch.no_grad():
            assert_close(seeded(supernet.train(training), IMAGES, network), seeded(module, IMAGES))


@each_net
def test_costs_are_those_of_the_module(name: str) -> None:
    space, _ = opened(name)
    for architecture in (space.smallest(), space.largest()):
        network = lower(space, architecture)
        whole = module_in(space.blueprint(architecture, weights=True))
        whole(IMAGES)
        assert costs(network).params == sum(p.numel() for p in whole.parameters())
        assert costs(network).output_shape == (10,)


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        *((name, "onnxruntime") for name in NETS),
        pytest.param("skips", "tflite", marks=pytest.mark.slow),
        ("skips", "pytorch"),
    ],
)
def test_a_file_is_pytorch(name: str, runtime: str, tmp_path: Path) -> None:
    space, supernet = opened(name)
    network = some_networks(space)[1]
    module = supernet.extract(network).eval()
    export = format_of(runtime).exporter
    path = export(module, network.input_shape, tmp_path / "net", batch=4)
    with torch.no_grad():
        expected = module(IMAGES).numpy()
    assert np.abs(open_runtime(runtime, batch=4).load(path).run(IMAGES.numpy()) - expected).max() < 1e-4


@each_net
def test_lowering_again_gives_equal_operators(name: str) -> None:
    once, twice = space_of(name), FunctionSpace(name, lambda choose: NETS[name](choose))
    twice.build.input_shape = (1, 8, 8)  # type: ignore[attr-defined]
    for architecture in (once.smallest(), once.largest()):
        assert lower(once, architecture) == lower(twice, architecture)


# --- where networks are cut ---

CUTS: dict[str, tuple[str, ...]] = {
    "plain": ("stem-bn", "body_0", "body_1", "down", "fc", "head"),
    "sequential": ("0-1", "3", "4", "6"),
    "shared": ("stem", "again", "last", "up-down"),
    "attention": ("patch", "attend", "norm", "head"),
    "hooked": ("stem", "head"),
    "lazy": ("0-1", "4"),
    "branches": ("network",),
    "unfollowable": ("network",),
    "reads": ("stem", "blocks_0_0", "blocks_1_0", "head"),
}


@pytest.mark.parametrize(("name", "expected"), CUTS.items(), ids=CUTS)
def test_networks_are_cut_at_their_children(name: str, expected: tuple[str, ...]) -> None:
    assert slots(opened(name)[0]) == expected


def test_a_shortcut_over_children_joins_them() -> None:
    space, _ = opened("skips")
    assert slots(space, skip=False) == ("stem", "one", "two-scale", "head")
    assert slots(space, skip=True) == ("stem", "one-two-scale", "head")


@pytest.mark.parametrize(("name", "why"), UNCUT.items(), ids=UNCUT)
def test_a_network_that_cannot_be_cut_says_why(name: str, why: str) -> None:
    space, _ = opened(name)
    (operator,) = lower(space, space.largest()).operators
    assert isinstance(operator, Traced)
    assert operator.uncut is not None
    assert why in operator.uncut


# --- identity ---


def test_blocks_of_one_structure_are_one_row() -> None:
    space, _ = opened("plain")
    network = lower(space, space.largest())
    one, two = (network.operators[network.slots.index(slot)] for slot in ("body_0", "body_1"))
    assert one == two
    assert hash(one) == hash(two)
    assert one.knobs == two.knobs
    # by width: a stem, blocks of two kernels, the one that strides, layers of two hidden widths; and two heads
    assert len(operators_of(space)) == 2 * (1 + 2 + 1 + 2) + 2


def test_whatever_a_block_computes_with_tells_it_apart() -> None:
    def one(setting: Any) -> Any:
        def net(choose: Any) -> Any:
            return (4, 8, 8), nn.Sequential(Settled(setting), nn.Conv2d(4, 4, 1))

        return lower(FunctionSpace("net", net), FunctionSpace("net", net).smallest()).operators[0]

    settings = [1, 1.5, "one", None, (1, 2), [1, 3], {"a": 1}, torch.relu, torch.sigmoid, torch.ones(2), torch.zeros(2)]
    assert len({one(setting) for setting in settings}) == len(settings)
    assert one({"a": 1, "b": (2,)}) == one({"b": (2,), "a": 1})


class Settled(nn.Module):
    def __init__(self, setting: Any) -> None:
        super().__init__()
        self.setting = setting

    def forward(self, x: Tensor) -> Tensor:
        return x


FILE = """
from torch import nn

class Block(nn.Module):
    {doc}
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
    def forward(self, x):
        return self.conv(x){change}

def net(choose):
    return (1, 8, 8), nn.Sequential(Block(), nn.Flatten(), nn.Linear(144, 10))
"""


def test_a_class_is_known_by_what_it_says_wherever_it_lies(tmp_path: Path) -> None:
    found = []
    for name, said in {"a": ("", ""), "b": ('"""Words."""  # and more', ""), "c": ("", " * 2")}.items():
        (tmp_path / f"{name}.py").write_text(FILE.format(doc=said[0], change=said[1]))
        space, _ = pipeline.open_space(tmp_path / f"{name}.py:net")
        found.append(lower(space, space.smallest()).operators[0])
    assert found[0] == found[1] != found[2]


# --- weights ---


def test_weights_are_shared_by_their_names_across_cuts() -> None:
    space, supernet = opened("skips")
    whole = NETS["skips"](lambda name, options: options[-1])[1]
    assert {name for name, _ in supernet.named_parameters()} == {
        f"traced/{name.replace('.', '/')}" for name, _ in whole.named_parameters()
    }
    cut, joined = (
        lower(space, space.sample(lambda choice, skip=skip: {"width": 4, "skip": skip}[choice.name]))
        for skip in (False, True)
    )
    one, other = (supernet.extract(network).state_dict() for network in (cut, joined))
    assert_close(one["one.one.conv.weight"], other["one-two-scale.one.conv.weight"])


def test_narrow_networks_take_leading_channels_and_small_kernels_the_centre() -> None:
    space, supernet = opened("plain")
    whole = dict(supernet.named_parameters())["traced/body/0/conv/weight"]
    assert whole.shape == (16, 16, 5, 5)
    part = supernet.extract(lower(space, space.smallest())).get_parameter("body_0.body.0.conv.weight")
    assert_close(part, whole[:8, :8, 1:-1, 1:-1])


def test_a_module_called_twice_stays_one_parameter() -> None:
    space, supernet = opened("shared")
    module = supernet.extract(lower(space, space.largest()))
    assert module.get_parameter("up-down.up.weight") is module.get_parameter("up-down.down.weight")
    assert "traced/down/weight" not in dict(supernet.named_parameters())


def test_fixed_tables_are_those_of_the_architecture() -> None:
    space, supernet = opened("attention")
    for patch in (2, 4):
        network = lower(space, space.sample(lambda c, patch=patch: {"width": 8, "patch": patch}[c.name]))
        places = dict(supernet.extract(network).named_buffers())["patch.places"]
        assert_close(places[:, 0], torch.linspace(0, 1, (8 // patch) ** 2))


# --- other processes, other seeds ---


@pytest.mark.slow
def test_an_operator_makes_its_module_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text((REPOSITORY / "tests" / "helpers" / "traced_nets.py").read_text())
    space, _ = pipeline.open_space(tmp_path / "mine.py:plain")
    operator = lower(space, space.largest()).operators[1]
    code = (
        "import pickle, sys; operator = pickle.load(sys.stdin.buffer); "
        "print([(n, tuple(p.shape)) for n, p in operator.module().named_parameters()])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(operator), capture_output=True, check=True)
    assert done.stdout.decode().strip() == str([(n, tuple(p.shape)) for n, p in operator.module().named_parameters()])


def test_walking_takes_no_chance_and_no_memory() -> None:
    space, _ = opened("plain")
    state = torch.get_rng_state()
    module = module_in(space.blueprint(space.largest()))
    assert torch.equal(torch.get_rng_state(), state)
    assert {p.device.type for p in module.body.parameters() if p.ndim > 1} == {"meta"}


def test_an_architecture_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space, _ = opened("plain")
    first = lower(space, space.largest())
    monkeypatch.setattr("hwnas.traced.chain.chain_of", lambda *args: pytest.fail("it was traced again"))
    assert lower(space, space.largest()) is first


# --- refused ---


def returns(make: Any) -> FunctionSpace:
    return FunctionSpace("bad", lambda choose: make())


class Pair(nn.Module):
    def __init__(self, always: bool) -> None:
        super().__init__()
        self.head, self.always = nn.Linear(4, 10), always

    def forward(self, x: Tensor) -> Any:
        y = self.head(x)
        return (y, x) if self.always or self.training else y


class Forms(nn.Module):
    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 10)) if flat else nn.Sequential(
            nn.Identity(), nn.Conv2d(1, 10, 4), nn.Flatten()
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


REFUSED: dict[str, tuple[Any, str]] = {
    "no shape": (lambda: nn.Linear(4, 2), "the input shape of Linear is None"),
    "bad shape": (lambda: ((0, 4), nn.Linear(4, 2)), r"the input shape of Linear is \(0, 4\)"),
    "another shape": (lambda: ((3,), nn.Sequential(nn.Linear(4, 2))), "the network fails at input 3 .RuntimeError"),
    "a pair": (lambda: ((4,), Pair(True)), "the network returns tuple"),
    "a pair in training": (lambda: ((4,), Pair(False)), "the network returns tuple for 13 images in training"),
    "no batch": (lambda: ((4, 4), nn.Flatten(0)), "the network returns a tensor of shape"),
    "recurrent": (lambda: ((4, 4), nn.Sequential(nn.LSTM(4, 4))), "`0` is LSTM, which keeps its weights in a list"),
}


class Buffered(nn.Module):
    """What a buffer may do wrong: be drawn by chance, or count while it runs."""

    def __init__(self, table: Tensor, counts: bool) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.head, self.counts = nn.Linear(4, 10), counts

    def forward(self, x: Tensor) -> Tensor:
        if self.counts:
            self.table += x.mean(0)
        return self.head(x + self.table)


class Whisper(nn.Module):
    """Its second child hears from the first behind `forward`'s back."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 10)
        self.one.register_forward_hook(lambda module, given, x: setattr(self, "heard", x))
        self.heard = torch.zeros(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(x)) + self.heard)


REFUSED |= {
    "chance in a buffer": (lambda: ((4,), Buffered(torch.randn(4), False)), "`table` differs from build to build"),
    "a buffer that counts": (
        lambda: ((4,), nn.Sequential(Buffered(torch.zeros(4), True))), "`0.table` changes while the network runs"
    ),
    "instance statistics": (
        lambda: ((1, 4, 4), nn.Sequential(nn.InstanceNorm2d(1, track_running_stats=True), nn.Flatten())),
        "`0.running_mean` changes while the network runs",
    ),
    "a channel beside forward": (lambda: ((4,), Whisper()), "computes something else than the network"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_a_module_that_is_no_network_is_refused(make: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_space(returns(make))


def test_parameters_of_one_name_have_one_number_of_axes() -> None:
    space = FunctionSpace("forms", lambda choose: ((1, 4, 4), Forms(choose("flat", [False, True]))))
    with pytest.raises(SpaceError, match="shared parameter `traced/head/1/weight` has different numbers of axes"):
        Supernet(space)


# --- on the command line, and all the way ---


NETS_FILE = REPOSITORY / "tests" / "helpers" / "traced_nets.py"


def test_cost_tells_its_operators() -> None:
    found = pipeline.cost(f"{NETS_FILE}:plain", "random:3")
    assert [part["slot"] for part in found["operators"]][:2] == ["stem-bn", "body_0"]
    assert found["operators"][1]["knobs"]["children"] == "Block"
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("name", ["plain", "unfollowable"])
def test_show_tells_how_it_is_cut(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["hwnas", "show", f"{NETS_FILE}:{name}"])
    with pytest.raises(SystemExit):
        cli.main()
    told = " ".join(capsys.readouterr().out.split())
    assert ("one operator for the whole network: TraceError" in told) is (name in UNCUT)
