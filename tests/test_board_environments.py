"""A kit in environments as boards have them, without torch: each is built once by pip, and kept for the next time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hwnas.measure.table import read_table
from tests.helpers.kits import WISH, run_kit, small_kit

pytestmark = pytest.mark.slow
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwnas-tests"


@dataclass(frozen=True)
class Environment:
    """What a board has."""

    runtime: str
    packages: tuple[str, ...]
    version: str
    """How the set-up names the runtime's version."""
    numpy: str
    pythons: tuple[str, ...] = ()
    """Which Pythons it comes for, the best one first; any if left out."""


ENVIRONMENTS = {
    "tflite-runtime": Environment(
        "tflite", ("tflite-runtime==2.14.0", "numpy==1.26.4"), "tflite-runtime 2.14.0", "1.",
        ("python3.9", "python3.10", "python3.11"),
    ),
    "ai-edge-litert": Environment("tflite", ("ai-edge-litert>=2,<3", "numpy>=2"), "ai-edge-litert 2.", "2."),
    "onnxruntime": Environment("onnxruntime", ("onnxruntime>=1.20", "numpy>=2"), "1.", "2."),
}  # fmt: skip


def usable(names: tuple[str, ...]) -> str | None:
    """The first Python of these names that runs, and can make environments."""
    for name in names or (sys.executable,):
        path = shutil.which(name) or name
        command = [path, "-c", "import ensurepip, venv"]
        if shutil.which(name) and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return path
    return None


def environment(name: str) -> Path:
    """Its Python; skips where no Python serves or pip cannot have the packages."""
    wanted = ENVIRONMENTS[name]
    base = usable(wanted.pythons)
    if base is None:
        pytest.skip(f"{name} comes for {', '.join(wanted.pythons)}, and none is here")
    version = subprocess.run(
        [base, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = CACHE / f"{name}-{version}"
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted.packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            pytest.skip(f"pip cannot have {' '.join(wanted.packages)}: {done.stderr.strip().splitlines()[-1:]}")
        (folder / "whole").touch()
    return python


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A kit of a small space for each runtime, packed here."""
    folder = tmp_path_factory.mktemp("packed")
    return {
        runtime: small_kit(folder / runtime / "kit.pyz", space="one network", wish=replace(WISH, runtime=runtime)).path
        for runtime in sorted({wanted.runtime for wanted in ENVIRONMENTS.values()})
    }


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_kit_runs_without_torch(name: str, packed: dict[str, Path], tmp_path: Path) -> None:
    wanted, python = ENVIRONMENTS[name], environment(name)
    kit = Path(shutil.copy(packed[wanted.runtime], tmp_path / "kit.pyz"))
    there = "import importlib.util as u, numpy; print(u.find_spec('torch') is None, numpy.__version__)"
    seen = subprocess.run([str(python), "-I", "-c", there], capture_output=True, text=True, check=True).stdout.split()
    assert seen[0] == "True"
    assert seen[1].startswith(wanted.numpy)
    done = run_kit(kit, python=str(python))
    assert done.returncode == 0, done.stderr
    table = read_table(tmp_path / "board.jsonl")
    assert (len(table.rows), len(table.checks)) == (2, 1)
    assert table.setup.runtime_version.startswith(wanted.version)
