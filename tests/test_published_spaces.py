"""The field's spaces: what they count equals what their projects counted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.commands.cost import cost
from hwnas.io.yaml import read_yaml
from hwnas.network import Network, build, costs, lower
from hwnas.notation import counted_as_written, read_architecture, write_architecture
from hwnas.ops.layermacs import layer_macs
from hwnas.space import Architecture, Space, Value, parse_space, read_space

SPACES = Path(__file__).resolve().parent.parent / "search_spaces"
STATISTICS = ("running_mean", "running_var")
FILES = sorted(path.stem for path in SPACES.glob("*.yaml"))
GOLDEN = ("ofa_mobilenet_v3_w1.0", "ofa_mobilenet_v3_w1.2", "ofa_proxyless_w1.3", "ofa_resnet50d")


def space_named(name: str) -> Space:
    return read_space(SPACES / f"{name}.yaml")


def network_of(space: Space, written: Any) -> Network:
    return lower(space, read_architecture(space, written, where="test"))


@pytest.mark.parametrize("name", GOLDEN)
def test_costs_equal_those_that_once_for_all_counts(name: str, shared_data: Path) -> None:
    """Parameters are equal. That project sums MACs layer by layer in float32, which holds whole numbers up to 2^24:
    summed in the same order and precision, MACs are equal as well; exact sums lie within the rounding of that."""
    space = space_named(name)
    for golden in json.loads((shared_data / "golden" / f"{name}.json").read_text()):
        network = network_of(space, golden)
        found = costs(network)
        layers = [macs for link in network.links for macs in layer_macs(*link)]
        assert found.params == golden["params"]
        assert found.macs == sum(layers)
        written = counted_as_written(space, golden, network.links)
        assert written == {"params": golden["params"], "macs": golden["macs"]}
        assert abs(found.macs - golden["macs"]) <= len(layers) * np.spacing(np.float32(golden["macs"])) / 2


def test_every_network_of_nas_bench_macro_counts_what_is_published(shared_data: Path) -> None:
    """Parameters and FLOPs (multiply-adds) of all 6,561 strings are equal. Strings of one network are one architecture,
    and the benchmark gives them one record."""
    space = space_named("nas_bench_macro")
    published = np.load(shared_data / "accuracy" / "nasbench_macro_cifar10.npz")
    records: dict[Architecture, tuple[float, ...]] = {}
    networks: set[Network] = set()
    for string, params, flops, accuracies in zip(
        *(published[key].tolist() for key in ("arch", "params", "flops", "test_acc")), strict=True
    ):
        architecture = read_architecture(space, string, where=string)
        network = lower(space, architecture)
        networks.add(network)
        found = costs(network)
        assert (found.params, found.macs) == (params, flops)
        assert records.setdefault(architecture, tuple(accuracies)) == tuple(accuracies)
    assert len(records) == len(networks) == space.count == 3969


ATTENTIVE_NAS = {  # MFLOPs of README.md, architectures of configs/eval_attentive_nas_models.yml
    203: (192, [16, 16, 24, 32, 64, 112, 192, 216, 1792], "3333333", "1444466", "1333331"),
    279: (224, [16, 16, 24, 32, 64, 112, 192, 216, 1984], "3335353", "1444466", "1333331"),
    317: (224, [16, 16, 24, 32, 64, 112, 200, 224, 1984], "3333353", "1454466", "1333341"),
    357: (224, [16, 16, 24, 32, 64, 112, 208, 224, 1984], "3335333", "1444466", "2334351"),
    444: (256, [16, 16, 24, 32, 64, 112, 192, 216, 1984], "3335353", "1445466", "1334351"),
    491: (256, [16, 16, 24, 32, 72, 112, 192, 216, 1792], "3335333", "1454466", "1333461"),
    709: (288, [16, 16, 24, 32, 64, 112, 216, 224, 1984], "3333353", "1465466", "1334461"),
}


@pytest.mark.parametrize("mflops", ATTENTIVE_NAS)
def test_attentive_nas_a0_to_a6_take_the_published_flops(mflops: int) -> None:
    resolution, width, *digits = ATTENTIVE_NAS[mflops]
    kernels, expands, depths = ([int(digit) for digit in word] for word in digits)
    written = {
        "resolution": resolution,
        "width": width,
        "kernel_size": kernels,
        "expand_ratio": expands,
        "depth": depths,
    }
    space = space_named("attentive_nas")
    assert round(costs(network_of(space, written)).macs / 1e6) == mflops
    assert write_architecture(space, read_architecture(space, written, where="test")) == written


FBNETS = {  # architectures of Facebook's fbnet_modeldef.py, FLOPs and parameters of mobile-vision's model_info.json
    "fbnet_a": (
        "skip k3_e3 k3_e1 skip skip k5_e6 k3_e3 k5_e1 k3_e3 k5_e6 k5_e3 k5_e1_g2 k5_e6 k3_e6 k5_e1_g2 k5_e3 k3_e1_g2 "
        "k5_e6 k5_e6 k5_e3 k5_e6 k5_e6",
        (1504, 249_921_848, 4_286_480),
        {},
    ),
    "fbnet_b": (
        "k3_e1 k3_e6 k5_e1 k3_e1 k3_e1 k5_e6 k5_e3 k3_e6 k5_e6 k5_e6 k5_e1 skip k5_e3 k5_e6 k3_e1 k5_e1 k5_e3 "
        "k5_e6 k5_e1 k5_e6 k5_e6 k3_e6",
        (1984, 295_561_032, 4_777_296),
        {192: 28},
    ),
    "fbnet_c": (
        "k3_e1 k3_e6 skip k3_e1 k3_e1 k5_e6 k5_e3 k5_e6 k3_e6 k5_e6 k5_e3 k5_e6 k5_e6 k5_e6 k5_e6 k5_e6 k5_e3 "
        "k5_e6 k5_e6 k5_e6 k5_e6 k3_e6",
        (1984, 382_984_480, 5_520_784),
        {192: 28, 672: 14},
    ),
}


@pytest.mark.parametrize("name", FBNETS)
def test_fbnet_a_to_c_count_what_is_published(name: str) -> None:
    """Equal to the last unit. The project counts weights of convolutions and linear layers as parameters. In B and C it
    had some layers with two 3x3 depthwise convolutions in a row (`ir_k3_sep`, by hidden width and resolution), now 5x5
    ones: these hold 25 weights a channel instead of 18."""
    words, (features, flops, weights), doubled = FBNETS[name]
    raw = read_yaml(SPACES / "fbnet.yaml")
    raw["stages"][-1]["features"] = features
    network = network_of(parse_space(raw, where="test"), words.split())
    more = {width: 7 * width for width in doubled}
    assert costs(network).macs == flops + sum(more[width] * size**2 for width, size in doubled.items())
    with torch.device("meta"):
        found = sum(parameter.numel() for parameter in build(network).parameters() if parameter.dim() > 1)
    assert found == weights + sum(more.values())


def test_mcunet_320kb_is_in_the_space_for_microcontrollers() -> None:
    """81.8 M MACs and 0.74 M parameters, as mit-han-lab/mcunet publishes; layers are kernel and expansion."""
    stages = {
        1: (16, ["73", "35", "75", "54"]),
        2: (24, ["55", "55", "55"]),
        3: (40, ["35", "76", "54"]),
        4: (48, ["55", "75", "35"]),
        5: (96, ["36", "75", "34"]),
        6: (160, ["75"]),
    }
    picks: dict[str, Value] = {"resolution": 176, "stem.width": 16}
    for stage, (width, layers) in stages.items():
        picks |= {f"s{stage}.width": width, f"s{stage}.depth": len(layers)}
        for layer, (kernel, expand) in enumerate(layers, start=1):
            picks |= {f"s{stage}.{layer}.kernel": int(kernel), f"s{stage}.{layer}.expand": int(expand)}
    space = space_named("mcu")
    found = costs(lower(space, space.sample(lambda choice: picks[choice.name])))
    assert (round(found.macs / 1e6, 1), round(found.params / 1e6, 2)) == (81.8, 0.74)


@pytest.mark.parametrize(
    ("name", "published", "macs"),
    [
        ("resnet8", 78_666, 12_501_632),
        ("ds_cnn", 24_908, 2_656_768),
        ("mobilenet_v1", 221_794, 7_489_664),
        ("autoencoder", 269_992, 264_192),
    ],
)
def test_the_reference_networks_of_mlperf_tiny_have_the_published_parameters(
    name: str, published: int, macs: int
) -> None:
    """Keras counts running means and variances too. Published: numbers in the weights' files of mlcommons/tiny (HDF5),
    and for DS-CNN, whose weights are no HDF5, the sum over the layers of its `keras_model.py`."""
    space = space_named(f"mlperf_tiny_{name}")
    assert space.count == 1
    network = lower(space, space.smallest())
    found = costs(network)
    with torch.device("meta"):
        statistics = [
            value.numel() for key, value in build(network).named_buffers() if key.rpartition(".")[2] in STATISTICS
        ]
    assert (found.params + sum(statistics), found.macs) == (published, macs)


@pytest.mark.parametrize("name", FILES)
def test_a_space_file_states_its_own_count(name: str) -> None:
    stated = re.search(r"^# Architectures: ([\d,]+)", (SPACES / f"{name}.yaml").read_text(), re.MULTILINE)
    assert stated is not None
    assert int(stated[1].replace(",", "")) == space_named(name).count


def test_the_documentation_tells_the_counts_of_the_files() -> None:
    text = (SPACES.parent / "docs" / "reference" / "spaces.md").read_text()
    told = re.findall(r"^\| `(\w[\w.]*)` \| ([\d,]+) \|", text, re.MULTILINE)
    assert len(told) >= 9
    for name, count in told:
        assert int(count.replace(",", "")) == space_named(name).count


def test_the_command_line_takes_a_golden_entry_with_its_counts(shared_data: Path, tmp_path: Path) -> None:
    golden = json.loads((shared_data / "golden" / "ofa_mobilenet_v3_w1.0.json").read_text())[2]
    (tmp_path / "arch.json").write_text(json.dumps(golden))
    found = cost(SPACES / "ofa_mobilenet_v3_w1.0.yaml", str(tmp_path / "arch.json"))
    assert (found["params"], found["macs"]) == (golden["params"], golden["macs"])
    assert network_of(space_named("ofa_mobilenet_v3_w1.0"), found["notation"]) == network_of(
        space_named("ofa_mobilenet_v3_w1.0"), golden
    )
