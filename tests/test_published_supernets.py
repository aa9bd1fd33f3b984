"""Published supernets: what their projects' own code computes, to rounding; and files of other networks are refused."""

from __future__ import annotations

import pickle
import random
from argparse import Namespace
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from hwnas.errors import ConfigError
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.registry import member
from hwnas.space import Space
from hwnas.supernet import Supernet, recalibrate
from hwnas.supernet.published import PUBLISHED_SUPERNETS, PublishedSupernet
from hwnas.supernet.published.load import load_published
from hwnas.supernet.published.sources import plain_name
from tests.helpers.published_supernets import golden, images, small_space, state_of

V3 = "ofa_mobilenet_v3_w1.0"
FORMATS = {
    V3: "ofa",
    "ofa_mobilenet_v3_w1.2": "ofa",
    "ofa_proxyless_w1.3": "ofa",
    "ofa_resnet50d": "ofa",
    "attentive_nas": "attentivenas",
    "autoformer_tiny": "autoformer",
}
TOLERANCE = {"ofa_proxyless_w1.3": 3e-5}
"""Of weights that are scaled for another epsilon, and so rounded. Of all others: what was rounded in stored logits."""
State = dict[str, Tensor]


def form_of(name: str) -> PublishedSupernet:
    form: PublishedSupernet = member(PUBLISHED_SUPERNETS, FORMATS[name], what="format", where="test")
    return form


def new_supernet(name: str) -> tuple[Space, Supernet]:
    form, space = form_of(name), small_space(name)
    return space, Supernet(space, kernel_transform=form.kernel_transform, joint_bias=form.joint_bias)


@cache
def state(name: str) -> State:
    return state_of(golden(name)["layout"])


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Space, Supernet]]:
    """A supernet that is filled from a file as its project writes it, once."""

    @cache
    def fill(name: str) -> tuple[Space, Supernet]:
        space, supernet = new_supernet(name)
        path = tmp_path_factory.mktemp("published") / f"{name}.pth"
        torch.save({golden(name)["key"]: state(name), "epoch": 3}, path)
        load_published(supernet, form_of(name), path)
        return space, supernet

    return fill


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "ofa_mobilenet_v3_w1.2"])  # its code is w1.0's
def test_sub_networks_compute_what_the_projects_code_computes(
    name: str, filled: Callable[[str], tuple[Space, Supernet]]
) -> None:
    space, supernet = filled(name)
    for seed, case in list(enumerate(golden(name)["cases"]))[1:4]:  # the smallest network, and random ones
        network = lower(space, read_architecture(space, case["architecture"], where="golden"))
        batch = images(network.input_shape[1], seed)
        module = doubled(supernet.extract(network), batch)
        with torch.no_grad():
            logits = module(batch.double())
        expected = torch.tensor(case["logits"], dtype=torch.float64)
        assert float((logits - expected).abs().max()) < TOLERANCE.get(name, 1e-6)
        assert float(expected.std()) > 0.05, "logits that tell networks apart"


def doubled(module: nn.Module, batch: Tensor) -> nn.Module:
    """The module in double precision, with statistics of the batch."""
    module = module.double().eval()
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        module(batch.double())
    return module.eval()


@pytest.mark.parametrize("name", [V3, "autoformer_tiny"])
def test_a_slice_is_the_extracted_network(name: str, filled: Callable[[str], tuple[Space, Supernet]]) -> None:
    space, supernet = filled(name)
    rng = random.Random(3)
    for _ in range(3):
        network = lower(space, space.random(rng))
        batch = images(network.input_shape[1], 0)
        with torch.no_grad():
            module = supernet.extract(network).train()
            assert_close(supernet.train()(batch, network, dropout=False), dropless(module)(batch))


def dropless(module: nn.Module) -> nn.Module:
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    return module


def test_keys_and_values_of_fewer_heads_add_other_biases_than_the_leading_ones(
    filled: Callable[[str], tuple[Space, Supernet]],
) -> None:
    space, supernet = filled("autoformer_tiny")
    joint = state("autoformer_tiny")["blocks.0.attn.qkv.bias"]
    for architecture in (space.largest(), space.smallest()):
        network = lower(space, architecture)
        module = supernet.extract(network)
        rows = 64 * network.operators[1].knobs["heads"]
        biases = (module[1].attention.query.bias, module[1].attention.key.bias, module[1].attention.value.bias)  # type: ignore[union-attr]
        for third, bias in enumerate(biases):
            assert torch.equal(bias, joint[third * rows : (third + 1) * rows])  # type: ignore[arg-type]


def test_the_names_of_all_versions_are_read(filled: Callable[[str], tuple[Space, Supernet]], tmp_path: Path) -> None:
    earlier = {
        name.replace(".conv.inverted", ".mobile_inverted_conv.inverted")
        .replace(".conv.depth", ".mobile_inverted_conv.depth")
        .replace(".conv.point", ".mobile_inverted_conv.point"): value
        for name, value in state(V3).items()
    }
    assert any("mobile_inverted" in name for name in earlier)
    assert plain_name("input_stem.1.conv.conv.conv.weight") == plain_name("input_stem.1.conv.conv.weight")
    supernet = new_supernet(V3)[1]
    loads(supernet, V3, earlier, tmp_path)
    expected = filled(V3)[1].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in supernet.state_dict().items())


def loads(supernet: Supernet, name: str, content: Any, folder: Path) -> None:
    torch.save(content, folder / "weights.pth")
    load_published(supernet, form_of(name), folder / "weights.pth")


def without(name: str, key: str) -> State:
    return {own: value for own, value in state(name).items() if own != key}


OTHERS: dict[str, tuple[Callable[[], Any], str]] = {
    "missing": (
        lambda: without(V3, "blocks.7.conv.point_linear.conv.conv.weight"),
        "1 missing key (blocks.7.conv.point_linear.conv.weight)",
    ),
    "extra": (lambda: {**state(V3), "blocks.21.conv.odd": torch.zeros(1)}, "1 unknown key (blocks.21.conv.odd)"),
    "twice": (
        lambda: {**state(V3), "first_conv.conv.conv.weight": torch.zeros(1)},
        "1 unknown key (first_conv.conv.conv.weight)",
    ),
    "wider": (
        lambda: state("ofa_mobilenet_v3_w1.2"),
        "first `first_conv.conv.weight`: 24x3x3x3 in the file, where space `ofa_mobilenet_v3_w1_0` has 16x3x3x3. "
        "The file is of `ofa_mobilenet_v3_w1.2`",
    ),
    "other family": (lambda: state("ofa_proxyless_w1.3"), "The file is of `ofa_proxyless_w1.3`"),
    "other project": (lambda: state("autoformer_tiny"), "are of another network"),
    "classes": (
        lambda: {**state(V3), "classifier.linear.weight": torch.zeros(1000, 1280)},
        "1 of 283 weights are of other sizes, first `classifier.linear.weight`: 1000x1280",
    ),
    "scalar": (
        lambda: {**state(V3), "first_conv.conv.weight": torch.tensor(1.0)},
        "1 of 283 weights are of other sizes, first `first_conv.conv.weight`: ",
    ),
    "nan": (
        lambda: {**state(V3), "classifier.linear.bias": torch.full((10,), torch.nan)},
        "`classifier.linear.bias` is not finite",
    ),
    "no state": (lambda: {"epoch": 3}, "it holds a dictionary with epoch"),
    "list": (lambda: [1, 2], "it holds list"),
    "module": (lambda: nn.Linear(2, 2), "it holds other things than tensors and plain values"),
}


def test_weights_with_other_axes_are_refused_by_name(tmp_path: Path) -> None:
    _, supernet = new_supernet("autoformer_tiny")
    with pytest.raises(ConfigError, match="first `pos_embed`: 3 in the file"):
        loads(supernet, "autoformer_tiny", {**state("autoformer_tiny"), "pos_embed": torch.zeros(3)}, tmp_path)


@pytest.mark.parametrize(("content", "named"), OTHERS.values(), ids=OTHERS)
def test_files_of_other_networks_are_refused_by_what_differs(
    content: Callable[[], Any], named: str, wide: Supernet, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    with pytest.raises(ConfigError) as error:
        loads(wide, V3, content(), tmp_path)
    assert named in error.value.met
    assert error.value.where == str(tmp_path / "weights.pth")
    assert all(torch.equal(value, before[name]) for name, value in wide.state_dict().items()), "nothing is changed"


@pytest.fixture(scope="module")
def wide() -> Supernet:
    return new_supernet(V3)[1]


def test_options_beside_a_state_are_no_hindrance_and_nothing_else_is_unpickled(tmp_path: Path) -> None:
    _, supernet = new_supernet("autoformer_tiny")
    loads(supernet, "autoformer_tiny", {"model": state("autoformer_tiny"), "args": Namespace(lr=1.0)}, tmp_path)

    class Evil:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "touched").touch, ())

    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"model": Evil()}))
    with pytest.raises(ConfigError):
        load_published(supernet, form_of("autoformer_tiny"), tmp_path / "weights.pth")
    assert not (tmp_path / "touched").exists()


def test_a_space_of_another_project_is_refused(tmp_path: Path) -> None:
    _, supernet = new_supernet("autoformer_tiny")
    with pytest.raises(ConfigError, match=r"no `patchembed/"):
        loads(supernet, V3, state(V3), tmp_path)


def test_statistics_of_a_network_are_its_own(filled: Callable[[str], tuple[Space, Supernet]]) -> None:
    """As a search does it, in single precision."""
    space, supernet = filled("attentive_nas")
    case = golden("attentive_nas")["cases"][2]
    network = lower(space, read_architecture(space, case["architecture"], where="golden"))
    batch = images(network.input_shape[1], 2)
    module = recalibrate(supernet.extract(network), network, [batch])
    with torch.no_grad():
        assert_close(module(batch), torch.tensor(case["logits"]), atol=1e-4, rtol=0)
