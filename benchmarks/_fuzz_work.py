"""What a worker of `fuzz.py` does: makes an input of its number, gives it to its commands, judges what they did."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import io
import logging
import os
import re
import resource
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import _fuzz_inputs, _fuzz_judge
from benchmarks._fuzz_judge import Fault, Hang, Outcome

MEMORY = 12 << 30
"""Bytes of address space for a worker; PyTorch's libraries take some of them."""


def _kit(argv: Sequence[str], folder: Path) -> int:
    from hwnas.boards import runner as kit

    return kit.main(argv[0], argv[1:])


def _program(argv: Sequence[str], folder: Path) -> int:
    from hwnas.export.standalone import predict

    return predict.main(argv[2:], folder / argv[1])


PROGRAMS: dict[str, Callable[[Sequence[str], Path], int]] = {"kit.pyz": _kit, "predict.py": _program}
"""Programs that are no command of hwnas, by the first word of their command line."""


def tried_program(argv: Sequence[str], folder: Path) -> Outcome:
    """Start a kit, or the program of a bundle, as its own `__main__` does, in this process."""
    before, out, err, begun = _fuzz_judge.content_of(folder), io.StringIO(), io.StringIO(), time.monotonic()
    code: int | None = None
    crash: BaseException | None = None
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            _fuzz_judge.set_alarm()
            code = PROGRAMS[argv[0]](argv, folder)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as error:
            crash = error
        finally:
            _fuzz_judge.clear_alarm()
    after = _fuzz_judge.content_of(folder)
    changed = tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))
    return Outcome(tuple(argv), code, time.monotonic() - begun, out.getvalue(), err.getvalue(), None, crash, changed)


def once(
    number: int, seed: int, base: Path, keep: Path | None = None, kinds: dict[Any, int] = _fuzz_inputs.KINDS
) -> dict[str, Any]:
    """Make the input of a number, give it to its commands, and tell what they did; with `keep` its folder stays."""
    with tempfile.TemporaryDirectory(prefix="hwnas-fuzz-") as scratch:
        folder = Path(scratch) / "given"
        made = _fuzz_inputs.made(number, seed, base, folder, kinds)
        if keep is not None:
            shutil.copytree(folder, keep / str(number), dirs_exist_ok=True)
        seen: list[Fault] = []
        told = []
        for argv in made.commands:
            with _fuzz_judge.watched(folder) as outside:
                outcome = (tried_program if argv[0] in PROGRAMS else _fuzz_judge.tried)(argv, folder)
            seen += _fuzz_judge.faults(outcome)
            if argv[0] in ("verify", "compare", "predict.py") and outside:
                fault = Fault("outside", f"{argv[0]} writes outside the folder", ", ".join(outside)[:500], argv)
                seen.append(fault)
            told.append(
                {"argv": [word[:300] for word in argv], "code": outcome.code, "seconds": round(outcome.seconds, 3)}
            )
            if keep is not None:
                told[-1] |= {"out": outcome.out[-2000:], "err": outcome.err[-2000:]}
    about = {"number": number, "kind": made.kind, "file": made.file, "what": made.what[:300]}
    return {**about, "commands": told, "faults": [_plain(fault) for fault in seen]}


def _plain(fault: Fault) -> dict[str, Any]:
    raw = dataclasses.asdict(fault)
    raw["argv"] = [word[:300] for word in fault.argv]
    raw["signature"] = re.sub(r"/tmp/\S+", "*", fault.signature)
    raw["seen"] = fault.seen.encode("utf-8", "replace").decode()
    return raw


def kinds_of(profile: str) -> dict[Any, int]:
    """The kinds of input of a profile: `all`, or `bundles`."""
    from benchmarks._fuzz_bundles import BUNDLES

    return BUNDLES if profile == "bundles" else _fuzz_inputs.KINDS


def work(pipe: Connection, base: Path, seed: int, profile: str) -> None:
    """Try inputs by their numbers until the pipe is closed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        os.nice(5)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # what libraries print past Python
        os.dup2(null, descriptor)
    logging.raiseExceptions = False
    kinds = kinds_of(profile)
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        try:
            done = once(number, seed, base, kinds=kinds)
        except BaseException as error:  # a fault of the instrument, or an alarm that came late
            kind = "hang" if isinstance(error, Hang) else "instrument"
            fault = {
                "kind": kind,
                "signature": f"{type(error).__name__} in {_here(error)}",
                "seen": traceback.format_exc()[-3000:],
                "argv": [],
            }
            done = {"number": number, "kind": "unknown", "file": "", "what": "", "commands": [], "faults": [fault]}
        gc.collect() if number % 50 == 0 else None
        pipe.send(done)


def _here(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.name}"
