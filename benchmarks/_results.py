"""The end of a benchmark: its result with machine, versions and date, printed and written."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.workspace.environment import machine, versions


def stamped(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with the machine, the versions and the date that it was measured on."""
    return {**result, "machine": dict(machine()), "versions": versions(), "date": time.strftime("%Y-%m-%d")}


def publish(result: Mapping[str, Any], output: Path | None) -> None:
    """Print a result, and write it to a JSON file if there is one."""
    text = json.dumps(result, indent=1)
    print(text)
    if output:
        output.write_text(text + "\n")
