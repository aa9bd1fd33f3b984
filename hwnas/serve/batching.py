"""A bounded queue before the sessions of a server, which fills batches."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from hwnas.collaborate.queueing import INLINE_MS
from hwnas.serve.decode import Array
from hwnas.serve.metrics import Metrics
from hwnas.serve.session import Answers, Content

Call = Callable[[Sequence[Content]], tuple[Answers, int]]
Outcome = tuple[Answers, int] | Exception

SMOOTHING = 0.1
"""Weight of the newest batch in the mean service time."""
CLOSE_S = 30.0
"""Time in which a session's last call is waited for when the server ends."""


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

    def check_room(self) -> None:
        """Refuse a request before it is read.

        Raises:
            Overloaded: too many are waiting.
        """

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
    whose batches take less than `INLINE_MS` is called in the event loop itself.

    Args:
        calls: a function for each session.
        batch: requests of one call.
        wait_s: longest time that a request waits for others while a session is free.
        most: requests that may wait.
        metrics: counts.
    """

    def __init__(self, calls: Sequence[Call], *, batch: int, wait_s: float, most: int, metrics: Metrics) -> None:
        self._free = list(calls)
        self._batch, self._wait_s, self._most, self._metrics = batch, wait_s, most, metrics
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._service_s: float | None = None
        self._threads = [threading.Thread(target=self._work, daemon=True, name="session") for _ in calls]
        self._is_started = False

    def check_room(self) -> None:
        """Refuse a request if the queue is full."""
        if len(self._queue) >= self._most:
            self._metrics.shed += 1
            raise Overloaded(self._retry_s())

    async def submit(self, content: Content) -> tuple[Array, int]:
        """Return the answer and the microseconds of its batch."""
        self._start()
        waiting = _Waiting(content, asyncio.get_running_loop().create_future(), time.perf_counter())
        with self._changed:
            self.check_room()
            is_fast = self._batch == 1 and self._service_s is not None and self._service_s * 1e3 < INLINE_MS
            call = self._free.pop() if is_fast and self._free and not self._queue else None
            if call is None:
                self._queue.append(waiting)
                self._changed.notify()
        if call is not None:
            self._answered([waiting], waiting.since, _called(call, [content]))
            with self._changed:
                self._free.append(call)
                if self._queue:  # to wake a thread that finds nothing takes as long as a fast network
                    self._changed.notify()
        return await waiting.answer

    async def close(self) -> None:
        """Answer those that wait, and stop the threads; a call that does not return is left behind."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads if self._is_started else ():
            await asyncio.to_thread(thread.join, CLOSE_S)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            for thread in self._threads:
                thread.start()

    def _retry_s(self) -> int:
        batches = math.ceil((len(self._queue) + 1) / self._batch / len(self._threads))
        return max(1, math.ceil(batches * (self._service_s or 0.0)))

    def _work(self) -> None:
        """Take batches and answer them, in a thread, until the queue is empty and closed."""
        ended: float | None = None
        while (taken := self._next_batch(ended)) is not None:
            call, batch = taken
            begun = time.perf_counter()
            outcome = _called(call, [one.content for one in batch])
            ended = time.perf_counter()
            with self._changed:
                self._free.append(call)
            with suppress(RuntimeError):  # the loop was closed, and nobody waits
                batch[0].answer.get_loop().call_soon_threadsafe(self._answered, batch, begun, outcome)

    def _next_batch(self, ended: float | None) -> tuple[Call, list[_Waiting]] | None:
        """Return a session and a batch for it; the thread's last one ended at `ended`."""
        with self._changed:
            while True:
                if self._queue and self._free:
                    now = time.perf_counter()
                    left = self._queue[0].since + self._wait_s - now
                    if len(self._queue) >= self._batch or left <= 0 or self._closing:
                        if ended is not None:
                            self._metrics.handover.observe(now - ended)
                        batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
                        return self._free.pop(), batch
                    self._changed.wait(left)
                elif self._closing and not self._queue:
                    return None
                else:
                    self._changed.wait()
                ended = None

    def _answered(self, batch: Sequence[_Waiting], begun: float, outcome: Outcome) -> None:
        """Hand each request its answer, in the event loop."""
        answers, service_us = ([outcome] * len(batch), 0) if isinstance(outcome, Exception) else outcome
        if not isinstance(outcome, Exception):
            service_s = service_us / 1e6
            before = service_s if self._service_s is None else self._service_s
            # a process that was interrupted tells nothing of the network
            self._service_s = before + SMOOTHING * (min(service_s, 2 * before) - before)
            self._metrics.service.observe(service_s)
        self._metrics.batches.observe(len(batch))
        for one, answer in zip(batch, answers, strict=True):
            self._metrics.waited.observe(begun - one.since)
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
