"""The desk on which a driver lays batches for Ray's actors: an actor beside it, replaced when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Sequence
from typing import Any, final

from hwnas.search.workers.dispatcher import Task

NAMED_S = 60.0
"""Seconds for which the name of a desk that has died may stay taken."""


def _desk() -> Any:
    class Desk:
        """Desk with one batch for each actor at most: a new one replaces one that was not taken."""

        def __init__(self) -> None:
            self.boxes: dict[str, asyncio.Queue[tuple[int, Sequence[Task]]]] = {}

        async def put(self, actor: str, number: int, tasks: Sequence[Task]) -> None:
            box = self.boxes.setdefault(actor, asyncio.Queue())
            while not box.empty():
                box.get_nowait()
            box.put_nowait((number, tasks))

        async def take(self, actor: str, last: int) -> tuple[int, Sequence[Task]]:
            box = self.boxes.setdefault(actor, asyncio.Queue())
            while True:
                number, tasks = await box.get()
                if number != last:
                    return number, tasks

    return Desk


@final
class Desks:
    """The driver's side; actors know the desk by its name."""

    def __init__(self) -> None:
        self.name = f"hwnas-desk-{uuid.uuid4().hex}"
        self._desk = self._made()

    def put(self, actor: str, number: int, tasks: Sequence[Task]) -> None:
        """Lay a batch there; if the desk has died meanwhile, an actor will say so."""
        with contextlib.suppress(Exception):  # Ray's errors have no common base
            self._desk.put.remote(actor, number, tuple(tasks))

    def renew(self, lost: str | None) -> bool:
        """Make another desk, unless one was made since; None: an actor found none of the name."""
        if lost not in (None, identity(self._desk)) or (lost is None and find(self.name) is not None):
            return False
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
                return ray.remote(_desk()).options(**options).remote()
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


def take(name: str, actor: str, last: int) -> tuple[tuple[int, Sequence[Task]] | None, str | None]:
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
