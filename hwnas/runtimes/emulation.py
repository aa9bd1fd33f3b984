"""Detection of emulated instructions: timings of an emulated process say nothing about a board. Board side: Python 3.9
syntax, no torch."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

SAYS = "HWNAS_EMULATED"
"""Environment variable that whoever starts an emulator sets to its name or just to 1."""
ARCHITECTURE_FAMILIES: Mapping[str, str] = {
    "aarch64": "arm",
    "arm64": "arm",
    "arm": "arm",
    "x86_64": "x86",
    "amd64": "x86",
    "i386": "x86",
    "i686": "x86",
    "riscv64": "riscv",
}
SIGNS: Mapping[str, str] = {"CPU implementer": "arm", "vendor_id": "x86", "hart": "riscv"}
"""Keys of /proc/cpuinfo that processors of one family have; user-mode emulation shows the host's file."""


def emulator(*, machine: str | None = None, proc: str = "/proc") -> str:
    """Return a few words on what emulates the processor that this process sees; empty if nothing does.

    Named by whoever started the process, or detected from the kernel's description of itself.
    """
    if name := os.environ.get(SAYS, "").strip():
        return "an emulator" if name == "1" else name
    machine = machine or platform.machine()
    family = _family(machine)
    if not family:
        return ""
    real = _family(_read(f"{proc}/sys/kernel/arch"))
    if real and real != family:
        return f"{machine} on a kernel of {real}"
    seen = {
        SIGNS[key]
        for key in (line.split(":")[0].strip() for line in _read(f"{proc}/cpuinfo").splitlines())
        if key in SIGNS
    }
    if seen and family not in seen:
        return f"{machine} on a processor of {', '.join(sorted(seen))}"
    handler = f"{proc}/sys/fs/binfmt_misc/qemu-{machine}"
    return f"{machine} by the system's handler for programs of other processors" if os.path.exists(handler) else ""


def _family(machine: str) -> str:
    name = machine.strip().lower()
    return ARCHITECTURE_FAMILIES.get(name) or ("arm" if name.startswith("arm") else "")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
