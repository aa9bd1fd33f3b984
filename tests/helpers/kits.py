"""A small kit for ONNX Runtime, and ways to run and to spoil one, for several test files."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from hwnas.boards.pack import KitContents, PackedKit, pack_kit
from hwnas.latency.building.table_builder import jobs_of
from hwnas.measure.table import LatencyTable
from hwnas.measure.timing import Timing
from hwnas.network import lower, operators_of
from hwnas.runtimes import Setup
from hwnas.workspace.measuring.setups import exporters_of
from tests.helpers.spaces import SMALL

FAST = Timing(warm_up_ms=0, min_sample_ms=0.01, rounds=3, processes=1, pin=False)
WISH = Setup("", "onnxruntime", "")
SPACE = """name: small
input: {channels: 3, resolution: 8}
classes: 4
stages:
  - {name: s1, op: mbconv, width: 8, kernel: [3, 5], expand: 2}
  - {name: head, op: classifier}
"""
"""A space's file whose operators are few."""


def small_kit(path: Path, timing: Timing = FAST, space: str = "per layer", wish: Setup = WISH) -> PackedKit:
    """The overhead, the operators and the smallest network of a small space."""
    opened = SMALL[space]
    jobs = jobs_of(LatencyTable(path, wish), operators_of(opened), [lower(opened, opened.smallest())])
    return pack_kit(
        path,
        KitContents(wish, exporters_of(wish), timing, "board.jsonl", (opened.name, "small.yaml")),
        jobs,
        artifacts=path.parent / "made",
    )


def run_kit(
    kit: Path, *arguments: str, python: str = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python3 kit.pyz` as on a board: from another folder, with no other hwnas on the path."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python, "-I", str(kit), *arguments], capture_output=True, text=True, check=False, timeout=120,
        cwd=kit.parent, env={**clean, **environment},
    )  # fmt: skip


def spoil(kit: Path, spoilt: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The kit with members changed, an archive as good as before."""
    with zipfile.ZipFile(kit) as source, zipfile.ZipFile(spoilt, "w") as target:
        target.comment = source.comment
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return spoilt
