"""Boards that are reached from here: by ssh, on a real OpenSSH server on loopback, and by adb, on a fake of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hwnas.boards.adb import Adb
from hwnas.boards.host import HOSTS, open_host
from hwnas.boards.session import BoardSession, ConnectionLost
from hwnas.boards.ssh import Ssh
from hwnas.config import TimingConfig, parse_setup
from hwnas.errors import ConfigError, RunError, TableError
from hwnas.measure.table import read_table
from hwnas.network import operators_of
from hwnas.pipeline import bench_hosts, run
from hwnas.workspace.measuring import remote_bench as boards_module
from hwnas.workspace.measuring.remote_bench import fill_on_hosts
from hwnas.workspace.measuring.setups import bench_request, measurement_protocol, table_of
from tests.helpers.kits import FAST, SPACE, run_kit, small_kit, spoil
from tests.helpers.spaces import SMALL
from tests.helpers.sshd import Server, running_server

QUICK = TimingConfig(warm_up_ms=0, min_sample_ms=0.01, rounds=3, processes=1, pin=False, validation_networks=1)


class Heard:
    """Hears what a verb tells, and may act on it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[str] = []
        self.on_update = lambda text: None

    def info(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def bar(self, title: str) -> Iterator[Heard]:
        yield self

    def update(self, done: float, total: float, text: str = "") -> None:
        self.shown.append(text)
        self.on_update(text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_kit(tmp_path_factory.mktemp("packed") / "kit.pyz").path


def board(server: Server, key: str, **changes: object) -> BoardSession:
    return BoardSession(open_host("board", ssh_config=server.ssh_config), key, **changes)  # type: ignore[arg-type]


def quiet(board: BoardSession, *arguments: str) -> dict[str, object]:
    return board.run(lambda done, planned, what: None, lambda text: None, arguments)


def config_with(server: Server, old: str, new: str) -> Path:
    """Another file for ssh, beside the server's own."""
    text = server.ssh_config.read_text()
    assert old in text
    path = server.ssh_config.with_name(f"ssh_config_{len(list(server.ssh_config.parent.iterdir()))}")
    path.write_text(text.replace(old, new))
    return path


def test_two_boards_fill_their_tables_at_once(server: Server, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SPACE)
    heard = Heard()
    found = bench_hosts(
        tmp_path / "small.yaml", ["board", "board2"], tmp_path / "t.jsonl", runtime="onnxruntime", timing=QUICK,
        ssh_config=server.ssh_config, reporter=heard,
    )  # fmt: skip
    assert [one.table.name for one in found] == ["t-board.jsonl", "t-board2.jsonl"]
    assert [(one.rows, one.checks) for one in found] == [(3, 1)] * 2
    assert any("looking at board2" in text for text in heard.shown)
    assert any(text.startswith("board: ") for text in heard.shown)
    table = read_table(found[0].table)
    assert table.overhead is not None
    assert table.spaces == {"small": str(tmp_path / "small.yaml")}
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".jsonl"] == ["small.yaml"]
    assert list((server.home / ".cache" / "hwnas").iterdir()) == []


def test_a_dropped_connection_costs_no_row_twice(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards_module, "RECONNECT_PAUSE_S", 0.0)
    heard, kept, space = Heard(), list[str](), SMALL["per layer"]

    def drop_once(text: str) -> None:
        tables = list(server.home.glob(".cache/hwnas/*/table.jsonl"))
        if not kept and tables and len(lines := tables[0].read_text().splitlines()) > 2:
            kept.extend(lines)
            server.drop()

    heard.on_update = drop_once
    config = parse_setup({"runtime": "onnxruntime", "host": "board", "ssh_config": server.ssh_config}, where="here")
    order = bench_request(config, tmp_path / "t.jsonl", list(operators_of(space)), [])
    timing = measurement_protocol(QUICK.model_copy(update={"files_per_session": 3}), 0)
    (table,) = fill_on_hosts([order], timing, tmp_path / "made", heard, "timing")
    assert len(kept) > 2
    assert [text for text in heard.said if "trying again" in text]
    assert (tmp_path / "t.jsonl").read_text().splitlines()[: len(kept)] == kept
    assert len(table.rows) == 9
    assert table_of(config, table.path).rows.keys() == table.rows.keys()


def test_what_a_failed_visit_left_on_the_board_is_fetched(server: Server, kit: Path, tmp_path: Path) -> None:
    there = board(server, "left")
    there.push_kit(kit)
    assert quiet(there) == {"rows": 9, "checks": 1}
    assert there.pull_table(tmp_path / "t.jsonl") == 12
    assert there.pull_table(tmp_path / "t.jsonl") == 0
    first = read_table(tmp_path / "t.jsonl")
    assert (len(first.rows), len(first.checks)) == (9, 1)
    there.cleanup()
    assert there.pull_table(tmp_path / "t.jsonl") == 0


def test_a_look_from_here_tells_the_board_s_set_up(server: Server, kit: Path) -> None:
    there = board(server, "look")
    there.push_kit(kit)
    found = quiet(there, "--dry-run")
    assert found["setup"]["runtime"] == "onnxruntime"  # type: ignore[index]
    assert "11 of 11 are missing" in str(found["what"])
    there.cleanup()


def test_a_wrong_key_is_told(server: Server) -> None:
    config = config_with(server, "user_key", "other_key")
    with pytest.raises(ConnectionLost, match="the host refuses the key") as caught:
        BoardSession(open_host("board", ssh_config=config), "x").pull_table(Path("t"))
    assert "ssh-copy-id board" in caught.value.do
    assert caught.value.lasting


def test_a_host_that_is_not_known_is_told(server: Server) -> None:
    (server.ssh_config.parent / "nothing_known").write_text("")
    config = config_with(server, "known_hosts", "nothing_known")
    with pytest.raises(ConnectionLost, match="the host's key is not known") as caught:
        BoardSession(open_host("board", ssh_config=config), "x").pull_table(Path("t"))
    assert "`ssh board`" in caught.value.do


def test_a_changed_host_key_is_told(server: Server) -> None:
    known = (server.ssh_config.parent / "known_hosts").read_text().split()
    other = (server.ssh_config.parent / "other_key.pub").read_text().split()
    (server.ssh_config.parent / "changed").write_text(f"{known[0]} {other[0]} {other[1]}\n")
    config = config_with(server, "known_hosts", "changed")
    with pytest.raises(ConnectionLost, match="the host's key is not the one that is known"):
        BoardSession(open_host("board", ssh_config=config), "x").pull_table(Path("t"))


def test_a_host_where_nobody_listens_is_told(server: Server) -> None:
    config = config_with(server, "  Port ", "  Port 1\n  Port ")
    with pytest.raises(ConnectionLost, match="nobody listens there"):
        BoardSession(open_host("board", ssh_config=config), "x").pull_table(Path("t"))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes on the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(("more", "met"), [(-20_000, "the kit has .* MB, .* MB are free"), (12_000, "MB are free")])
def test_a_full_disk_on_the_board_is_told(server: Server, kit: Path, tmp_path: Path, more: int, met: str) -> None:
    there = board(server, "full")

    def visit() -> None:
        there.push_kit(kit)
        quiet(there)

    with small_disk(server.home / there.folder, kit.stat().st_size + more):
        with pytest.raises(RunError, match=met) as error:
            visit()
        assert "Free the" in error.value.do
        assert error.value.where.startswith("board")


def test_a_missing_runtime_is_told_with_its_pip_command(server: Server, kit: Path) -> None:
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    subprocess.run([str(base), "-m", "venv", "--without-pip", str(server.home / "bare")], check=True)
    there = board(server, "bare", python="~/bare/bin/python")
    there.push_kit(kit)
    with pytest.raises(RunError, match="numpy cannot be imported") as caught:
        quiet(there)
    assert caught.value.where.startswith("board: Python 3")
    assert "pip install numpy onnxruntime" in caught.value.do


def test_a_kit_that_was_changed_on_the_board_is_refused(server: Server, kit: Path) -> None:
    there = board(server, "changed")
    there.push_kit(kit)
    brought = server.home / there.folder / "kit.pyz"
    spoil(kit, brought, lambda name, content: content + b"0" if name.endswith(".onnx") else content)
    with pytest.raises(RunError, match="the kit is damaged"):
        quiet(there)
    there.push_kit(kit)
    assert brought.read_bytes() == kit.read_bytes()
    there.cleanup()


def test_a_kit_that_does_not_arrive_whole_is_told(server: Server, kit: Path, tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(kit.read_bytes()[:1000])

    class Lossy(Ssh):
        def send(self, file: Path, remote: str) -> list[str]:
            return super().send(tmp_path / "half", remote)

    with pytest.raises(RunError, match="the kit that arrived is not the one that was sent"):
        BoardSession(Lossy("board", server.ssh_config), "lossy").push_kit(kit)


def test_words_for_the_board_are_data(server: Server) -> None:
    for python in ("python3; touch hacked", "$(touch hacked)", "-c", "--", "no python"):
        with pytest.raises(RunError):
            board(server, "words", python=python).pull_table(Path("t"))
    assert not list(server.home.rglob("hacked"))
    there = board(server, "a b; touch hacked $(touch hacked)")
    assert there.pull_table(Path("t")) == 0
    assert (server.home / there.folder).is_dir()
    assert not list(server.home.rglob("hacked"))


def test_a_board_without_python_is_told(server: Server) -> None:
    with pytest.raises(RunError, match="there is no `python9`") as caught:
        board(server, "x", python="python9").pull_table(Path("t"))
    assert "--python" in caught.value.do


@pytest.mark.parametrize(
    "name",
    ["", "-oProxyCommand=touch hacked", "pi@-oX", "a b", "a;b", "$(a)", "`a`", "a|b", "a&b", "a>b", "a\nb", "pi@b:22",
     "a/b", "adb:-x", "adb:a b", "ssh:"],
)  # fmt: skip
def test_what_is_no_host_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="names no host"):
        open_host(name)


def test_a_missing_file_for_ssh_is_input_and_no_broken_connection(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file `.*nothing` for ssh"):
        open_host("board", ssh_config=tmp_path / "nothing")


def test_hosts_are_told_apart() -> None:
    assert open_host("pi@raspberrypi") == Ssh("pi@raspberrypi")
    assert open_host("adb:emulator-5554") == Adb("emulator-5554")
    assert open_host("adb:192.168.1.5:5555").command(["ls"]) == ["adb", "-s", "192.168.1.5:5555", "shell", "-T", "ls"]
    assert open_host("adb:").command(["ls"]) == ["adb", "shell", "-T", "ls"]
    assert open_host("pi@fe80::1%eth0").send(Path("/a:b"), "c")[-2:] == ["/a:b", "pi@[fe80::1%eth0]:c"]
    assert open_host("pi").command(["a b", "$c"])[-3:] == ["--", "pi", "'a b' '$c'"]
    assert HOSTS.keys() == {"adb", "ssh"}


FAKE_ADB = """#!/bin/sh
[ "$1" = -s ] && { [ "$2" = PHONE ] || { echo "error: device '$2' not found" >&2; exit 1; }; shift 2; }
case "$1" in
  shell) shift 2; exec sh -c "$1" ;;
  push) cp "$2" "$3" ;;
  pull) cp "$2" "$3" ;;
esac
"""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `adb` that runs everything here, and a folder for what is kept on the phone."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "adb").write_text(FAKE_ADB)
    (tmp_path / "bin" / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(Adb, "folder", str(tmp_path / "phone"))
    return tmp_path / "phone"


def test_a_phone_fills_a_table(phone: Path, kit: Path, tmp_path: Path) -> None:
    there = BoardSession(open_host("adb:PHONE"), "key", python=sys.executable)
    there.push_kit(kit)
    assert (phone / "key" / "kit.pyz").read_bytes() == kit.read_bytes()
    assert quiet(there) == {"rows": 9, "checks": 1}
    assert there.pull_table(tmp_path / "t.jsonl") == 12
    there.cleanup()
    assert not (phone / "key").exists()


def test_a_phone_that_is_not_there_or_has_no_python_is_told(phone: Path) -> None:
    with pytest.raises(ConnectionLost, match="no phone of this serial number") as caught:
        BoardSession(open_host("adb:OTHER"), "key").pull_table(Path("t"))
    assert caught.value.lasting
    with pytest.raises(RunError, match="there is no `nopython`") as without:
        BoardSession(open_host("adb:PHONE"), "key", python="nopython").pull_table(Path("t"))
    assert "Termux" in without.value.do


def test_a_missing_program_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="there is no `adb` here"):
        BoardSession(open_host("adb:"), "key").pull_table(Path("t"))


def test_a_table_of_another_set_up_is_refused_before_a_board_is_asked(tmp_path: Path, kit: Path) -> None:
    shutil.copy(kit, tmp_path / "kit.pyz")
    run_kit(tmp_path / "kit.pyz", "--threads", "2", "--out", "t.jsonl")
    config = parse_setup({"runtime": "onnxruntime", "host": "nowhere.invalid"}, where="here")
    with pytest.raises(TableError, match="threads: 2 / 1"):
        fill_on_hosts([bench_request(config, tmp_path / "t.jsonl", [], [])], FAST, tmp_path, Heard(), "timing")
    assert table_of(config.model_copy(update={"threads": 2}), tmp_path / "t.jsonl").rows


def test_emulated_times_are_no_timings_of_a_board(tmp_path: Path, kit: Path) -> None:
    shutil.copy(kit, tmp_path / "kit.pyz")
    run_kit(tmp_path / "kit.pyz", "--out", "t.jsonl", HWNAS_EMULATED="1")
    config = parse_setup({"runtime": "onnxruntime", "host": "pi"}, where="here")
    with pytest.raises(TableError, match="made under emulation"):
        table_of(config, tmp_path / "t.jsonl")


EXPERIMENT = """name: on_a_board
space: small.yaml
data: digits
train: {epochs: 1}
setups:
  pi: {runtime: onnxruntime, host: board, ssh_config: SSH_CONFIG, device: Pi}
tiers:
  edge: {setup: pi}
search: {trials: 4, population: 2}
timing: {warm_up_ms: 0, min_sample_ms: 0.01, rounds: 3, processes: 1, pin: no, validation_networks: 1}
export: {formats: [onnx], picks: [best]}
"""


@pytest.mark.slow
def test_an_experiment_searches_with_a_board_s_table_and_times_its_front_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(
        SPACE.replace("channels: 3", "channels: 1").replace("classes: 4", "classes: 10")
    )
    (tmp_path / "e.yaml").write_text(EXPERIMENT.replace("SSH_CONFIG", str(server.ssh_config)))
    heard = Heard()
    outcome = run("e.yaml", reporter=heard)
    assert any(text.startswith("board: ") for text in heard.shown)
    latency = outcome.folder / "latency"
    assert {read_table(latency / name).setup.device for name in ("pi.jsonl", "pi-front.jsonl")} == {"Pi"}
    assert all(point.measured["latency_ms@pi"] > 0 for point in outcome.tiers[0].front)
    manifest = json.loads(outcome.manifests[0].read_text())
    assert manifest["setup"]["device"] == "Pi"
    assert "at the desk and not on the board" in manifest["models"][0]["files"][0]["runtime"]
