"""Files timed in one sitting on a board, by the code that measures there for latency tables. Desk side."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.boards.host import Host
from hwnas.boards.pack import board_code, refuse_runtime
from hwnas.errors import RunError
from hwnas.measure.session import SessionResult
from hwnas.measure.timing import Measurement, Timing
from hwnas.verify.remote import BoardFolder

TIMING_PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from hwnas.measure.session import time_files
from hwnas.measure.timing import Timing
from hwnas.runtimes import open_runtime

order = json.loads(sys.argv[2])
runtime = open_runtime(order["runtime"], threads=order["threads"], precision=order["precision"], batch=order["batch"])
sitting = time_files([Path(sys.argv[1]) / name for name in order["files"]], runtime, Timing(**order["timing"]))
rounds = {index: measurement.rounds_ns for index, measurement in sitting.measured.items()}
failed = {index: str(why) for index, why in sitting.failed.items()}
print(json.dumps({"setup": runtime.setup.as_dict(), "rounds_ns": rounds, "failed": failed}))
"""


@dataclass(frozen=True)
class Board:
    """A host with Python, numpy and the runtime of the files.

    Args:
        host: the board.
        python: there.
    """

    host: Host
    python: str = "python3"

    def time_files(
        self, files: Sequence[Path], setup: dict[str, Any], timing: Timing
    ) -> tuple[SessionResult, dict[str, Any]]:
        """Time all files together on the board; return what was measured, and the set-up there.

        Args:
            files: model files of one runtime.
            setup: runtime, threads, precision and batch to time them with.
            timing: the protocol.

        Raises:
            ConfigError: no board times files of that runtime.
            HostAway: the board cannot be reached.
            RunError: its Python lacks numpy or the runtime, or is another's turn.
        """
        refuse_runtime(str(setup["runtime"]))
        named = {f"{number}{file.suffix}": file for number, file in enumerate(files)}
        order = {name: setup[name] for name in ("runtime", "threads", "precision", "batch")}
        order |= {"files": list(named), "timing": asdict(timing)}
        with BoardFolder.holding(self.host, self.python, "quantize", partial(_pack, named)) as there:
            code, out, complaints = there.run(
                [self.python, "-c", TIMING_PROGRAM, there.path, json.dumps(order)], check=False
            )
        try:
            answer = json.loads(out.splitlines()[-1]) if not code else None
        except (IndexError, ValueError):
            answer = None
        if answer is None:
            lines = complaints.strip().splitlines() or [f"it ended with code {code}"]
            raise RunError(
                f"the files cannot be timed there ({lines[-1]})",
                where=self.host.name,
                allowed=f"`{self.python}` has numpy and {setup['runtime']}, and nobody else measures there meanwhile",
                do="Install the runtime there, or name another Python with --python",
            )
        measured = {int(index): Measurement(tuple(rounds)) for index, rounds in answer["rounds_ns"].items()}
        failed = {int(index): why for index, why in answer["failed"].items()}
        return SessionResult(measured, failed), answer["setup"]


def _pack(files: dict[str, Path], packed: zipfile.ZipFile) -> None:
    for name, content in board_code().items():
        packed.writestr(name, content)
    for name, file in files.items():
        packed.write(file, name)
