"""Statistics of sub-networks on the disk: the same as computed ones, bounded, and never in the way."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from torch.testing import assert_close

from hwnas.data import load_data
from hwnas.network import Network, lower
from hwnas.space import parse_space
from hwnas.supernet import Supernet, calibration_inputs, extract_recalibrated
from hwnas.supernet import batchnorm_cache as statistics_kept
from hwnas.supernet.batchnorm_cache import BatchNormCache
from tests.helpers.training import RAW

SPACE = parse_space(RAW, where="tiny.yaml")
SUPERNET = Supernet(SPACE, seed=1)
DATA = load_data({"name": "digits", "limit": 200}, seed=0).without_test()
IMAGES = calibration_inputs(DATA, count=2, batch_size=64, seed=0)
NETWORKS = [lower(SPACE, architecture) for architecture in (SPACE.smallest(), SPACE.largest())]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each network whose statistics are computed."""
    seen: list[int] = []
    real = statistics_kept.recalibrate
    monkeypatch.setattr(statistics_kept, "recalibrate", lambda *args: (seen.append(1), real(*args))[1])
    return seen


@pytest.mark.parametrize("network", NETWORKS, ids=["smallest", "largest"])
def test_what_is_read_equals_what_is_computed(tmp_path: Path, calls: list[int], network: Network) -> None:
    for _ in range(2):
        found = BatchNormCache(tmp_path, "a").extract_recalibrated(SUPERNET, network, IMAGES)
        assert not found.training
        assert_close(found.state_dict(), extract_recalibrated(SUPERNET, network, IMAGES).state_dict(), rtol=0, atol=0)
    assert len(calls) == 1


def test_other_weights_or_images_have_statistics_of_their_own(tmp_path: Path, calls: list[int]) -> None:
    for made_by in ("weights=a", "weights=b", "weights=a"):
        BatchNormCache(tmp_path, made_by).extract_recalibrated(SUPERNET, NETWORKS[0], IMAGES)
    assert len(calls) == 2


def test_a_damaged_file_is_computed_anew(tmp_path: Path, calls: list[int]) -> None:
    kept = BatchNormCache(tmp_path, "a")
    kept.extract_recalibrated(SUPERNET, NETWORKS[0], IMAGES)
    kept.path(NETWORKS[0]).write_bytes(b"PK nonsense")
    again = kept.extract_recalibrated(SUPERNET, NETWORKS[0], IMAGES)
    assert_close(again.state_dict(), extract_recalibrated(SUPERNET, NETWORKS[0], IMAGES).state_dict(), rtol=0, atol=0)
    assert len(calls) == 2
    kept.extract_recalibrated(SUPERNET, NETWORKS[0], IMAGES)
    assert len(calls) == 2


def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path: Path, calls: list[int]) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        BatchNormCache(tmp_path / "file", "a").extract_recalibrated(SUPERNET, NETWORKS[0], IMAGES)
    assert len(calls) == 2


def test_those_that_were_asked_for_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_kept, "MAX_CACHED", 2)
    rng, kept = random.Random(0), BatchNormCache(tmp_path, "a")
    networks = list({lower(SPACE, SPACE.random(rng)) for _ in range(20)})[:4]
    for network in networks:
        kept.extract_recalibrated(SUPERNET, network, IMAGES)
    assert [kept.path(network).exists() for network in networks] == [False, False, True, True]
