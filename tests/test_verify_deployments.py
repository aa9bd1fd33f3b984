"""Deployments checked again: their accuracy over both sides, and options that they have no use for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas import pipeline
from hwnas.deploy.client.client import Client
from hwnas.errors import ConfigError
from hwnas.verify.findings import Verification
from tests.helpers.command_line import Call
from tests.helpers.command_line import hwnas as hwnas
from tests.helpers.hand_made_pairs import ESCALATED, synthetic_samples, write_pairs

SAMPLES = 60


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder)
    inputs = synthetic_samples()[:SAMPLES]
    client = Client(None, folder / "edge" / "edge")
    labels = np.array([client.compute(sample).outputs.argmax() for sample in inputs])
    labels[: SAMPLES // 4] = (labels[: SAMPLES // 4] + 1) % 10
    np.savez(folder / "data.npz", inputs=inputs, targets=labels)
    np.savez(folder / "short.npz", inputs=inputs[1:], targets=labels)
    np.savez(folder / "other.npz", inputs=inputs[:, :, 1:], targets=labels)
    return folder


def verified(folder: Path, data: Path, **options: Any) -> Verification:
    (result,) = pipeline.verify(folder, data=data, **options)
    return result


@pytest.mark.parametrize("name", ["edge", "cloud", "split-fp32", "split-int8", "cascade"])
def test_a_deployments_accuracy_is_that_of_its_sides_in_turn(pairs: Path, name: str) -> None:
    result = verified(pairs / name, pairs / "data.npz")
    assert result.ok, result.findings
    (numbers,) = result.measured["quality"].values()
    assert numbers["samples"] == SAMPLES
    sent = {"edge": 0.0, "cascade": ESCALATED}.get(name, 1.0)
    assert numbers["escalated"] == pytest.approx(sent, abs=0.15)
    if name in ("edge", "cloud", "cascade"):  # the same weights on either side
        assert numbers["value"] == pytest.approx(0.75, abs=0.02)


def test_a_side_that_is_not_here_and_data_that_do_not_fit_are_findings(pairs: Path) -> None:
    for folder, data in (("cascade/cloud", "data"), ("cascade", "short"), ("cascade", "other")):
        result = verified(pairs / folder, pairs / f"{data}.npz")
        assert "quality_not_compared" in {one.kind for one in result.findings}


@pytest.mark.parametrize(
    "option", [["--against", "x"], ["--key", "x"], ["--host", "pi@board"], ["--scenario", "offline"]], ids=" ".join
)
def test_options_of_bundles_are_refused(pairs: Path, option: list[str], hwnas: Call) -> None:
    done = hwnas("verify", str(pairs / "cascade"), *option)
    assert done.code == 2
    assert f"is a deployment, for which there is no {option[0]}" in done.err


def test_a_deployment_is_not_signed(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a deployment, which is not signed"):
        pipeline.sign(pairs / "cascade", tmp_path / "key.pem")
