"""What Triton and KServe load is what they can read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml

from hwnas.errors import ConfigError
from hwnas.serve.repositories import service_name, write_kserve, write_triton
from tests.helpers.deployments import linear_weights
from tests.helpers.serving import deployed


def test_tritons_own_schema_reads_the_configuration(tmp_path: Path) -> None:
    config_module = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    model = deployed(tmp_path / "deployment")
    home = write_triton(model, tmp_path) / "cloud"
    config = text_format.Parse((home / "config.pbtxt").read_text(), config_module.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == (home.name, "onnxruntime", 0)
    session = onnxruntime.InferenceSession(str(home / "1" / "model.onnx"))
    for told, real in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [(one.name, list(one.dims)) for one in told] == [(one.name, one.shape) for one in real]
    assert config.parameters["hwnas_plan"].string_value == model.plan[:16]
    (outputs,) = session.run(None, {config.input[0].name: np.ones((1, 3, 4, 4), np.float32)})
    np.testing.assert_allclose(outputs[0], linear_weights((3, 4, 4)).sum(0), rtol=1e-4)


def test_kserve_finds_the_repository(tmp_path: Path) -> None:
    model = deployed(tmp_path / "deployment")
    path = write_kserve(model, tmp_path, name="Cloud_only-1a+raw", storage_uri="pvc://models/triton")
    document = yaml.safe_load(path.read_text())
    assert (document["apiVersion"], document["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert document["metadata"]["name"] == "cloud-only-1a-raw"
    predictor = document["spec"]["predictor"]["model"]
    assert predictor["protocolVersion"] == "v2"
    assert predictor["storageUri"] == "pvc://models/triton"


@pytest.mark.parametrize("name", ["", "-", "a" * 200, "ünïcode", "-x-"])
def test_names_are_such_as_kubernetes_takes(name: str) -> None:
    made = service_name(name)
    assert 0 < len(made) <= 63
    assert made.strip("-") == made
    assert all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in made)


def test_triton_takes_no_other_files(tmp_path: Path) -> None:
    raw = deployed(tmp_path / "raw")
    with pytest.raises(ConfigError, match="tflite"):
        write_triton(dataclasses.replace(raw, runtime="tflite"), tmp_path)
