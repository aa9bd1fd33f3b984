"""The command line: help, one JSON document, exit codes, errors in four parts."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from hwnas import __version__, cli
from hwnas.config import read_experiment
from hwnas.errors import RunError
from hwnas.network import costs, lower
from hwnas.pipeline.narrate import Bar
from hwnas.shipped import shipped_names
from hwnas.space import read_space
from hwnas.terminal import Terminal, show_error

COMMANDS = sorted(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def parts(self) -> list[str]:
        """What the four lines of an error begin with."""
        return [line.split(":")[0].strip() for line in self.err.splitlines()]


Call = Callable[..., Done]


@pytest.fixture
def hwnas(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """The command line, called in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["hwnas", *arguments])
        capfd.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return Done(code, *capfd.readouterr())

    return call


SPACE = """\
name: tiny
source: "made for a test [of brackets]"
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 8]}
  - {name: head, op: classifier}
"""
EXPERIMENT = """\
name: tiny
space: space.yaml
data: digits
setups: {cpu: {runtime: onnxruntime}}
tiers: {edge: {setup: cpu}}
"""


def written(tmp_path: Path, **changes: str) -> str:
    (tmp_path / "space.yaml").write_text(SPACE)
    text = EXPERIMENT
    for old, new in changes.items():
        text = text.replace(old, new)
    (tmp_path / "tiny.yaml").write_text(text)
    return "tiny.yaml"


# --- help ---


def test_the_commands_are_those_that_were_promised() -> None:
    assert {"init", "run", "train", "bench", "search", "export", "report", "cost", "show"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, hwnas: Call) -> None:
    done = hwnas(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: hwnas {command}" in done.out
    assert "--json" in done.out


def test_help_lists_every_command(hwnas: Call) -> None:
    done = hwnas("--help")
    assert done.code == 0
    assert all(command in done.out for command in COMMANDS)
    assert hwnas("--version").out.strip() == __version__


# --- JSON ---


def test_cost_prints_one_document(hwnas: Call, repository: Path) -> None:
    done = hwnas("cost", "digits", "--architecture", "random:3", "--json")
    found = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    space = read_space(repository / "search_spaces" / "digits.yaml")
    from hwnas.pipeline.costs import pick_architecture

    network = lower(space, pick_architecture(space, "random:3"))
    assert (found["params"], found["macs"]) == (costs(network).params, costs(network).macs)
    assert [operator["op"] for operator in found["operators"]] == [op.kind for op in network.operators]
    assert sum(operator["params"] for operator in found["operators"]) == found["params"]
    assert sum(operator["macs"] for operator in found["operators"]) == found["macs"]
    assert found["activation_bytes"] == max(operator["activation_bytes"] for operator in found["operators"])


def test_an_architecture_goes_through_a_file(hwnas: Call, tmp_path: Path) -> None:
    first = json.loads(hwnas("cost", "digits", "--architecture", "random:5", "--json").out)
    for content in (first, first["architecture"]):
        (tmp_path / "one.json").write_text(json.dumps(content))
        assert json.loads(hwnas("cost", "digits", "--architecture", "one.json", "--json").out) == first


def test_show_prints_one_document(hwnas: Call) -> None:
    found = json.loads(hwnas("show", "digits", "--json").out)
    assert found["architectures"] > 1000
    assert found["smallest"]["params"] < found["largest"]["params"]
    assert {choice["name"] for choice in found["choices"]} >= {"stem.width", "s1.depth"}


def test_init_writes_an_experiment_that_is_read(hwnas: Call, tmp_path: Path) -> None:
    found = json.loads(hwnas("init", "mine", "--json").out)
    assert sorted(Path(path).name for path in found["written"]) == ["README.md", "digits.yaml", "quickstart.yaml"]
    experiment = read_experiment(tmp_path / "mine" / "quickstart.yaml")
    assert experiment.tiers
    assert read_space(tmp_path / "mine" / f"{experiment.space}.yaml").count > 1
    again = hwnas("init", "mine")
    assert (again.code, again.parts) == (2, ["error", "where", "allowed", "next"])


def test_a_dry_run_counts_and_writes_nothing(hwnas: Call, tmp_path: Path) -> None:
    for target in ([written(tmp_path)], ["space.yaml", "--runtime", "onnxruntime"]):
        before = sorted(tmp_path.rglob("*"))
        (found,) = json.loads(hwnas("bench", *target, "--dry-run", "--json").out)
        assert (found["rows"], found["checks"], found["missing"]) == (0, 0, 4)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_space_is_timed_into_a_table_that_prices_networks(hwnas: Call, tmp_path: Path) -> None:
    written(tmp_path)
    done = hwnas("bench", "space.yaml", "--runtime", "onnxruntime", "--json")
    (found,) = json.loads(done.out)
    assert (done.code, found["rows"], found["missing"]) == (0, 4, 0)
    assert found["table"] == "latency_tables/space-onnxruntime-fp32-1t.jsonl"
    table = (tmp_path / found["table"]).read_bytes()
    assert hwnas("bench", "space.yaml", "--runtime", "onnxruntime").code == 0
    assert (tmp_path / found["table"]).read_bytes() == table, "nothing is measured twice"
    priced = json.loads(hwnas("cost", "space.yaml", "--table", found["table"], "--json").out)
    assert priced["low_ms"] <= priced["latency_ms"] <= priced["high_ms"]
    lacking = hwnas("cost", "digits", "--table", found["table"])
    assert (lacking.code, lacking.out, lacking.parts) == (1, "", ["error", "where", "allowed", "next"])


# --- for people ---


def test_costs_read_well(hwnas: Call, tmp_path: Path) -> None:
    written(tmp_path)
    shown = hwnas("show", "space.yaml").out
    assert "made for a test [of brackets]" in shown
    assert "2 architectures, 1 choice\n" in shown
    for text in (shown, hwnas("cost", "space.yaml").out):
        assert "MACs MACs" not in text
        assert "parameters" in text
        assert "…" not in text


def test_a_reader_that_leaves_early_is_no_failure(repository: Path) -> None:
    command = ["bash", "-c", f'"{sys.executable}" -m hwnas.cli show digits | head -1']
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("digits")
    assert "Traceback" not in done.stderr


# --- exit codes and errors ---

REFUSED: dict[str, tuple[Sequence[str], int, str]] = {
    "unknown space": (["cost", "digit"], 2, "Did you mean `digits`?"),
    "unknown experiment": (["run", "quickstrt"], 2, "Did you mean `quickstart`?"),
    "no architecture": (["cost", "digits", "--architecture", "nonsense"], 2, "largest, smallest, random:SEED"),
    "no seed": (["cost", "digits", "--architecture", "random:\N{SUPERSCRIPT TWO}"], 2, "largest, smallest"),
    "a folder for a file": (["cost", "digits", "--architecture", "."], 2, "largest, smallest"),
    "a folder for a space": (["show", "."], 2, "there is no file `.`"),
    "no table": (["cost", "digits", "--table", "none.jsonl"], 2, "there is no file `none.jsonl`"),
    "a folder for a table": (["cost", "digits", "--table", "."], 2, "there is no file `.`"),
    "unknown runtime": (["bench", "digits", "--runtime", "onxruntime"], 2, "Did you mean `onnxruntime`?"),
    "set-up without runtime": (["bench", "digits", "--threads", "2"], 2, "Add --runtime, or leave out --threads"),
    "a function that is not named": (["show", "net.py"], 2, "Write `net.py:FUNCTION`"),
    "a function that is not there": (["show", "net.py:nte"], 2, "has no attribute 'nte'"),
    "no function": (["show", "net.py:json"], 2, "`json` is module, which cannot be called"),
    "a function that raises": (["show", "net.py:net"], 2, "net.py:4"),
    "a file that raises": (["show", "boom.py:net"], 2, "the file raised ZeroDivisionError"),
    "no YAML": (["run", "bytes.yaml"], 2, "the file cannot be read"),
    "an empty file": (["run", "empty.yaml"], 2, "the file is empty"),
    "an empty space": (["show", "empty.yaml"], 2, "the file is empty"),
    "many architectures": (["cost", "digits", "--architecture", "list.json"], 2, "the file holds a list"),
    "another space's": (["cost", "digits", "--architecture", "other.json"], 2, "the architecture is of space `x`"),
    "no JSON": (["cost", "digits", "--architecture", "empty.yaml"], 2, "the file is no JSON"),
    "not trained": (["search", "tiny.yaml"], 1, "hwnas bench"),
    "not searched": (["export", "tiny.yaml"], 1, "there is no checkpoint"),
    "no front": (["show", "runs/tiny"], 1, "no front can be read here"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_error_has_four_parts_on_standard_error(case: str, hwnas: Call, tmp_path: Path) -> None:
    arguments, code, words = REFUSED[case]
    written(tmp_path)
    (tmp_path / "net.py").write_text("import json\n\ndef net(choose):\n    return {}['x']\n")
    (tmp_path / "boom.py").write_text("1 / 0\n")
    (tmp_path / "bytes.yaml").write_bytes(b"name: \xff\xfe\n")
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "other.json").write_text('{"space": "x", "picks": {}}')
    if "runs/tiny" in arguments:
        (tmp_path / "runs" / "tiny").mkdir(parents=True)
        (tmp_path / "runs" / "tiny" / "experiment.yaml").write_text(EXPERIMENT)
        (tmp_path / "runs" / "tiny" / "space.yaml").write_text(SPACE)
    done = hwnas(*arguments)
    assert (done.code, done.out) == (code, "")
    assert done.parts == ["error", "where", "allowed", "next"]
    assert words in done.err


CHANGES: dict[str, tuple[str, str, str]] = {
    "a misspelt key": ("tiers:", "tires:", "Did you mean `tiers`?"),
    "a misspelt set-up": ("setup: cpu", "setup: cpo", "Did you mean `cpu`?"),
    "a misspelt augmentation": ("data: digits", "data: digits\ntrain: {augment: shfit}", "Did you mean `shift`?"),
    "unknown data": ("data: digits", "data: digts", "Did you mean `digits`?"),
    "missing data": ("data: digits", "data: {name: cifar10, path: nowhere.npz}", "Looked for"),
    "a device that is not there": ("data: digits", "data: digits\ndevice: cuda:99", "PyTorch finds"),
    "a key twice": ("data: digits", "data: digits\ndata: digits", "stands here twice"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_bad_experiment_is_refused_before_any_work(case: str, hwnas: Call, tmp_path: Path) -> None:
    old, new, words = CHANGES[case]
    done = hwnas("train", written(tmp_path, **{old: new}))
    assert (done.code, done.out) == (2, "")
    assert done.parts == ["error", "where", "allowed", "next"]
    assert words in done.err


def test_cifar10_without_its_file_says_where_it_was_looked_for(
    hwnas: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HWNAS_DATA", raising=False)
    done = hwnas("run", written(tmp_path, digits="cifar10"))
    assert (done.code, done.out) == (2, "")
    assert "HWNAS_DATA" in done.err
    assert "Looked for" in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["run"], ["run", "a", "--trials", "0"], ["cost", "digits", "--colour"]], ids=" ".join
)
def test_bad_arguments_end_with_two(arguments: list[str], hwnas: Call) -> None:
    done = hwnas(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Usage: hwnas" in done.err


def test_what_the_system_refuses_is_told_without_a_traceback(hwnas: Call, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = hwnas("bench", "digits", "--runtime", "onnxruntime", "--table", "file/t.jsonl")
    assert (done.code, done.out) == (1, "")
    assert done.parts == ["error", "where", "allowed", "next"]


def test_ctrl_c_ends_with_130_and_says_that_it_continues(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-m", "hwnas.cli", "train", written(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"training the supernet")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert err.splitlines()[-1] == b"stopped; the same command continues"
    assert b"Traceback" not in err


# --- what is shown on the way ---


def test_errors_show_their_parts_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(RunError("[bold]met", where="a [where]", allowed="allowed", do="do this"))
    assert capsys.readouterr() == (
        "", "error: [bold]met\n  where:   a [where]\n  allowed: allowed\n  next:    do this\n",
    )  # fmt: skip


class Screen(io.StringIO):
    """A terminal, as far as anybody asks."""

    def isatty(self) -> bool:
        return True


def updates(bar: Bar) -> None:
    for done in range(11):
        bar.update(done, 10, f"[red]{done}[/] of [s1.kernel] {{x}}")


def test_a_bar_on_a_terminal_shows_brackets_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with Terminal().bar("timing [cpu] [/]") as bar:
        updates(bar)
    assert "[red]10[/] of [s1.kernel] {x}" in screen.getvalue()
    assert "timing [cpu] [/]" in screen.getvalue()


def test_a_bar_in_a_log_is_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().bar("timing") as bar:
        updates(bar)
        updates(bar)
        bar.update(0, 0, "nothing to do")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" %")[0] for line in lines] == [f"timing: {10 * tenth}" for tenth in range(11)]
    assert lines[3] == "timing: 30 % [red]3[/] of [s1.kernel] {x}"


def test_every_shipped_space_is_shown(hwnas: Call) -> None:
    for name in shipped_names("search_spaces"):
        done = hwnas("show", name)
        assert done.code == 0
        assert "architectures" in done.out
