"""A user's command that prints watts, such as one that asks a power meter. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import math
import shlex
import subprocess
from functools import partial

from hwnas.errors import reason
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.energy.sensor import Sensor, unreadable

COMMAND_TIMEOUT_S = 5.0
"""Seconds after which a command is taken to hang."""


def find(tree: Tree, command: str) -> Sensor | str:
    """Return the command, if it prints a number, or why there is none. It is run without a shell."""
    if not command:
        return "no command is given"
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"`{command}` is no command ({reason(error)})"
    if not words:
        return "the command is empty"
    watts(words)
    return Sensor(f"command {words[0]}", "watts", partial(watts, words))


def watts(words: list[str], patience_s: float = COMMAND_TIMEOUT_S) -> float:
    """Return the number that the command prints.

    Raises:
        SensorError: it cannot be run, fails, takes too long, or prints something else than one number.
    """
    name = f"`{' '.join(words)}`"
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise unreadable(name, f"it gave nothing in {patience_s:g} s") from error
    except OSError as error:
        raise unreadable(name, reason(error)) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise unreadable(name, f"it ended with code {done.returncode}" + (f": {lines[-1]}" if lines else ""))
    try:
        value = float(done.stdout)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise unreadable(name, f"it printed {done.stdout.strip()[:40]!r}, not watts")
    return value
