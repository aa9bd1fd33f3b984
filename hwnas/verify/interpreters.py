"""Two versions of a runtime beside each other: the program of a bundle, run by this Python and by another in turn."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import ConfigError, reason
from hwnas.export.companions.program import PROGRAM
from hwnas.verify.findings import Verification
from hwnas.verify.gate import GateLimits
from hwnas.verify.latency import interval
from hwnas.verify.outputs import compare_quality
from hwnas.verify.remote import COMMAND_SECONDS, program_rows

PROCESS_PAIRS = 8
TURN_SECONDS = "1"


@dataclass(frozen=True)
class InterpreterCheck:
    """A comparison of the runtime of another Python with that of this one.

    Args:
        python: path of the other one, with numpy and a runtime.
        limits: how much worse it may be.
        turns: processes of each that time the files, one after the other.
    """

    python: str
    limits: GateLimits
    turns: int = PROCESS_PAIRS

    def check(self, folder: Path, data: Path | None, latency: bool, result: Verification) -> None:
        """Compare self-tests, qualities where there are data, and latencies.

        Args:
            folder: of the bundle.
            data: archive of raw inputs and targets.
            latency: time the files as well.
            result: gets findings and numbers.

        Raises:
            ConfigError: the other Python cannot be started.
            RunError: it lacks numpy or a runtime.
        """
        sides = {"here": sys.executable, "there": self.python}
        tests = {side: self._rows(python, folder, "--selftest") for side, python in sides.items()}
        shared = [name for name in tests["here"] if name in tests["there"]]
        if not shared:
            result.find("files_not_shared", f"no file is run by both this Python and {self.python}", folder)
            return
        numbers: dict[str, Any] = {
            name: {side: {"self_test": rows[name]} for side, rows in tests.items()} for name in shared
        }
        for name in shared:
            self._compare_selftest(folder / name, numbers[name], result)
        if data is not None:
            for side, python in sides.items():
                for name, one in self._rows(python, folder, "--accuracy", str(data.resolve())).items():
                    if name in numbers:
                        numbers[name][side]["quality"] = one
                        if side == "there":
                            compare_quality(folder / name, one, self.limits.drop, result)
        if latency:
            self._time(folder, sides, numbers, result)
        result.measured["runtimes"] = numbers
        result.checked.append(f"this Python's runtime beside that of {self.python}: {', '.join(shared)}")

    def _compare_selftest(self, path: Path, sides: dict[str, Any], result: Verification) -> None:
        here, there = sides["here"]["self_test"], sides["there"]["self_test"]
        if here.get("runtime") != there.get("runtime"):
            result.find(
                "other_runtime", f"{path.name} is run by {here.get('runtime')} and by {there.get('runtime')}", path
            )
        if not there["ok"]:
            result.find(
                "selftest_differs",
                f"{path.name} gives other outputs with {there.get('runtime')}: {there['max_difference']:.3g} apart, "
                f"{there['tolerance']:.3g} is allowed",
                path,
            )

    def _time(self, folder: Path, sides: dict[str, str], numbers: dict[str, Any], result: Verification) -> None:
        """Time in turns of a process each, so that the machine's state is in neither's favour."""
        logs: dict[str, list[float]] = {name: [] for name in numbers}
        for _ in range(self.turns):
            rows = {side: self._rows(python, folder, "--time", TURN_SECONDS) for side, python in sides.items()}
            for name, taken in logs.items():
                here, there = rows["here"][name], rows["there"][name]
                taken.append(math.log(there["median_ms"] / here["median_ms"]))
                for side, one in (("here", here), ("there", there)):
                    numbers[name][side].setdefault("median_ms", []).append(one["median_ms"])
        for name, taken in logs.items():
            ratio = interval([np.array([one]) for one in taken], lambda some: float(np.median(some)))
            numbers[name]["latency"] = ratio.as_dict()
            if ratio.low > 1 + self.limits.slowdown:
                result.find(
                    "slower",
                    f"{name} takes {ratio.ratio:.3f} times as long there, {ratio.low:.3f} to {ratio.high:.3f}; "
                    f"{1 + self.limits.slowdown:.3f} is allowed",
                    folder / name,
                )

    def _rows(self, python: str, folder: Path, *arguments: str) -> dict[str, dict[str, Any]]:
        return {one["file"]: one for one in self._program(python, folder, arguments)}

    def _program(self, python: str, folder: Path, arguments: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        command = [python, "-I", "-B", str(folder.resolve() / PROGRAM), "--json", *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            why = reason(error) if isinstance(error, OSError) else f"it took more than {COMMAND_SECONDS:g} s"
            raise ConfigError(
                f"`{python}` cannot be run ({why})",
                where="hwnas verify --against-python",
                allowed="It is the path of a Python, such as venv/bin/python, with numpy and a runtime",
                do="Name one",
            ) from error
        return program_rows(done.returncode, done.stdout, done.stderr, python=python, where=python)
