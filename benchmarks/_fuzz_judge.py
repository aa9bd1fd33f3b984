"""What a command of hwnas did with bad input, and what of that is a fault."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from hwnas.cli import check, entry
from hwnas.errors import HwnasError

HANG_S = 20
"""Of a processor's time, that a command may take; on a machine that is shared, three times as much goes by."""
CODES = (0, 1, 2, 130)
PACKAGE = str(Path(entry.__file__).resolve().parents[1])
READS = (
    ("show",), ("cost",), ("feasible",), ("doctor",), ("solve",), ("check",), ("bench", "lint"), ("bench",),
    ("verify",), ("compare",), ("predict.py",),
)  # fmt: skip
"""Commands that write nothing; of `bench` with --dry-run, of `show` but for --picture."""
LEAKS = re.compile(
    r"Traceback|weights_only|torch\.load|\[Errno|object at 0x|<class '|pydantic|NoneType"
    r"|\b(Key|Type|Value|Attribute|Index|Overflow|Recursion|Parser|Scanner|JSONDecode|Unpickling)Error"
    r"|Re-running|int_parsing|<lambda>|BadZipFile|EOFError|struct\.error|PytorchStreamReader|ConstructorError"
)
"""Words of Python and of what it runs, which say nothing to who wrote the input."""
NO_NUMBER = re.compile(r"(?i)(?<![\w./=-])-?(nan|inf|infinity)(?![\w./-])|(?<![\w.])-\d[\d.,]* ?(ms|µs|ns|s)\b")
WARNED = re.compile(r"^.*\.py:\d+: (\w+Warning): .*$", re.MULTILINE)


class Hang(BaseException):
    """The alarm of a command that takes too long."""


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    argv: tuple[str, ...]
    code: int | None
    seconds: float
    out: str
    err: str
    error: HwnasError | None = None
    """What the command line showed."""
    crash: BaseException | None = None
    changed: tuple[str, ...] = ()
    """Files that it must not change, and did."""


@dataclass(frozen=True)
class Fault:
    """One fault: its kind, where it is from, and what was seen."""

    kind: str
    signature: str
    seen: str
    argv: tuple[str, ...] = ()


@dataclass
class _Shown:
    error: HwnasError | None = None
    trace: TracebackType | None = field(default=None, repr=False)


def tried(argv: Sequence[str], folder: Path) -> Outcome:
    """Give a command to the command line's entry, in this process and in that folder."""
    before, out, err, shown = content_of(folder), io.StringIO(), io.StringIO(), _Shown()
    code, crash, begun, saved = 0, None, time.monotonic(), sys.argv
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _kept(shown):
        try:
            sys.argv = ["hwnas", *argv]
            set_alarm()
            entry.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException as error:  # the faults that are looked for
            crash = error
        finally:
            clear_alarm()
            sys.argv = saved
    seconds, after = time.monotonic() - begun, content_of(folder)
    ended = None if crash is not None else code
    return Outcome(
        tuple(argv), ended, seconds, out.getvalue(), err.getvalue(), shown.error, crash, _changed(argv, before, after)
    )


def set_alarm() -> None:
    """Raise `Hang` in this thread when a command takes too long."""
    ticks = 0

    def tick(number: int, frame: FrameType | None) -> None:
        nonlocal ticks
        ticks += 1  # seconds in which the process runs: while it is stopped, one is pending at most
        if number == signal.SIGPROF or ticks >= 3 * HANG_S:
            raise Hang

    signal.signal(signal.SIGALRM, tick)
    signal.signal(signal.SIGPROF, tick)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)


def clear_alarm() -> None:
    """The command has ended."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def _kept(shown: _Shown) -> Iterator[None]:
    """Keep the error that the command line shows."""
    show, modules = entry.show_error, (entry, check)

    def keep(error: HwnasError) -> None:
        shown.error = error
        show(error)

    for module in modules:
        module.show_error = keep
    try:
        yield
    finally:
        for module in modules:
            module.show_error = show


WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.move")
_watching: list[tuple[Path, list[str]]] = []


def _audit(event: str, values: tuple[Any, ...]) -> None:
    if not _watching or (event != "open" and event not in CHANGES):
        return
    folder, outside = _watching[-1]
    named = [one for one in values[:2] if isinstance(one, (str, bytes, os.PathLike))]
    if event == "open":
        if not (isinstance(values[2], int) and values[2] & WRITES):
            return
        named = named[:1]
    for path in (os.path.realpath(os.fsdecode(one)) for one in named):
        if not path.startswith((f"{folder}{os.sep}", "/dev/", "/proc/")):
            outside.append(f"{event} {path}")


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Yield a list that gets each file outside a folder that Python opens for writing, makes, moves or removes."""
    if not getattr(watched, "installed", False):
        sys.addaudithook(_audit)
        watched.installed = True  # type: ignore[attr-defined]
    outside: list[str] = []
    _watching.append((folder.resolve(), outside))
    try:
        yield outside
    finally:
        _watching.pop()


def content_of(folder: Path) -> dict[str, bytes]:
    """The digest of every file below a folder, locks left out."""
    return {
        str(path.relative_to(folder)): hashlib.blake2b(path.read_bytes(), digest_size=12).digest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def _changed(argv: Sequence[str], before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[str, ...]:
    """Of a command that reads, every file that is not as it was; of another, every file that is gone."""
    reads = any(tuple(argv[: len(words)]) == words for words in READS) and "--picture" not in argv
    if argv[0] == "bench" and argv[1] in ("merge", "import", "pack"):
        reads = False
    if reads:
        return tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))
    kept = ("experiment.yaml", "space.yaml")
    outside = {name for name in before if "runs/" not in name or argv[0] == "bench"}  # a run's own files grow
    gone = {name for name in before if name not in after and not name.endswith(".part") and "statistics" not in name}
    return tuple(sorted(gone | {n for n in outside if n not in kept and before[n] != after.get(n)}))


def faults(outcome: Outcome) -> Iterator[Fault]:
    """What of an outcome must not be."""
    for fault in _faults(outcome):
        yield dataclasses.replace(fault, argv=outcome.argv)


def _faults(outcome: Outcome) -> Iterator[Fault]:
    verb = " ".join(
        outcome.argv[: 2 if outcome.argv[0] == "bench" and outcome.argv[1] in ("lint", "merge", "import") else 1]
    )
    if isinstance(outcome.crash, Hang):
        yield Fault("hang", f"hang in {innermost(outcome.crash)}", _trace(outcome.crash))
    elif outcome.crash is not None:
        crash = outcome.crash
        yield Fault("traceback", f"{type(crash).__name__} in {innermost(crash)}", _trace(crash))
    if outcome.changed:
        kinds = sorted({re.sub(r"[0-9a-f]{8,}", "*", name) for name in outcome.changed})
        yield Fault("damaged", f"{verb} changes {', '.join(kinds[:3])}", ", ".join(outcome.changed[:20]))
    if outcome.crash is None:
        yield from _told_badly(outcome, verb)
    for match in WARNED.finditer(outcome.err):
        yield Fault("warning", f"{match[1]} by {verb}: {re.sub('[0-9.]+', '#', match[0])[-60:]}", match[0])


def _told_badly(outcome: Outcome, verb: str) -> Iterator[Fault]:
    error, code = outcome.error, outcome.code
    if code not in CODES:
        yield Fault("exit code", f"exit code {code} of {verb}", outcome.err[-500:])
    if error is not None:
        yield from _wrong_words(error)
    elif code and not outcome.out.strip() and not outcome.err.strip():
        yield Fault("silent", f"exit code {code} of {verb} without a word", "")
    if code and outcome.out.strip() and "--json" in outcome.argv and not all(map(_is_document, _documents(outcome))):
        yield Fault("output", f"{verb} --json prints more than a document and fails", outcome.out[:300])
    if found := LEAKS.search(outcome.out):
        yield Fault("leak", f"{found[0]} in what {verb} prints", _around(outcome.out, found))
    if code == 0:
        yield from _absurd(outcome, verb)


def _wrong_words(error: HwnasError) -> Iterator[Fault]:
    place = innermost(error)
    parts = {"met": error.met, "where": error.where, "allowed": error.allowed, "do": error.do}
    for name, part in parts.items():
        if not isinstance(part, str) or not part.strip():
            yield Fault("parts", f"an error without `{name}` from {place}", repr(parts))
    if error.where == "a file":
        yield Fault("parts", f"an error about `a file` from {place}", str(error)[:500])
    text = str(error)
    if found := LEAKS.search(text):
        yield Fault("leak", f"{found[0]} in an error from {place}", _around(text, found))
    if len(text) > 20_000:
        yield Fault("parts", f"an error of more than 20,000 characters from {place}", text[:300])


def _absurd(outcome: Outcome, verb: str) -> Iterator[Fault]:
    """Numbers that no success may tell."""
    if "--json" not in outcome.argv:
        if found := NO_NUMBER.search(outcome.out):
            yield Fault(
                "absurd",
                f"{found[0] if found[1] else 'a negative time'} in what {verb} prints",
                _around(outcome.out, found),
            )
        return
    documents = _documents(outcome)
    if not documents or not all(map(_is_document, documents)):
        yield Fault("output", f"{verb} --json prints no JSON", outcome.out[:300])
        return
    for name, number in _numbers([json.loads(text) for text in documents]):
        if not math.isfinite(number):
            yield Fault("absurd", f"{number} in what {verb} --json prints, at {name}", outcome.out[:300])
        elif number < 0 and re.search(r"(_ms|_ns|_us|_s|_mj|params|macs|bytes|_kib|_mb)\b", name):
            yield Fault("absurd", f"a negative {name} in what {verb} --json prints", f"{name} = {number}")


def _documents(outcome: Outcome) -> list[str]:
    """The JSON that a command prints: the program of a bundle prints a document a line."""
    return outcome.out.splitlines() if outcome.argv[0] == "predict.py" else [outcome.out]


def _is_document(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _numbers(tree: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _numbers(value, key.partition("@")[0])
    elif isinstance(tree, list):
        for value in tree:
            yield from _numbers(value, name)
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield name, float(min(max(tree, -1e300), 1e300)) if isinstance(tree, int) else tree


def innermost(error: BaseException) -> str:
    """The innermost line of hwnas that an error passed through, as `file:function`."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(PACKAGE)]
    own = [frame for frame in frames if not frame.filename.endswith("cli/entry.py")] or frames
    return f"{own[-1].filename[len(PACKAGE) + 1 :]}:{own[-1].name}" if own else "no line of hwnas"


def _trace(error: BaseException) -> str:
    lines = traceback.format_exception(error, limit=-8)
    return "".join(lines)[-3000:]


def _around(text: str, found: re.Match[str]) -> str:
    return text[max(0, found.start() - 200) : found.end() + 200]
