"""`hwnas quantize --host`: files are timed on a board, which is this machine by ssh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.boards.host import open_host
from hwnas.errors import ConfigError, HostAway, RunError
from hwnas.measure.timing import Timing
from hwnas.quantization.on_board import Board
from tests.helpers.command_line import Call
from tests.helpers.deployments import write_layers
from tests.helpers.sshd import SSHD, Server, running_server

pytestmark = pytest.mark.skipif(SSHD is None, reason="there is no OpenSSH server")
QUICK = Timing(rounds=6, processes=2, warm_up_ms=0, min_sample_ms=0.2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantize") / "net.onnx"
    write_layers(path, (3, 12, 12))
    return path


def test_files_are_timed_there_and_nothing_stays(server: Server, network: Path) -> None:
    board = Board(open_host("board", ssh_config=server.ssh_config), sys.executable)
    result = pipeline.quantize(network, timing=QUICK, board=board)
    assert [one.name for one in result.files] == ["fp32", "u8s8", "s8s8"]
    assert all(0 < one.low_ms <= one.median_ms for one in result.files)
    assert result.setup["runtime"] == "onnxruntime"
    assert not result.operators
    assert any("timed on board" in notice for notice in result.notices)
    assert not list((server.home / ".cache" / "hwnas").glob("quantize-*"))


def test_the_command_reaches_the_board_as_it_is_told(
    hwnas: Call, server: Server, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = []

    def quantize(*_: object, board: Board, **__: object) -> None:
        boards.append(board)
        raise ConfigError("seen", where="here", allowed="nothing", do="Stop")

    monkeypatch.setattr(pipeline, "quantize", quantize)
    options = "--host", "board", "--python", "python3.9", "--ssh-config", str(server.ssh_config)
    assert "seen" in hwnas("quantize", str(network), *options).err
    [board] = boards
    assert (board.python, board.host) == ("python3.9", open_host("board", ssh_config=server.ssh_config))


@pytest.mark.parametrize("command", ["quantize", "verify"])
@pytest.mark.parametrize("option", ["--python", "--ssh-config"])
def test_how_a_board_is_reached_says_nothing_without_one(hwnas: Call, network: Path, command: str, option: str) -> None:
    done = hwnas(command, str(network), option, "there")
    assert (done.code, done.parts) == (2, ["error", "where", "allowed", "next"])
    assert f"`{option}` is given without --host" in done.err
    assert "Add --host, or leave it out" in done.err


def test_a_board_that_cannot_time_says_why_and_keeps_nothing(server: Server, network: Path, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # without packages
    bare.chmod(0o755)
    host = open_host("board", ssh_config=server.ssh_config)
    with pytest.raises(RunError, match="cannot be timed there") as raised:
        pipeline.quantize(network, timing=QUICK, board=Board(host, str(bare)))
    assert raised.value.where == "board"
    assert not list((server.home / ".cache" / "hwnas").glob("quantize-*"))
    with pytest.raises(HostAway) as away:
        pipeline.quantize(network, timing=QUICK, board=Board(host, "no-such-python"))
    assert "`no-such-python --version`" in away.value.do
    assert not list((server.home / ".cache" / "hwnas").glob("quantize-*"))
