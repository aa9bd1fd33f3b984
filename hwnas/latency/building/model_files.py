"""Model files that are to be timed: each made once, found again by name, on several cores where making them is slow."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from hwnas.errors import DiskError, ExportError, HwnasError, MissingExtra, raised
from hwnas.export.disk import unwritten
from hwnas.io.process_pool import Ended, Unloadable, map_in_processes
from hwnas.measure.events import Progress, no_progress
from hwnas.ops import Shape
from hwnas.runtimes import Setup

if TYPE_CHECKING:
    from torch import nn

Exporter = Callable[["nn.Module", Shape, Path], Path]

POOL_PAYS_S = 20.0
"""Work left, in seconds, from which other processes are started: each takes about 5 s to import its converter."""
WORKER_BYTES = 3 * 2**29
"""Memory set aside for one process: with litert-torch, once-for-all networks take it to 1.0 GiB."""

PERIOD = 1021
"""Number of random weights of a tensor that are kept, and repeated: dense kernels do the same work whatever the numbers
are, and a kit packs several times smaller. A prime, so that no two filters are alike."""
FILE_SERVES_ANY = ("device", "runtime_version", "threads")
"""Fields of a set-up that leave the file as it is."""


@dataclass(frozen=True)
class ModelFile:
    """A module that is to become a model file."""

    name: str
    """Name for people, in progress messages and errors."""
    make: Callable[[], nn.Module]
    """Function that makes the module anew, its weights from PyTorch's global seed. Other processes can only make what
    can be pickled, such as a bound method of an operator or a partial of `hwnas.network.build`."""
    input_shape: Shape
    key: str = ""
    """Distinction from any target of the same name whose module prints the same."""


_Task = tuple[ModelFile, Exporter, Path]
_Begin = Callable[[ModelFile], None]


def make_files(
    targets: Sequence[ModelFile],
    setup: Setup,
    suffix: str,
    export: Exporter,
    folder: Path,
    *,
    progress: Progress = no_progress,
    workers: int | None = None,
) -> list[Path | HwnasError]:
    """Return the targets' files in `folder`, in their order, with the error in place of one that cannot be made.

    A file that is there is used again: its name holds what would change its content; weights are those of seed 0. Files
    are made in this process until the work left promises to take longer than `POOL_PAYS_S`, then in up to `workers`
    others (default: a core each, fewer where memory is short), which end with this one, however it ends. `export` must
    put a file in its place at once, so that none is ever half there. `progress` is called with (files there, files
    planned, what comes next).

    Raises:
        DiskError: the disk is full, or the folder cannot be written.
        MissingExtra: the exporter's package is not installed.
    """
    planned = [_planned(target, setup, suffix, export, folder) for target in targets]
    tasks = {
        path: (target, export, path) for path, target in zip(planned, targets, strict=True) if isinstance(path, Path)
    }
    total, lacking = len(tasks), [task for path, task in tasks.items() if not path.is_file()]
    made, failures = total - len(lacking), dict[Path, HwnasError]()

    def begin(target: ModelFile) -> None:
        progress(made, total, f"exporting {target.name}")

    with closing(_made_all(lacking, _workers() if workers is None else workers, begin)) as answers:
        for (_, _, path), answer in answers:
            if isinstance(answer, MissingExtra | DiskError):  # every other file would meet the same
                raise answer
            if answer is not None:
                failures[path] = answer
            made += 1
    return [failures.get(path, path) if isinstance(path, Path) else path for path in planned]


def _planned(target: ModelFile, setup: Setup, suffix: str, export: Exporter, folder: Path) -> Path | HwnasError:
    """Return the target's path; its name changes with whatever would change the file."""
    import torch

    try:
        module = _module(target)
    except Exception as error:  # a user's operator may raise anything
        return _as_error(target, error)
    sizes = [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]
    made_for = {name: value for name, value in setup.as_dict().items() if name not in FILE_SERVES_ANY}
    identity = repr(
        (
            target.name,
            target.key,
            target.input_shape,
            made_for,
            *_spelled(export),
            str(module),
            sizes,
            torch.__version__,
            PERIOD,
        )
    )
    return folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}{suffix}"


def _spelled(export: Exporter) -> Iterator[str]:
    """Yield the exporter and its options, such as a precision or calibration images, as text."""
    function, options = (export.func, export.keywords) if isinstance(export, partial) else (export, {})
    yield f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"
    for name, value in sorted(options.items()):
        text = hashlib.sha256(value.tobytes()).hexdigest() if hasattr(value, "tobytes") else repr(value)
        yield f"{name}={text}"


def _module(target: ModelFile) -> nn.Module:
    """Return the target's module with the weights of seed 0, repeated; the global seed stays as it is."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return repeat_weights(target.make().eval())


def repeat_weights(module: nn.Module) -> nn.Module:
    """Return the module, each of whose weights now repeats its first `PERIOD` numbers."""
    import torch

    with torch.no_grad():
        for weights in module.parameters():
            drawn, count = weights.flatten()[:PERIOD], weights.numel()
            weights.copy_(drawn.repeat(-(-count // PERIOD))[:count].reshape(weights.shape))
    return module


def _made(task: _Task) -> HwnasError | None:
    target, export, path = task
    try:
        export(_module(target), target.input_shape, path)
    except Exception as error:  # one target that an exporter refuses must not cost the others their files
        return unwritten(error, path) or _as_error(target, error)
    return None


def _as_error(target: ModelFile, error: Exception) -> HwnasError:
    if isinstance(error, HwnasError):
        return error
    return _unmade(target, f"making its file raised {raised(error)}")


def _unmade(target: ModelFile, problem: str) -> ExportError:
    return ExportError(
        problem,
        where=target.name,
        allowed="Every module that is to be timed must become a model file",
        do="Correct the operator, or leave it out",
    )


def _made_all(
    tasks: Sequence[_Task], workers: int, begin: _Begin
) -> Generator[tuple[_Task, HwnasError | None], None, None]:
    """Make the files here while that is quick, then side by side; here again what other processes cannot make."""
    todo, seconds = list(reversed(tasks)), list[float]()
    while todo:
        # The first file's time holds the import of the converter.
        if workers > 1 and len(seconds) > 1 and fmean(seconds[1:]) * len(todo) > POOL_PAYS_S:
            refused = list[_Task]()
            # The last ones first: whole networks stand there, and no long one should be left to a single process.
            with closing(map_in_processes(_made, todo, workers, lambda task: begin(task[0]))) as answers:
                for task, answer in answers:
                    if isinstance(answer, Unloadable):
                        refused.append(task)
                    elif isinstance(answer, Ended):
                        yield task, _unmade(task[0], f"the process that made its file {answer.how}")
                    else:
                        yield task, answer
            todo, workers = refused, 1
            continue
        task = todo.pop()
        begin(task[0])
        start = time.perf_counter()
        failure = _made(task)
        seconds.append(time.perf_counter() - start)
        yield task, failure


def _workers() -> int:
    """Return the number of workers: one for each core, fewer where memory is short."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(free // WORKER_BYTES for free in free_bytes())]))


def free_bytes() -> Iterator[int]:
    """Yield the free memory that the system and the container report, where they report it."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        yield int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    with suppress(OSError, ValueError):  # `max` where there is no bound
        yield int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
