"""Machines as trees of small files (tests/machines/*.txt): unpacked for a test, or recorded from this one.

`python -m tests.helpers.machines > tests/machines/NAME.txt` records the machine that it runs on.
"""

from __future__ import annotations

from pathlib import Path

from hwnas.measure.conditions.tree import Tree

FOLDER = Path(__file__).resolve().parent.parent / "machines"
RECORDED = (
    "proc/device-tree/model", "proc/sys/kernel/osrelease", "proc/loadavg", "proc/meminfo",
    "sys/class/dmi/id/product_name", "sys/class/hwmon/hwmon*/*", "sys/class/powercap/*/name",
    "sys/class/powercap/*/energy_uj", "sys/class/powercap/*/max_energy_range_uj", "sys/class/thermal/*/type",
    "sys/class/thermal/*/temp", "sys/class/thermal/*/cur_state", "sys/devices/system/cpu/online",
    "sys/devices/system/cpu/cpu*/cpu_capacity", "sys/devices/system/cpu/cpu*/cpufreq/*",
    "sys/devices/system/cpu/cpu*/thermal_throttle/*_count",
)  # fmt: skip


def unpack(name: str, folder: Path) -> Tree:
    """The files of a machine, written below a folder."""
    for block in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("=== ")[1:]:
        path, _, text = block.partition("\n")
        put(Tree(folder), path, text)
    return Tree(folder)


def put(tree: Tree, path: str, text: str) -> None:
    """Write one of its files."""
    file = tree.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def main() -> None:
    """Print this machine."""
    here = Tree()
    print("# Recorded by `python -m tests.helpers.machines`.")
    print(f"=== proc/stat\n{here.text('proc/stat').splitlines()[0]}")
    lines = [line for line in here.text("proc/cpuinfo").splitlines() if line.split("\t")[0] in KEPT or not line]
    print("=== proc/cpuinfo", *lines, sep="\n")
    for path in (path for pattern in RECORDED for path in here.places(pattern)):
        if text := here.text(path):
            print(f"=== {path}\n{text}")


KEPT = ("processor", "vendor_id", "model name", "cpu MHz", "CPU implementer", "CPU part", "Model")

if __name__ == "__main__":
    main()
