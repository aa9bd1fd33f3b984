"""A kit in one file: what is in it, that it runs by itself, continues, and is refused where it is not as packed."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hwnas
from hwnas.boards.archive import checksum, open_kit
from hwnas.boards.pack import KitContents, board_code, pack_kit, packable, refuse_runtime
from hwnas.boards.requirements import check_requirements
from hwnas.boards.runner import main
from hwnas.errors import ConfigError, MissingExtra, RunError, TableError
from hwnas.export import format_of
from hwnas.latency.building.table_builder import jobs_of
from hwnas.latency.linting.lint import lint_tables
from hwnas.latency.model import LatencyModel
from hwnas.latency.tables.merge import merge_tables
from hwnas.measure.energy.meter import Energy, EnergyProtocol
from hwnas.measure.table import LatencyTable, open_table, read_table
from hwnas.measure.timing import Measurement
from hwnas.network import lower, operators_of
from hwnas.ops.mbconv import MBConv
from hwnas.pipeline import check, pack
from hwnas.workspace.measuring.setups import exporters_of
from hwnas.workspace.spaces import open_space
from tests.helpers.kits import FAST, SPACE, WISH, run_kit, small_kit, spoil
from tests.helpers.spaces import SMALL

PACKAGE = Path(hwnas.__file__).parent


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_kit(tmp_path_factory.mktemp("packed") / "kit.pyz").path


@pytest.fixture
def board(kit: Path, tmp_path: Path) -> Path:
    """The kit alone in a folder."""
    return Path(shutil.copy(kit, tmp_path / "kit.pyz"))


def test_a_kit_writes_the_table_beside_it(board: Path) -> None:
    done = run_kit(board)
    assert (done.returncode, done.stdout) == (0, f"{board.with_name('board.jsonl')}: 9 rows, 1 check\n"), done.stderr
    table = read_table(board.with_name("board.jsonl"))
    assert len(table.rows) == len(table.file_bytes) == 9
    assert table.overhead is not None
    assert table.spaces == {"small": "small.yaml"}
    assert table.setup.runtime_version
    assert table.setup.device
    assert all(len(row.rounds_ns) == FAST.rounds and row.conditions["reference_ns"] for row in table.rows.values())
    assert sorted(path.name for path in board.parent.iterdir()) == ["board.jsonl", "kit.pyz"]


def test_the_code_in_a_kit_is_the_package_s_own_byte_for_byte_and_python_3_9(kit: Path) -> None:
    with zipfile.ZipFile(kit) as archive:
        code = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    assert code.pop("__main__.py") == (PACKAGE / "boards" / "start.py").read_bytes()
    for name, content in code.items():
        assert content == (PACKAGE.parent / name).read_bytes(), name
        ast.parse(content, feature_version=(3, 9))
    needed = (
        "measure/timing",
        "measure/table",
        "measure/session",
        "measure/worker",
        "runtimes/tflite",
        "boards/runner",
    )
    assert {f"hwnas/{name}.py" for name in needed} <= code.keys()
    assert not any("export" in name or "network" in name for name in code)


def test_the_code_of_a_kit_is_imported_by_the_oldest_python_that_is_at_hand(tmp_path: Path) -> None:
    """Nothing but the standard library: what needs numpy is imported later."""
    python = shutil.which("python3.9") or sys.executable
    if subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode:  # pyenv's name of none
        python = sys.executable
    for name, content in board_code().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    without_numpy = (f"hwnas.boards.{name}" for name in ("runner", "archive", "requirements", "reporter"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {', '.join(without_numpy)}"
    subprocess.run([python, "-I", "-W", "error", "-S", "-c", code], check=True)


def test_energy_and_memory_are_measured_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that lacks nothing else is continued. The sensor is a stand-in; a file that it cannot carry is told."""

    def measure_energy(files, runtime, protocol, *, pin, progress, queue):
        assert protocol.error == 0.4
        yield from ((place, Energy((float(place + 1),))) for place in range(len(files) - 1))
        yield len(files) - 1, "too little"

    monkeypatch.setattr("hwnas.measure.energy.job.measure_energy", measure_energy)
    opened = SMALL["one network"]
    jobs = jobs_of(LatencyTable(tmp_path / "t", WISH), operators_of(opened), [lower(opened, opened.smallest())])
    more = {"energy": EnergyProtocol(error=0.4), "memory": True}
    for name, asked, code in (("plain.pyz", {}, 0), ("more.pyz", more, 1)):
        pack_kit(
            tmp_path / name,
            KitContents(WISH, exporters_of(WISH), FAST, "t.jsonl", **asked),
            jobs,
            artifacts=tmp_path / "made",
        )
        assert main(str(tmp_path / name), []) == code
    table = read_table(tmp_path / "t.jsonl")
    assert [len(found) for found in (table.rows, table.checks, table.energy, table.memory)] == [2, 1, 3, 1]
    assert table.energy[None].mj == (1.0,)


def test_what_the_table_holds_is_not_timed_again(board: Path) -> None:
    run_kit(board)
    table = board.with_name("board.jsonl")
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:6]))
    assert run_kit(board).returncode == 0
    again = table.read_text().splitlines(keepends=True)
    assert again[:6] == lines[:6]
    assert len(again) == len(lines)
    assert again != lines


def test_a_look_writes_nothing(board: Path) -> None:
    listed, planned = run_kit(board, "--list"), run_kit(board, "--dry-run", "--threads", "2")
    assert listed.stdout.count("missing  ") == 11
    assert "threads 2" in planned.stdout
    assert "11 of 11 are missing" in planned.stdout
    assert [path.name for path in board.parent.iterdir()] == ["kit.pyz"]


def test_a_table_goes_where_it_is_told_to(board: Path) -> None:
    done = run_kit(board, "--out", "a/b.jsonl", "--device", "my board", "--threads", "2")
    assert done.returncode == 0, done.stderr
    setup = read_table(board.parent / "a" / "b.jsonl").setup
    assert (setup.device, setup.threads) == ("my board", 2)


def test_a_kit_s_tables_are_merged(board: Path, tmp_path: Path) -> None:
    run_kit(board)
    (lines := (tmp_path / "board.jsonl").read_text().splitlines(keepends=True))
    (tmp_path / "half.jsonl").write_text("".join(lines[:5]))
    merged = merge_tables([tmp_path / "half.jsonl", tmp_path / "board.jsonl"], tmp_path / "all.jsonl")
    assert (len(merged.table.rows), len(merged.table.checks), merged.again) == (9, 1, 0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda name, content: content + b"0" if name.endswith(".onnx") else content, "SHA-256 of `files/"),
        (lambda name, content: content + b"\n" if name.endswith("timing.py") else content, "timing.py"),
        (lambda name, content: content.replace(b'"rounds": 3', b'"rounds": 4'), "its manifest was changed"),
    ],
)
def test_a_kit_that_was_changed_is_refused(board: Path, change, what: str) -> None:
    spoilt = spoil(board, board.with_name("spoilt.pyz"), change)
    done = run_kit(spoilt)
    assert done.returncode == 1
    assert what in done.stderr
    assert "Copy it again" in done.stderr


def sealed_with(board: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The kit with another manifest, sealed as if it had been packed so."""
    with zipfile.ZipFile(board) as archive:
        manifest = json.loads(archive.read("kit.json"))
    change(manifest)
    content = json.dumps(manifest).encode()
    path = spoil(board, board.with_name("other.pyz"), lambda name, old: content if name == "kit.json" else old)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = checksum(content)
    return path


@pytest.mark.parametrize("line", [{"network": True}, {"network": [["conv", {}, [0]]]}, {"op": 1}, {}])
def test_a_job_that_is_about_nothing_is_named(
    board: Path, line: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    kit = sealed_with(board, lambda manifest: manifest["jobs"][2].update(line=line))
    assert main(str(kit), ["--list"]) == 1
    assert "`jobs[2].line`: " in capsys.readouterr().err


def test_a_kit_that_was_cut_short_does_not_run(board: Path) -> None:
    board.write_bytes(board.read_bytes()[:-1000])
    assert run_kit(board).returncode != 0
    with pytest.raises(TableError, match="damaged"):
        open_kit(board)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda raw: {**raw, "hwnas_kit": 2}, "the kit is of format 2, this version of hwnas reads up to format 1"),
        (lambda raw: {**raw, "hwnas_kit": "x"}, "`kit.json`: `hwnas_kit` is a text"),
        (lambda raw: {**raw, "setup": {**raw["setup"], "accelerator": ["cpu"]}}, "`setup.accelerator` is a list"),
        (lambda raw: {**raw, "jobs": [3]}, "`kit.json`: `jobs[0]` is a whole number"),
        (lambda raw: {name: raw[name] for name in raw if name != "timing"}, "`kit.json`: `timing` is missing"),
        (lambda raw: [raw], "`kit.json`: it is a list"),
    ],
)
def test_a_manifest_of_another_form_is_told_by_its_field(board: Path, change, what: str) -> None:
    """Sealed as it should be: a kit of another version, and none that was damaged."""
    with zipfile.ZipFile(board) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.dumps(change(json.loads(members.pop("kit.json")))).encode()
    with zipfile.ZipFile(board, "w") as archive:
        archive.comment = checksum(manifest)
        for name, content in {**members, "kit.json": manifest}.items():
            archive.writestr(name, content)
    with pytest.raises(TableError) as caught:
        open_kit(board)
    assert what in caught.value.met
    assert ("upgrade" in caught.value.do) == ("format 2" in what)


@pytest.mark.parametrize("content", [b"", b"PK", b"a,b\n1,2\n"])
def test_what_is_no_kit_is_told_without_words_of_python(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kit.pyz").write_bytes(content)
    with pytest.raises(TableError, match="no archive that unpacks"):
        open_kit(tmp_path / "kit.pyz")
    with pytest.raises(TableError, match="cannot be read"):
        open_kit(tmp_path)
    with zipfile.ZipFile(tmp_path / "kit.pyz", "w") as archive:
        archive.writestr("other", "")
    with pytest.raises(TableError, match=r"holds no `kit\.json`"):
        open_kit(tmp_path / "kit.pyz")


def test_a_kit_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path, tmp_path / "file" / "kit.pyz"):
        with pytest.raises(RunError, match="the kit cannot be written") as caught:
            pack("no such space", out, runtime="onnxruntime")
        assert caught.value.where == str(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_kit_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    table = open_table(tmp_path / "t.jsonl", WISH)
    table.append_overhead(Measurement((100.0,)))
    for operator, shape in operators_of(open_space(tmp_path / "space.yaml")[0]):
        table.append_row(operator, shape, Measurement((1000.0,)))
    with pytest.raises(ConfigError, match="a kit would be empty"):
        pack(
            tmp_path / "space.yaml",
            tmp_path / "kit.pyz",
            runtime="onnxruntime",
            lacking=table.path,
            validation_networks=0,
        )
    assert not (tmp_path / "kit.pyz").exists()


def test_a_member_too_many_is_refused(board: Path) -> None:
    with zipfile.ZipFile(board, "a") as archive:
        archive.writestr("hwnas/more.py", "")
    with pytest.raises(TableError, match=r"hwnas/more\.py"):
        open_kit(board)


def test_equal_kits_are_equal_files(kit: Path, tmp_path: Path) -> None:
    assert small_kit(tmp_path / "kit.pyz").path.read_bytes() == kit.read_bytes()


def test_model_files_are_small_in_a_kit(tmp_path: Path) -> None:
    """Weights are repeated, and no two filters are alike."""
    wide = ((MBConv(64, 64, kernel=3, expand=6), (64, 8, 8)),)
    jobs = jobs_of(LatencyTable(tmp_path / "t", WISH), wide, [])
    empty = pack_kit(
        tmp_path / "empty.pyz", KitContents(WISH, exporters_of(WISH), FAST, "t"), [], artifacts=tmp_path / "made"
    )
    found = pack_kit(
        tmp_path / "kit.pyz", KitContents(WISH, exporters_of(WISH), FAST, "t"), jobs, artifacts=tmp_path / "made"
    )
    assert found.unpacked_bytes > 200_000
    assert found.bytes - empty.bytes < 0.4 * found.unpacked_bytes


def test_a_missing_package_is_told_with_its_pip_command(board: Path, tmp_path: Path) -> None:
    """A Python without packages: the environment's own interpreter without its site-packages."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    subprocess.run([str(base), "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    done = run_kit(board, python=str(tmp_path / "bare" / "bin" / "python"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "numpy cannot be imported" in done.stderr
    assert "-m pip install numpy onnxruntime" in done.stderr


def test_a_python_that_takes_no_packages_is_told_how_to_make_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Raspberry Pi OS has it: pip refuses to install into the system's own Python."""
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr("hwnas.boards.requirements._loaded", lambda modules: "no")
    monkeypatch.setattr("hwnas.boards.requirements.sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(MissingExtra) as caught:
        check_requirements("onnxruntime")
    assert "-m venv ~/hwnas && ~/hwnas/bin/pip install numpy onnxruntime" in caught.value.do
    assert "--python '~/hwnas/bin/python'" in caught.value.do


def test_an_old_python_is_told_what_it_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.boards.requirements._loaded", lambda modules: "no" if "numpy" not in modules else "")
    monkeypatch.setattr("hwnas.boards.requirements.LITERT_FROM", (99, 0))
    with pytest.raises(MissingExtra, match="ai_edge_litert or tflite_runtime") as caught:
        check_requirements("tflite")
    assert "pip install tflite-runtime==2.14.0 'numpy<2'" in caught.value.do


@pytest.mark.parametrize("cores", ["x", "4-2", "90001"])
def test_processors_that_are_not_there_are_refused(board: Path, cores: str) -> None:
    done = run_kit(board, "--cores", cores)
    assert done.returncode == 2
    assert "  where:   set-up" in done.stderr


def test_a_file_that_does_not_run_costs_the_others_nothing(board: Path, tmp_path: Path) -> None:
    """The manifest vouches for a file that is no model."""

    def export(module, input_shape, path: Path) -> Path:
        if tuple(input_shape) == (8, 8, 8):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"no model")
            return path
        return exporters_of(WISH)[0](module, input_shape, path)

    jobs = jobs_of(LatencyTable(tmp_path / "t", WISH), operators_of(SMALL["per layer"]), [])
    pack_kit(
        tmp_path / "bad.pyz", KitContents(WISH, (export, export), FAST, "bad.jsonl"), jobs, artifacts=tmp_path / "made"
    )
    done = run_kit(tmp_path / "bad.pyz")
    bad = sum(tuple(job.target.input_shape) == (8, 8, 8) for job in jobs)
    assert done.returncode == 1
    assert f"{bad} could not be measured" in done.stderr
    assert len(read_table(tmp_path / "bad.jsonl").rows) == len(jobs) - bad - 1


def test_no_kit_is_packed_for_what_needs_torch() -> None:
    with pytest.raises(ConfigError, match="no kit can be packed for runtime `pytorch`"):
        refuse_runtime("pytorch")
    assert {format_of(name).suffix for name in packable()} == {".onnx", ".tflite"}


def test_rows_made_under_an_emulator_are_no_timings(board: Path) -> None:
    done = run_kit(board, HWNAS_EMULATED="qemu-aarch64")
    assert "made under emulation (qemu-aarch64)" in done.stdout
    table = read_table(board.with_name("board.jsonl"))
    assert (table.origin.kind, table.origin.source) == ("emulated", "qemu-aarch64")
    assert "emulated on" in table.setup.device
    assert json.loads(board.with_name("board.jsonl").read_text().splitlines()[0])["origin"]["kind"] == "emulated"
    refused = run_kit(board, "--device", table.setup.device)
    assert "made under emulation" in refused.stderr
    assert "Rows of unlike origin never mix" in refused.stderr


def test_a_table_made_under_an_emulator_is_shown_as_such_and_taken_by_nothing(board: Path) -> None:
    run_kit(board, HWNAS_EMULATED="qemu-aarch64")
    path = board.with_name("board.jsonl")
    table, network = read_table(path), lower(SMALL["per layer"], SMALL["per layer"].smallest())
    assert "made under emulation (qemu-aarch64)" in LatencyModel.of(table).predict(network).origin
    assert [found.severity for found in lint_tables([path]) if found.rule == "emulated"] == ["warning"]
    with pytest.raises(TableError, match="the table was made under emulation"):
        open_table(path, table.setup)
    with pytest.raises(TableError, match="the table was made under emulation"):
        check(path)
