"""Other processes that work side by side, each on one task at a time. They end with the one that started them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")
SERVE = "from hwnas.io.process_pool import _serve; _serve()"


@dataclass(frozen=True)
class Unloadable:
    """Stand-in for an answer: other processes cannot import the code of the task, or of the work."""


@dataclass(frozen=True)
class Ended:
    """Stand-in for an answer: the process ended over the task."""

    how: str


@dataclass(frozen=True)
class _Raised:
    error: Exception


def map_in_processes(
    work: Callable[[Task], Answer],
    tasks: Sequence[Task],
    processes: int,
    begin: Callable[[Task], None] = lambda task: None,
) -> Generator[tuple[Task, Answer | Unloadable | Ended], None, None]:
    """Yield tasks with their answers, as they come; close it to end the processes early.

    Each process computes in one thread. It gets `work` once, when it starts; work, tasks and answers are pickled.

    Args:
        work: function of a task. Its exceptions are raised here.
        tasks: handed out in their order.
        processes: the most that run at once.
        begin: called with a task when it is handed out.
    """
    todo, idle, busy = list(reversed(tasks)), list[_Worker[Task]](), dict[Connection, _Worker[Task]]()
    with ExitStack() as stack:
        while todo or busy:
            while todo and len(busy) < processes:
                task = todo.pop()
                try:
                    messages = pickle.dumps(work) if not idle else b"", pickle.dumps(task)
                except Exception:  # closures, classes made in functions: pickle raises several types
                    yield task, Unloadable()
                    continue
                if not idle:
                    idle.append(_Worker(messages[0]))
                    stack.callback(idle[-1].end)
                worker = idle.pop()
                busy[worker.pipe] = worker
                begin(task)
                worker.take(task, messages[1])
            for pipe in wait(list(busy)) if busy else ():  # none is busy where no task could be sent
                worker = busy.pop(pipe)  # type: ignore[call-overload]
                answer = worker.answer()
                if worker.alive:
                    idle.append(worker)
                if isinstance(answer, _Raised):
                    raise answer.error
                yield worker.task, answer


class _Worker(Generic[Task]):
    """Another process, one task at a time. It ends when its pipe does, so it outlives no parent.

    No `multiprocessing.Process`: that would run the caller's script again.
    """

    task: Task

    def __init__(self, work: bytes) -> None:
        self.pipe, theirs = Pipe()
        self.alive = True
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", SERVE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is answered by the parent, which ends it
            )
        self._send(work)

    def take(self, task: Task, message: bytes) -> None:
        self.task = task
        self._send(message)

    def answer(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.alive = False
            self.end()
            code = self._process.returncode
            how = f"was ended by signal {-code}, as when memory is short" if code < 0 else f"ended with status {code}"
            return Ended(how)

    def end(self) -> None:
        self.pipe.close()
        if self.alive:
            self._process.kill()
        self._process.wait()

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # that of a process that is gone; `answer` tells
            self.pipe.send_bytes(message)


def _serve() -> None:
    """Answer tasks as a worker, and end at once when the parent is gone."""
    pipe, messages = Connection(int(sys.argv[1])), SimpleQueue[bytes]()

    def receive() -> None:
        while True:
            try:
                messages.put(pipe.recv_bytes())
            except (EOFError, OSError):
                os._exit(0)

    Thread(target=receive, daemon=True).start()
    work = _loaded(messages.get())
    while True:
        task = _loaded(messages.get())
        lost = isinstance(work, Unloadable) or isinstance(task, Unloadable)
        pipe.send(Unloadable() if lost else _answered(work, task))


def _loaded(message: bytes) -> Any:
    try:
        return pickle.loads(message)  # noqa: S301 - what the parent sent
    except Exception:  # its code cannot be imported here
        return Unloadable()


def _answered(work: Callable[[Any], Any], task: Any) -> Any:
    try:
        return work(task)
    except Exception as error:  # raised where the work was asked for
        return _Raised(error)
