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

SMOOTHING = 0.1
"""Weight of the newest batch in the mean service time."""


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

    A session that is free takes up to `batch` requests, as soon as so many wait or the first has waited `wait_s`.

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
        self._service_s = 0.0
        self._idle = asyncio.Event()

    async def submit(self, content: Content) -> tuple[Array, int]:
        """Return the answer and the microseconds of its batch."""
        if len(self._queue) >= self._most:
            self._metrics.shed += 1
            batches = math.ceil((len(self._queue) + 1) / self._batch / self._count)
            raise Overloaded(max(1, math.ceil(batches * self._service_s)))
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
            work = loop.run_in_executor(self._threads, call, [one.content for one in batch])
            work.add_done_callback(partial(self._answered, call, batch))

    def _answered(self, call: Call, batch: Sequence[_Waiting], done: asyncio.Future[tuple[Answers, int]]) -> None:
        self._free.append(call)
        error = done.exception()
        answers, service_us = ([error] * len(batch), 0) if error is not None else done.result()
        if error is None:
            self._service_s += SMOOTHING * (service_us / 1e6 - self._service_s)
            self._metrics.service.observe(service_us / 1e6)
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():
                continue
            if isinstance(answer, BaseException):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result((answer, service_us))
        self._dispatch()
        self._idle.set()
