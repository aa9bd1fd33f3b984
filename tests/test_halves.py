"""Heads and tails as files: together they answer as the whole network, and bodies have the planned bytes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.config import SetupConfig
from hwnas.deploy.boundary import codec_of_head
from hwnas.deploy.checks import SAME_ANSWERS
from hwnas.deploy.client.network import Encoder, open_network
from hwnas.deploy.document import request_entry
from hwnas.errors import ExportError
from hwnas.export.bundle import outputs_of
from hwnas.network import Network, build
from hwnas.problem.plans import files
from hwnas.problem.plans.files import SideFiles, Written
from hwnas.problem.plans.stored import StoredPlan
from hwnas.tasks import Batch
from tests.helpers.supernets import opened, some_images, some_networks

SPACES = ("digits", "autoformer_tiny", "nas_bench_macro", "imu")
SAMPLES = 24


def settled(network: Network) -> Any:
    """The network with weights and statistics that tell channels apart."""
    torch.manual_seed(0)
    module = build(network)
    images = torch.cat([some_images(network, 8) for _ in range(SAMPLES // 8)])
    images = images + 0.1 * torch.randn(images.shape)
    with torch.no_grad():
        for _ in range(3):
            module.train()(images)
    module.eval()
    outputs, labels = outputs_of(module, images.numpy()), np.zeros(SAMPLES, int)
    batch = Batch(images.numpy(), labels)
    return SimpleNamespace(
        module=module, network=network, task=network.task, calibration=images.numpy(), test=batch, outputs=outputs,
        tuned=None,
    )  # fmt: skip


def written(folder: Path, one: Any, cut: int, codec: str, **setups: SetupConfig) -> Written:
    """The halves of a network, as a plan with this cut and codec has them."""
    config = SetupConfig(runtime="onnxruntime")
    raw = torch.zeros(1, *one.network.input_shape)
    test = SimpleNamespace(inputs=SimpleNamespace(take=lambda rows: raw), indices=torch.arange(1))
    export = SimpleNamespace(agreement=0.8, tolerance=1e-4)
    run: Any = SimpleNamespace(
        experiment=SimpleNamespace(
            export=export,
            setups={"edge": setups.get("edge", config), "cloud": setups.get("cloud", config)},
            tiers={name: SimpleNamespace(setup=name) for name in ("edge", "cloud")},
        ),
        dataset=SimpleNamespace(
            test=test, preprocessing_at=lambda shape: {"divide_by": 1, "mean": [0.0], "std": [1.0]}
        ),
    )
    stored = StoredPlan(folder, {"tiers": {"edge": "edge", "cloud": "cloud"}}, {"cut": cut, "codec": codec})
    for name in ("edge", "cloud"):
        (folder / name).mkdir(parents=True)
    return SideFiles(run, stored, {name: folder / name for name in ("edge", "cloud")}).halves(one)


@pytest.mark.parametrize("name", SPACES)
def test_files_of_halves_are_the_whole_and_send_what_is_planned(name: str, tmp_path: Path) -> None:
    """Three networks of each space, at two cuts, by the client's own encoder."""
    space, _ = opened(name)
    for number, network in enumerate(some_networks(space, 3)):
        one, cuts = settled(network), len(network.operators) - 1
        for cut in {1 + number % cuts, cuts - number % cuts}:
            folder = tmp_path / f"{number}-{cut}"
            done = written(folder, one, cut, "fp32")
            assert done.checks["halves"].max_difference <= 1e-5 * max(1.0, float(np.abs(one.outputs).max()))
            assert done.request is not None
            plan = {"request": request_entry(*done.request), "plan": "ab" * 32}
            head = open_network(folder / "edge", done.files["edge"].entry())
            body, _ = Encoder.of(plan).body(head.run(one.test.inputs[0]))
            assert len(body) == plan["request"]["body_bytes"]


@pytest.mark.slow
def test_a_head_in_tflite_and_a_tail_in_onnx_are_the_whole(tmp_path: Path) -> None:
    network = some_networks(opened("digits")[0], 2)[1]
    one = settled(network)
    done = written(tmp_path, one, len(network.operators) // 2, "fp32", edge=SetupConfig(runtime="tflite"))
    assert done.files["edge"].path.suffix == ".tflite"
    assert done.checks["halves"].max_difference <= 1e-4 * max(1.0, float(np.abs(one.outputs).max()))
    head = open_network(tmp_path / "edge", done.files["edge"].entry())
    assert head.run(one.test.inputs[0]).shape == network.shapes[len(network.operators) // 2]


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("tflite", marks=pytest.mark.slow)])
def test_int8_halves_have_one_quantization_and_answer_as_the_whole_int8_file(runtime: str, tmp_path: Path) -> None:
    config = SetupConfig(runtime=runtime, precision="int8")
    for number, network in enumerate(some_networks(opened("digits")[0], 2)):
        one, cut = settled(network), 1 + number
        done = written(tmp_path / str(number), one, cut, "int8", edge=config, cloud=config)
        check = done.checks["halves"]
        assert check.against == "the whole int8 file"
        assert check.agreement >= SAME_ANSWERS
        codec = codec_of_head(done.files["edge"].path, packed=False)
        assert codec is not None
        assert done.request is not None
        assert done.request[1] == codec
        head = open_network(tmp_path / str(number) / "edge", done.files["edge"].entry())
        boundary = head.run(one.test.inputs[0])
        assert np.allclose(codec.restored(codec.rounded(boundary)), boundary, atol=1e-5 * codec.scale * 255)


def test_halves_that_differ_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = settled(some_networks(opened("digits")[0], 2)[1])
    broken = BoundaryCodec("fp32")
    monkeypatch.setattr(BoundaryCodec, "restored", lambda self, numbers: 2 * numbers.astype(np.float32))
    with pytest.raises(ExportError, match="both halves differ from the whole fp32 file"):
        written(tmp_path, one, 2, broken.name)
    assert files.MOST_CHECKED >= SAMPLES
