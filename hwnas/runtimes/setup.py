"""Set-up that a timing is valid for. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, fields
from typing import Any

from hwnas.runtimes.emulation import emulator


@dataclass(frozen=True)
class Setup:
    """Device + runtime + runtime version + threads + precision + batch + accelerator + cores: rows of different set-ups
    never mix."""

    device: str
    """The own name of what computes: a processor, such as `Intel(R) Xeon(R) Processor, 2 cores`, or a GPU."""
    runtime: str
    runtime_version: str
    threads: int = 1
    precision: str = "fp32"
    batch: int = 1
    accelerator: str = "cpu"
    """`cpu` or `cuda`; a table without the field is of a CPU."""
    cores: str = ""
    """The cores that are used, `big`, `little` or numbers such as `0,1`; empty, and then left out, if any may be."""
    activations: str = ""
    """`signed` if the integers of an int8 file's activations are, where its runtime knows both; empty, and then left
    out, for the runtime's usual ones: unsigned in ONNX Runtime, signed in TFLite."""

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form, the inverse of `Setup(**raw)`."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("cores", "activations")}

    def differences(self, other: Setup) -> list[str]:
        """Return one line for each field in which two set-ups differ."""
        return [
            f"{field.name}: {getattr(self, field.name)} / {getattr(other, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        ]


def cpu_name() -> str:
    """The processor's name and how many cores the system shows."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            info = dict(line.split(":", 1) for line in lines if ":" in line)
        info = {key.strip(): value.strip() for key, value in info.items()}
        name = info.get("model name") or info.get("Model") or _board() or info.get("Hardware") or name
    except OSError:
        pass
    emulated = f"{platform.machine()} emulated on " if emulator() else ""
    return f"{emulated}{name}, {os.cpu_count()} cores"


def _board() -> str:
    """Return the board's name by its firmware, such as `NVIDIA Jetson Orin Nano Developer Kit`; empty on a PC."""
    try:
        with open("/proc/device-tree/model", encoding="utf-8", errors="replace") as file:
            return file.read().strip("\0 \n")
    except OSError:
        return ""


VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8"})
"""Flags of processors that multiply unsigned by signed bytes and add up in 32 bits."""


def saturates_int8() -> bool:
    """Return whether sums of products of unsigned and signed bytes may saturate here: on x86 without VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    except OSError:
        return False
    return flags is not None and not VNNI_FLAGS & set(flags)


def is_arm() -> bool:
    """Return whether this machine's processor is an ARM one."""
    return platform.machine().lower().startswith(("arm", "aarch"))
