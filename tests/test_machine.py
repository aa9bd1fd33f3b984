"""Set-ups that ask for more than this machine has are refused before its lock is taken; wishes for others are told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hwnas import pipeline
from hwnas.config import SetupConfig, parse_setup
from hwnas.errors import ConfigError
from hwnas.network import lower, operators_of
from hwnas.space import read_space
from hwnas.workspace.measuring import machine_limits as machine
from hwnas.workspace.measuring import setups as timing
from hwnas.workspace.measuring.machine_limits import check_batch, check_threads, unusual
from tests.helpers.tiny import SPACES

DIGITS = read_space(SPACES["digits"])
NETWORKS = [lower(DIGITS, DIGITS.largest())]


def setup(**changes: Any) -> SetupConfig:
    return parse_setup({"runtime": "onnxruntime", **changes}, where="set-up")


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processors, 64 MB of memory."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(machine, "free_bytes", lambda: iter([64_000_000]))


def test_threads_are_as_many_as_processors_at_most() -> None:
    check_threads(setup(threads=4))
    with pytest.raises(ConfigError, match=r"`threads` is 5. This machine has 4 processors.*Use 4 or fewer"):
        check_threads(setup(threads=5))
    check_threads(setup(threads=64, host="pi@board"))


def test_a_batch_fits_into_the_memory_that_is_left() -> None:
    operators = list(operators_of(DIGITS))
    check_batch(setup(batch=16), operators, NETWORKS)
    for networks in (NETWORKS, []):
        with pytest.raises(
            ConfigError, match=r"`batch` is 60,000.*0.064 GB of memory are left.*Use a batch of [0-9,]+ or"
        ):
            check_batch(setup(batch=60_000), operators, networks)
    check_batch(setup(batch=60_000, host="pi@board"), operators, NETWORKS)


def test_the_batch_that_is_named_instead_fits() -> None:
    with pytest.raises(ConfigError) as caught:
        check_batch(setup(batch=60_000), [], NETWORKS)
    most = int(caught.value.do.split()[4].replace(",", ""))
    check_batch(setup(batch=most), [], NETWORKS)
    with pytest.raises(ConfigError):
        check_batch(setup(batch=most + 1), [], NETWORKS)


@pytest.mark.parametrize("asked", [{"threads": 5}, {"batch": 60_000}], ids=str)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_too_much_is_refused_before_anything_is_timed(
    asked: dict[str, int], dry_run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "build_table", lambda *a, **k: pytest.fail("it was timed"))
    with pytest.raises(ConfigError, match=f"`{next(iter(asked))}` is"):
        pipeline.bench_space(
            "digits", runtime="onnxruntime", **asked, table=tmp_path / "t.jsonl", validation_networks=1, dry_run=dry_run
        )
    assert not (tmp_path / "t.jsonl").exists()


def test_no_device_has_so_many(tmp_path: Path) -> None:
    for asked in ({"threads": 5000}, {"batch": 1_000_000}):
        with pytest.raises(ConfigError, match="less than or equal to"):
            setup(**asked)


def test_what_another_machine_is_asked_for_is_said() -> None:
    assert unusual("x", setup(threads=500)) == []
    (line,) = unusual("x", setup(threads=500, host="pi@board"))
    assert "`threads` is 500" in line
    assert "pi@board" in line
