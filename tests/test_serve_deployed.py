"""What `hwnas export --plan` writes is served: the answer is that of the cloud's file on the network's own input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from hwnas import pipeline
from hwnas.collaborate.codecs import BoundaryCodec, InputCodec, input_codecs
from hwnas.collaborate.wire import PLAN_FILE
from hwnas.deploy.client.client import Client
from hwnas.deploy.client.connection import Cloud
from hwnas.errors import ConfigError
from hwnas.runtimes import open_runtime
from hwnas.serve.bundle import read_bundle
from hwnas.serve.certificates import make_certificates, server_context
from hwnas.serve.protocol import JSON_LENGTH_HEADER
from hwnas.serve.tokens import Tokens, make_token
from tests.helpers.command_line import Call
from tests.helpers.command_line import hwnas as hwnas
from tests.helpers.planned import plan_names, planned_run
from tests.helpers.serving import app_of, asked, binary_request, outputs_of, served


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planned_run(tmp_path_factory.mktemp("planned"))


def test_every_plan_with_a_cloud_is_answered_as_its_files_answer(run: Path, tmp_path: Path) -> None:
    split = pipeline.open_run(run).dataset.test
    raw = split.inputs.take(split.indices[:3]).numpy()
    normalised = split.every()[:3].numpy()
    runtime, kinds = open_runtime("onnxruntime"), set[str]()
    for (kind, codec), name in plan_names(run).items():
        if kind == "edge_only":
            continue
        folder = pipeline.export_plan(run, name, output=tmp_path / name).folder
        model = read_bundle(folder)
        app, tail = app_of(model), runtime.load(folder / "cloud" / "cloud.onnx")
        for number in range(len(raw)):
            if kind == "split":
                boundary = runtime.load(folder / "edge" / "edge.onnx").run(normalised[number : number + 1])[0]
                packing = codec.endswith("+zstd")
                coder = BoundaryCodec.of(model.scale, model.zero_point, packing)
                coder = coder if model.scale else BoundaryCodec(codec.partition("+")[0], packing)
                content = coder.encode(boundary)
                expected = tail.run(coder.decode(content, boundary.shape)[None])[0]
            else:
                sent = next(one for one in input_codecs(raw.shape[1:], str(raw.dtype)) if one.name == codec)
                assert isinstance(sent, InputCodec)
                content = sent.encode(raw[number])
                expected = tail.run(normalised[number : number + 1])[0] if sent.is_lossless else None
            answer = asked(app, *binary_request(model, content))
            assert answer.status == 200, answer.body
            if expected is not None:
                np.testing.assert_allclose(outputs_of(answer), expected, atol=1e-4)
        kinds.add(kind)
    assert kinds == {"cloud_only", "split", "cascade"}


def test_the_edges_client_and_the_server_agree_over_tls_by_a_token(run: Path, tmp_path: Path) -> None:
    certificates, (token, digest) = make_certificates(tmp_path / "certificates", []), make_token()
    split = pipeline.open_run(run).dataset.test
    raw, normalised = split.inputs.take(split.indices[:3]).numpy(), split.every()[:3].numpy()
    for (kind, codec), name in plan_names(run).items():
        if (kind, codec) not in {("cloud_only", "raw"), ("split", "fp32"), ("split", "int8")}:
            continue
        folder = pipeline.export_plan(run, name, output=tmp_path / name).folder
        app = app_of(read_bundle(folder), tokens=Tokens([digest]))
        with served(app, server_context(certificates.folder)) as address:
            url = f"https://127.0.0.1:{address.listener.getsockname()[1]}"
            client = Client(Cloud(url, token, str(certificates.ca)), folder / "edge")
            stranger = Client(Cloud(url, make_token()[0], str(certificates.ca)), folder / "edge")
            for number in range(len(raw)):
                answer = client.infer(raw[number], deadline_ms=20_000)
                assert answer.origin == "cloud", answer
                whole = _whole(folder, normalised[number : number + 1])
                np.testing.assert_allclose(answer.outputs, whole, atol=1e-4 if codec != "int8" else 0.5)
            assert stranger.infer(raw[0], deadline_ms=20_000).origin.startswith("edge")
            client.close()
            stranger.close()


def _whole(folder: Path, inputs: np.ndarray) -> np.ndarray:
    """The answer of the cloud's file to what the edge's file, if there is a head, makes of the inputs."""
    runtime, head = open_runtime("onnxruntime"), folder / "edge" / "edge.onnx"
    boundary = runtime.load(head).run(inputs) if head.exists() else inputs
    answer: np.ndarray = runtime.load(folder / "cloud" / "cloud.onnx").run(boundary)[0]
    return answer


def test_bodies_have_the_bytes_of_the_plan(run: Path, tmp_path: Path) -> None:
    for (kind, codec), name in plan_names(run).items():
        if kind == "cloud_only" and codec == "raw":
            done = pipeline.export_plan(run, name, output=tmp_path / name)
            model = read_bundle(done.folder / "cloud")
            body, _ = binary_request(model, bytes(model.request.plain_bytes))
            assert len(body) == done.document["request"]["body_bytes"]


def test_an_exported_bundle_of_one_network_is_served(run: Path) -> None:
    (manifest, *_) = pipeline.export(run)
    model = read_bundle(manifest.parent)
    sample = np.random.default_rng(0).normal(size=(1, *model.input_shape)).astype(np.float32)
    expected = open_runtime("onnxruntime").load(model.path).run(sample)[0]
    answer = asked(app_of(model), *binary_request(model, sample.tobytes(), plan=""))
    assert answer.status == 409, "it has no plan"
    body = model.request.body(sample.tobytes(), "").replace(b',"parameters":{"plan":"' + b"0" * 16 + b'"}}', b"}")
    length = len(body) - sample.nbytes
    answer = asked(app_of(model), body, [(JSON_LENGTH_HEADER, str(length))])
    np.testing.assert_allclose(outputs_of(answer), expected, atol=1e-5)


def test_export_also_writes_what_other_servers_load(run: Path, hwnas: Call, tmp_path: Path) -> None:
    names = plan_names(run)
    folder = tmp_path / "deployment"
    cloud = ["--plan", names["cloud_only", "raw"], "-o", str(folder)]
    done = hwnas("export", str(run), *cloud, "--also", "triton", "--also", "kserve")
    assert done.code == 0, done.err
    assert (folder / "triton" / "cloud" / "1" / "model.onnx").read_bytes() == (folder / "cloud/cloud.onnx").read_bytes()
    assert yaml.safe_load((folder / "kserve.yaml").read_text())["kind"] == "InferenceService"
    assert hwnas("export", str(run), *cloud, "--also", "tritn").code == 2
    assert hwnas("export", str(run), "--also", "triton").code == 2


def test_the_edges_side_is_not_served(run: Path, tmp_path: Path) -> None:
    names = plan_names(run)
    folder = pipeline.export_plan(run, names["edge_only", None], output=tmp_path / "alone").folder
    assert (folder / "edge" / PLAN_FILE).exists()
    for path in (folder, folder / "edge"):
        with pytest.raises(ConfigError):
            read_bundle(path)
