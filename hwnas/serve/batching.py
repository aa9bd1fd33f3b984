"""A bounded queue before the sessions of a server, which fills batches."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from hwnas.serve.decode import Array
from hwnas.serve.metrics import Metrics
from hwnas.serve.session import Answers, Content

Call = Callable[[Sequence[Content]], tuple[Answers, int]]
Outcome = tuple[Answers, int] | Exception

SMOOTHING = 0.1
"""Weight of the newest batch in the mean service time."""
INLINE_S = 0.0003
"""Service time below which handing a batch to a thread takes longer than the batch."""


class Overloaded(Exception):
    """A request that finds the queue full.

    Args:
        retry_s: seconds until the queue of now is served.
    """

    def __init__(self, retry_s: int) -> None:
        super().__init__(f"the queue is full; retry in {retry_s} s")
        self.retry_s = retry_s


class Backend(Protocol):
    """Whatever answers contents: sessions of this process, or replicas elsewhere."""

    async def submit(self, content: Content) -> tuple[Array, int]:
        """Return the answer and the microseconds that it took, queueing apart.

        Raises:
            Overloaded: too many are waiting.
            DataError: the content is no sample.
        """

    async def close(self) -> None:
        """Answer those that wait, and stop."""


@dataclass
class _Waiting:
    content: Content
    answer: asyncio.Future[tuple[Array, int]]
    since: float


class Batcher:
    """Sessions in threads, with one queue for all.

    A session that is free takes up to `batch` requests, as soon as so many wait or the first has waited `wait_s`. One
    whose batches take less than `INLINE_S` is called in the event loop itself.

    Args:
        calls: a function for each session.
        batch: requests of one call.
        wait_s: longest time that a request waits for others while a session is free.
        most: requests that may wait.
        metrics: counts.
    """

    def __init__(self, calls: Sequence[Call], *, batch: int, wait_s: float, most: int, metrics: Metrics) -> None:
        self._free = list(calls)
        self._count = len(calls)
        self._batch, self._wait_s, self._most, self._metrics = batch, wait_s, most, metrics
        self._queue: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="session")
        self._service_s: float | None = None
        self._idle = asyncio.Event()

    async def submit(self, content: Content) -> tuple[Array, int]:
        """Return the answer and the microseconds of its batch."""
        if len(self._queue) >= self._most:
            self._metrics.shed += 1
            batches = math.ceil((len(self._queue) + 1) / self._batch / self._count)
            raise Overloaded(max(1, math.ceil(batches * (self._service_s or 0.0))))
        loop = asyncio.get_running_loop()
        waiting = _Waiting(content, loop.create_future(), loop.time())
        self._queue.append(waiting)
        self._dispatch()
        return await waiting.answer

    async def close(self) -> None:
        """Answer those that wait, and stop the threads."""
        while self._queue or len(self._free) < self._count:
            self._idle.clear()
            await self._idle.wait()
        self._threads.shutdown()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def _dispatch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self._free:
            left = self._queue[0].since + self._wait_s - loop.time()
            if len(self._queue) < self._batch and left > 0:
                self._timer = loop.call_later(left, self._dispatch)
                return
            batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            call = self._free.pop()
            begun = loop.time()
            for one in batch:
                self._metrics.waited.observe(begun - one.since)
            self._metrics.batches.observe(len(batch))
            contents = [one.content for one in batch]
            if self._service_s is not None and self._service_s < INLINE_S:
                self._answered(call, batch, _called(call, contents))
            else:
                work = loop.run_in_executor(self._threads, _called, call, contents)
                work.add_done_callback(partial(self._returned, call, batch))

    def _returned(self, call: Call, batch: Sequence[_Waiting], done: asyncio.Future[Outcome]) -> None:
        self._answered(call, batch, done.result())
        self._dispatch()
        self._idle.set()

    def _answered(self, call: Call, batch: Sequence[_Waiting], outcome: Outcome) -> None:
        self._free.append(call)
        answers, service_us = ([outcome] * len(batch), 0) if isinstance(outcome, Exception) else outcome
        if not isinstance(outcome, Exception):
            service_s = service_us / 1e6
            before = service_s if self._service_s is None else self._service_s
            # a process that was interrupted tells nothing of the network
            self._service_s = before + SMOOTHING * (min(service_s, 2 * before) - before)
            self._metrics.service.observe(service_s)
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result((answer, service_us))


def _called(call: Call, contents: Sequence[Content]) -> Outcome:
    try:
        return call(contents)
    except Exception as error:  # the runtime's own; each of the requests is told
        return error
