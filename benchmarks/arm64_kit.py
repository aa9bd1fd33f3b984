"""A kit on an emulated ARM64 processor, to the end: what runs on a board, without one.

    apt-get install qemu-user-static debootstrap       # and be root, which debootstrap asks for
    python benchmarks/arm64_kit.py --json              # a few minutes; writes to docs/results/

Debian's arm64 packages are unpacked into a folder (the first stage of debootstrap, and `dpkg -x`), and beside them the
aarch64 wheels of numpy 1.26.4 and tflite-runtime 2.14.0. Nothing of them is installed or run by this system itself:
qemu-aarch64-static runs the kit with Debian's Python, and each measuring process in the same way. The times are those
of an emulator; the table says so, and no search takes it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from hwnas.config import TimingConfig
from hwnas.errors import TableError
from hwnas.latency.linting.lint import lint_tables
from hwnas.measure.table import open_table, read_table
from hwnas.pipeline import pack

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results" / "arm64_kit.json"
QEMU = ["qemu-aarch64-static", "-cpu", "cortex-a72"]
WHEELS = ("numpy==1.26.4", "tflite-runtime==2.14.0")
TAGS = ("manylinux_2_34_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
SPACE = """name: few
input: {channels: 3, resolution: 8}
classes: 4
stages:
  - {name: s1, op: mbconv, width: 8, depth: [1, 2], kernel: [3, 5], expand: [1, 2]}
  - {name: head, op: classifier}
"""
QUICK = TimingConfig(warm_up_ms=5, min_sample_ms=1, rounds=9, processes=3, validation_networks=3)


def arm64_root(folder: Path) -> tuple[Path, Path]:
    """A root of Debian for arm64 with Python, and a folder of packages for it; what is there is used again."""
    root, site = folder / "root", folder / "site"
    if not (root / "usr" / "bin" / "python3").exists():
        run(["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", "--include=python3,libstdc++6,libgomp1",
             "bookworm", str(root)])  # fmt: skip
        for package in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
            run(["dpkg", "-x", str(package), str(root)])
    if not (site / "tflite_runtime").is_dir():
        platforms = [word for tag in TAGS for word in ("--platform", tag)]
        run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--dest",
                str(folder / "wheels"),
                *platforms,
                "--implementation",
                "cp",
                "--abi",
                "cp311",
                "--python-version",
                "3.11",
                "--only-binary=:all:",
                *WHEELS,
            ]
        )
        for wheel in sorted((folder / "wheels").glob("*.whl")):
            run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)])
    return root, site


def run(command: list[str], **more: str) -> str:
    """A command's output; ends this program, with what it complained of, where it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HWNAS_EMULATED")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**environment, **more})
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Make the root, pack, run, look at the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs") / "arm64", help="where the root is kept")
    parser.add_argument("--json", action="store_true", help=f"write {RESULTS}")
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    root, site = arm64_root(folder)
    (folder / "few.yaml").write_text(SPACE)
    kit, table = folder / "kit.pyz", folder / "kit.jsonl"
    table.unlink(missing_ok=True)
    packed = pack(folder / "few.yaml", kit, runtime="tflite", timing=QUICK)
    launcher = [*QEMU, "-L", str(root)]
    start = time.monotonic()
    said = run(
        [*launcher, str(root / "usr/bin/python3"), str(kit)], PYTHONPATH=str(site), HWNAS_LAUNCHER=" ".join(launcher)
    )
    seconds = time.monotonic() - start
    print(said, end="")
    found = read_table(table)
    again = run(
        [*launcher, str(root / "usr/bin/python3"), str(kit)], PYTHONPATH=str(site), HWNAS_LAUNCHER=" ".join(launcher)
    )
    try:
        open_table(table, found.setup)
        refused = ""
    except TableError as error:
        refused = error.met
    result = {
        "host": f"{platform.machine()}, {platform.system()} {platform.release()}",
        "qemu": run([QEMU[0], "--version"]).splitlines()[0], "cpu": QEMU[-1], "packages": list(WHEELS),
        "kit_bytes": packed.bytes, "model_files": packed.files, "seconds": round(seconds, 1),
        "setup": found.setup.as_dict(), "origin": vars(found.origin), "rows": len(found.rows),
        "checks": len(found.checks),
        "samples": sum(len(row.rounds_ns) for row in found.rows.values()), "said": said.splitlines(),
        "again": again.splitlines(), "refused_as_a_timing": refused,
        "lint": sorted({finding.rule for finding in lint_tables([table])}),
    }  # fmt: skip
    assert refused, "a table of emulated times was taken for timings"
    assert found.origin.kind == "emulated"
    print(json.dumps(result, indent=1))
    if options.json:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
