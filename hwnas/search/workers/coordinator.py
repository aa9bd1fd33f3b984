"""The desk on which a driver lays batches for Ray's actors: an actor beside it, replaced when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Sequence
from typing import Any, final

from hwnas.search.workers.dispatcher import ScoringTask

NAMED_S = 60.0
"""Seconds for which the name of a desk that has died may stay taken."""


def desk_class() -> Any:
    """Return the desk's class, which Ray sends by value."""

    class DeskActor:
        """Desk with one batch for each actor at most: a new one replaces one that was not taken.

        Ray may run calls of an asynchronous actor in another order than the driver's; the numbers tell which is newer.
        """

        def __init__(self) -> None:
            self.boxes: dict[str, asyncio.Queue[tuple[int, Sequence[ScoringTask]]]] = {}

        async def put(self, actor: str, number: int, tasks: Sequence[ScoringTask]) -> None:
            box = self.boxes.setdefault(actor, asyncio.Queue())
            batch = (number, tasks)
            box.put_nowait(batch if box.empty() else max(batch, box.get_nowait(), key=lambda laid: laid[0]))

        async def take(self, actor: str, last: int) -> tuple[int, Sequence[ScoringTask]]:
            box = self.boxes.setdefault(actor, asyncio.Queue())
            while True:
                number, tasks = await box.get()
                if number > last:
                    return number, tasks

    return DeskActor


@final
class Desks:
    """The driver's side; actors know the desk by its name."""

    def __init__(self) -> None:
        self.name = f"hwnas-desk-{uuid.uuid4().hex}"
        self._desk = self._made()

    def put(self, actor: str, number: int, tasks: Sequence[ScoringTask]) -> None:
        """Lay a batch there; if the desk has died meanwhile, an actor will say so."""
        with contextlib.suppress(Exception):  # Ray's errors have no common base
            self._desk.put.remote(actor, number, tuple(tasks))

    def renew(self, lost: str | None) -> bool:
        """Make another desk, unless one was made since; None: an actor found none of the name."""
        import ray

        if lost not in (None, identity(self._desk)) or (lost is None and find(self.name) is not None):
            return False
        with contextlib.suppress(Exception):  # as above
            ray.kill(self._desk)  # else Ray holds the name while its handle is here
        self._desk = self._made()
        return True

    def _made(self) -> Any:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "max_concurrency": 1000, "scheduling_strategy": here, "name": self.name}
        until = time.monotonic() + NAMED_S
        while True:
            try:
                return ray.remote(desk_class()).options(**options).remote()
            except ValueError:  # the name is still taken
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


def find(name: str) -> Any:
    """Return the desk of a name; None while there is none."""
    import ray

    try:
        return ray.get_actor(name)
    except ValueError:
        return None


def identity(desk: Any) -> str:
    """Return the number that tells a desk from those before it."""
    return str(desk._actor_id.hex())


def take(name: str, actor: str, last: int) -> tuple[tuple[int, Sequence[ScoringTask]] | None, str | None]:
    """Wait for an actor's next batch and its number, not the last one again; None if the desk died, and which."""
    import ray
    from ray.exceptions import RayError

    desk = find(name)
    if desk is None:
        return None, None
    try:
        return ray.get(desk.take.remote(actor, last)), identity(desk)
    except RayError:
        return None, identity(desk)
