"""A bundle checked on a board, which is this machine by ssh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.boards.host import open_host
from hwnas.errors import HostAway, RunError
from hwnas.verify import remote
from tests.helpers.hand_made_bundles import FILE, raw_inputs, targets, write_bundle, write_data
from tests.helpers.sshd import SSHD, Server, running_server

pytestmark = pytest.mark.skipif(SSHD is None, reason="there is no OpenSSH server")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def test_a_board_runs_the_bundle_and_keeps_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "TIMING_SECONDS", "0.05")
    bundle, inputs = write_bundle(tmp_path / "edge"), raw_inputs()
    data = write_data(tmp_path / "data.npz", inputs, targets(inputs))
    host = open_host("board", ssh_config=server.ssh_config)
    (result,) = pipeline.verify(bundle, host=host, python=sys.executable, data=data)
    assert result.ok, result.findings
    assert result.measured["selftest"][FILE]["ok"]
    assert result.measured["quality"][FILE]["value"] == pytest.approx(0.75)
    assert result.measured["latency"][FILE]["calls"] >= 5
    assert not list((server.home / ".cache" / "hwnas").glob("verify-*"))


def test_a_board_without_the_runtime_says_so(server: Server, tmp_path: Path) -> None:
    host = open_host("board", ssh_config=server.ssh_config)
    with pytest.raises((RunError, HostAway)) as raised:
        pipeline.verify(write_bundle(tmp_path / "edge"), host=host, python="no-such-python")
    assert "board" in raised.value.where
