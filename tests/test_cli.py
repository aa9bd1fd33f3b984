"""The command line: help, one JSON document, exit codes, errors in four parts."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer.main

from hwnas import __version__, cli
from hwnas.config import read_experiment
from hwnas.console import Terminal, show_error
from hwnas.errors import RunError
from hwnas.io.resources import shipped_names
from hwnas.measure.table_lines import without_seals
from hwnas.network import costs, lower
from hwnas.space import read_space
from hwnas.words import counted
from hwnas.workspace.progress import Bar, LateBar
from tests.helpers.command_line import EXPERIMENT, SPACE, Call, written

COMMANDS = sorted(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


# --- help ---

SERVERS = ("serve-storage", "dashboard", "serve")
"""What runs until Ctrl-C has no result to print."""


def test_the_commands_are_those_that_were_promised() -> None:
    assert {"init", "run", "train", "bench", "search", "export", "report", "cost", "show"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, hwnas: Call) -> None:
    done = hwnas(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: hwnas {command}" in done.out
    assert "--json" in done.out or command in SERVERS


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
    from hwnas.workspace.architectures import pick_architecture

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


def test_a_run_that_is_not_there_is_looked_for_among_runs(hwnas: Call, tmp_path: Path) -> None:
    (tmp_path / "runs" / "watch").mkdir(parents=True)
    (tmp_path / "runs" / "watch" / "experiment.yaml").touch()
    done = hwnas("show", "runs/wach")
    assert (done.code, done.parts) == (2, ["error", "where", "allowed", "next"])
    assert "there is no run `runs/wach`" in done.err
    assert "Did you mean `watch`" in done.err


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
    parts = priced["operators"]
    assert sum(part["ms"] for part in parts) == pytest.approx(priced["latency_ms"], rel=1e-9)
    assert all(part["low_ms"] <= part["ms"] <= part["high_ms"] and not part["estimated"] for part in parts)
    shown = hwnas("cost", "space.yaml", "--table", found["table"]).out
    assert "overhead" in shown
    assert "1 thread · fp32 · batch 1" in shown
    lacking = hwnas("cost", "digits", "--table", found["table"])
    assert (lacking.code, lacking.out, lacking.parts) == (1, "", ["error", "where", "allowed", "next"])


# --- tables as files ---

BLOCK = "expanded_conv-input:{0}x{0}x{1}-output:{2}x{2}x{3}-expand:{4}-kernel:{5}-stride:{6}-idskip:{7}-se:{8}-hs:{9}"


def smallest_of_once_for_all() -> dict[str, float]:
    """The keys of the smallest network at 192, each with a mean; written down by hand, layer by layer."""
    blocks = [
        (96, 16, 96, 16, 16, 3, 1, 1, 0, 0),
        (96, 16, 48, 24, 48, 3, 2, 0, 0, 0), (48, 24, 48, 24, 72, 3, 1, 1, 0, 0),
        (48, 24, 24, 40, 72, 3, 2, 0, 1, 0), (24, 40, 24, 40, 120, 3, 1, 1, 1, 0),
        (24, 40, 12, 80, 120, 3, 2, 0, 0, 1), (12, 80, 12, 80, 240, 3, 1, 1, 0, 1),
        (12, 80, 12, 112, 240, 3, 1, 0, 1, 1), (12, 112, 12, 112, 336, 3, 1, 1, 1, 1),
        (12, 112, 6, 160, 336, 3, 2, 0, 1, 1), (6, 160, 6, 160, 480, 3, 1, 1, 1, 1),
    ]  # fmt: skip
    ends = [
        "Conv-input:192x192x3-output:96x96x16", "Conv_1-input:6x6x160-output:6x6x960",
        "AvgPool2D-input:6x6x960-output:1x1x960", "Conv_2-input:1x1x960-output:1x1x1280",
        "Logits-input:1x1x1280-output:1000",
    ]  # fmt: skip
    keys = [*(BLOCK.format(*sizes) for sizes in blocks), *ends]
    return {key: 0.1 + 0.7 ** (number + 1) for number, key in enumerate(keys)}


def test_a_published_table_prices_a_network_as_its_authors_do(hwnas: Call, tmp_path: Path) -> None:
    means = smallest_of_once_for_all()
    lines = [f"{key}: {{count: 50, mean: {mean!r}}}\n" for key, mean in reversed(means.items())]
    (tmp_path / "192_lookup_table.yaml").write_text("".join(lines))
    done = hwnas("bench", "import", "--format", "ofa", "192_lookup_table.yaml", "-o", "T", "--json")
    found = json.loads(done.out)
    assert (done.code, done.err, found["notices"], found["origin"]["kind"]) == (0, "", [], "published")
    picks = {"resolution": 192}
    for stage in range(1, 6):
        picks[f"s{stage}.depth"] = 2
        picks |= {f"s{stage}.{layer}.{knob}": 3 for layer in (1, 2) for knob in ("kernel", "expand")}
    (tmp_path / "arch.json").write_text(json.dumps({"space": "ofa_mobilenet_v3_w1_0", "picks": picks}))
    done = hwnas("cost", "ofa_mobilenet_v3_w1.0", "--architecture", "arch.json", "--table", "T", "--json")
    assert json.loads(done.out)["latency_ms"] == pytest.approx(sum(means.values()), abs=1e-9)


def test_lint_merge_and_import_are_commands_and_all_else_is_timed(hwnas: Call, tmp_path: Path) -> None:
    text = hwnas("bench", "--help").out
    assert all(word in text for word in ("EXPERIMENT|SPACE", "--runtime", "lint", "merge", "import"))
    for command in ("pack", "lint", "merge", "import"):
        done = hwnas("bench", command, "--help")
        assert (done.code, f"Usage: hwnas bench {command}" in done.out, "--json" in done.out) == (0, True, True)
    written(tmp_path)
    for place in ("lint", "merge.yaml", "import.yaml"):
        (tmp_path / place).write_text(SPACE)
        options = ["--runtime", "onnxruntime", "--dry-run", "--json"]
        for arguments in ([f"./{place}", *options], [*options, f"./{place}"]):
            assert json.loads(hwnas("bench", *arguments).out)[0]["missing"] == 4


def test_lint_exits_with_1_when_there_are_errors(hwnas: Call, tmp_path: Path, repository: Path) -> None:
    lines = (repository / "latency_tables" / "xeon_tflite_fp32_1t.jsonl").read_text().splitlines()
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    clean = hwnas("bench", "lint", "a.jsonl", "--json")
    found = json.loads(clean.out)
    assert (clean.code, found["errors"]) == (0, 0)
    lines[3] = lines[3].replace('"rounds_ns": [', '"rounds_ns": [-')
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    (error,) = (one for one in json.loads(hwnas("bench", "lint", "a.jsonl", "--json").out)["findings"]
                if one["severity"] == "error")  # fmt: skip
    assert (error["rule"], error["where"]) == ("no-duration", "a.jsonl:4")
    shown = hwnas("bench", "lint", "a.jsonl")
    assert (shown.code, "a.jsonl:4: error: " in shown.out, "1 error, " in shown.out) == (1, True, True)


def test_merge_says_what_it_did(hwnas: Call, tmp_path: Path, repository: Path) -> None:
    table = (repository / "latency_tables" / "xeon_tflite_fp32_1t.jsonl").read_text()
    lines = table.splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_text("".join(lines[:9]))
    (tmp_path / "b.jsonl").write_text("".join([lines[0], *lines[7:12]]))
    done = hwnas("bench", "merge", "a.jsonl", "b.jsonl", "-o", "c.jsonl", "--json")
    found = json.loads(done.out)
    assert (done.code, found["alike"], found["again"]) == (0, 2, 0)
    unsealed = without_seals((tmp_path / "c.jsonl").read_bytes()).decode()
    assert unsealed.splitlines()[1:] == [line.rstrip() for line in lines[1:12]]
    assert hwnas("bench", "merge", "a.jsonl", "b.jsonl", "-o", "c.jsonl").code == 1
    (tmp_path / "b.jsonl").write_text(lines[0].replace('"threads": 1', '"threads": 2'))
    refused = hwnas("bench", "merge", "a.jsonl", "b.jsonl", "-o", "d.jsonl")
    assert (refused.code, "threads: 1 / 2" in refused.err) == (1, True)


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


def test_one_of_a_thing_is_no_plural() -> None:
    assert [counted(count, "error") for count in (0, 1, 2)] == ["0 errors", "1 error", "2 errors"]


# --- exit codes and errors ---

REFUSED: dict[str, tuple[Sequence[str], int, str]] = {
    "unknown space": (["cost", "digit"], 2, "Did you mean `digits`?"),
    "unknown experiment": (["run", "quickstrt"], 2, "Did you mean `quickstart`?"),
    "a misspelt architecture": (["cost", "digits", "--architecture", "lagest"], 2, "Did you mean `largest`?"),
    "deeply nested YAML": (["show", "deep.yaml"], 2, "50 deep at most"),
    "no architecture": (["cost", "digits", "--architecture", "nonsense"], 2, "largest, smallest, random:SEED"),
    "no seed": (["cost", "digits", "--architecture", "random:\N{SUPERSCRIPT TWO}"], 2, "largest, smallest"),
    "a folder for a file": (["cost", "digits", "--architecture", "."], 2, "largest, smallest"),
    "a folder for a space": (["show", "."], 2, "`.` is a folder"),
    "no table": (["cost", "digits", "--table", "none.jsonl"], 2, "there is no file `none.jsonl`"),
    "a folder for a table": (["cost", "digits", "--table", "."], 2, "`.` is a folder"),
    "unknown runtime": (["bench", "digits", "--runtime", "onxruntime"], 2, "Did you mean `onnxruntime`?"),
    "set-up without runtime": (["bench", "digits", "--threads", "2"], 2, "Add --runtime, or leave out --threads"),
    "a function that is not named": (["show", "net.py"], 2, "Write `net.py:FUNCTION`"),
    "a function that is not there": (["show", "net.py:nte"], 2, "Did you mean `net`?"),
    "no function": (["show", "net.py:json"], 2, "`json` is module, which cannot be called"),
    "a function that raises": (["show", "net.py:net"], 2, "net.py:4"),
    "a file that raises": (["show", "boom.py:net"], 2, "the file raised ZeroDivisionError"),
    "a folder for an experiment": (["run", "."], 2, "In the folder: bytes.yaml, empty.yaml, space.yaml, tiny.yaml"),
    "a space for an experiment": (["run", "digits"], 2, "`digits` is one of search spaces"),
    "a space without a runtime": (["bench", "digits"], 2, "Add --runtime"),
    "a pick of a space": (["show", "digits", "--pick", "best"], 2, "--pick says nothing of `digits`"),
    "a picture of a run": (["show", "runs/tiny", "--picture", "a.svg"], 2, "--picture says nothing of `runs/tiny`"),
    "a byte that is no text": (["run", "nul.yaml"], 2, "unacceptable character #x0000"),
    "no YAML": (["run", "bytes.yaml"], 2, "the file cannot be read"),
    "an empty file": (["run", "empty.yaml"], 2, "the file is empty"),
    "an empty space": (["show", "empty.yaml"], 2, "the file is empty"),
    "many architectures": (["cost", "digits", "--architecture", "list.json"], 2, "a list without `picks`"),
    "another space's": (["cost", "digits", "--architecture", "other.json"], 2, "the architecture is of space `x`"),
    "no JSON": (["cost", "digits", "--architecture", "empty.yaml"], 2, "the file is no JSON"),
    "not trained": (["search", "tiny.yaml", "--runs", "r"], 1, "hwnas bench tiny.yaml --runs r"),
    "not searched": (["export", "tiny.yaml"], 1, "there is no checkpoint"),
    "no front": (["show", "runs/tiny"], 1, "has no front yet"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_error_has_four_parts_on_standard_error(case: str, hwnas: Call, tmp_path: Path) -> None:
    arguments, code, words = REFUSED[case]
    written(tmp_path)
    (tmp_path / "net.py").write_text("import json\n\ndef net(choose):\n    return {}['x']\n")
    (tmp_path / "boom.py").write_text("1 / 0\n")
    (tmp_path / "bytes.yaml").write_bytes(b"name: \xff\xfe\n")
    (tmp_path / "empty.yaml").touch()
    if "deep.yaml" in arguments:
        (tmp_path / "deep.yaml").write_text("a: " + "[" * 100_000)
    if "nul.yaml" in arguments:
        (tmp_path / "nul.yaml").write_bytes(b"name: \0")
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
    "a limit with a unit": ("setup: cpu", "setup: cpu, limits: {latency_ms: 5 ms}", "unit, if it has one, stands in"),
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


@pytest.mark.parametrize(("after_s", "shown"), [(0.0, True), (60.0, False)])
def test_a_late_bar_is_shown_for_long_work_alone(
    after_s: float, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with LateBar(Terminal(), "building", after_s) as bar:
        updates(bar)
    assert bool(capsys.readouterr().err) == shown


def test_every_shipped_space_is_shown(hwnas: Call) -> None:
    for name in shipped_names("search_spaces"):
        done = hwnas("show", name)
        assert done.code == 0
        assert "architecture" in done.out
