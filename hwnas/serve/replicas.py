"""The network in replicas of a Ray Serve deployment, behind the same application: one on each machine, or several.

Requests come to the application, with its TLS, tokens and limits, and go on by Ray's own calls. One whose replica
dies is given to another.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, DataError, MissingExtra, RunError, reason
from hwnas.serve.batching import Batcher, Overloaded
from hwnas.serve.bundle import ServedModel
from hwnas.serve.decode import Array
from hwnas.serve.metrics import Metrics
from hwnas.serve.session import Content, Session

APPLICATION = "hwnas"
REPLICA_TRIES = 5
AT_A_TIME = 1 << 14
"""Calls that a replica accepts; the application's own bound is below it."""
REPLICAS_START_S = 120.0
"""Seconds in which the replicas have to answer: Ray itself waits for room on a full cluster for ever."""


class Replica:
    """The network in a process of Ray's, with a queue of its own that fills batches.

    Args:
        model: that is served; its path is where it was read.
        file: the bytes of its file, so that other machines need no copy of the folder.
        wait_s: longest wait for a batch.
    """

    def __init__(self, model: ServedModel, file: bytes, wait_s: float) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hwnas-replica-")
        path = Path(self._folder.name) / model.path.name
        path.write_bytes(file)
        session = Session.open(replace(model, path=path))
        wait_s = wait_s if model.batch > 1 else 0.0
        self._batcher = Batcher([session.answer], batch=model.batch, wait_s=wait_s, most=AT_A_TIME, metrics=Metrics())

    async def submit(self, content: bytes) -> tuple[Array, int] | DataError:
        """Return the answer and its microseconds, or the error of the content."""
        try:
            return await self._batcher.submit(content)
        except DataError as error:
            return error

    def process(self) -> int:
        """Return the number of the process."""
        return os.getpid()


class ReplicaBackend:
    """A backend that hands contents to replicas.

    Args:
        handle: Ray's, of the deployment.
        owns_ray: True if Ray was begun for it, and ends with it.
        most: requests that may wait, beside those that are computed.
        replicas: number of them.
        metrics: counts.
    """

    def __init__(self, handle: Any, owns_ray: bool, most: int, replicas: int, metrics: Metrics) -> None:
        self._handle, self._owns_ray = handle, owns_ray
        self._most, self._replicas, self._metrics = most, replicas, metrics
        self._asked = 0
        self._service_s = 0.0

    @classmethod
    def start(cls, model: ServedModel, replicas: int, most: int, wait_s: float, metrics: Metrics) -> ReplicaBackend:
        """Start the replicas, on the cluster that `RAY_ADDRESS` names or on one of their own on this machine.

        Raises:
            MissingExtra: Ray Serve is not installed.
            ConfigError: there is no cluster at that address.
            RunError: the replicas do not answer in time.
        """
        ray, serve = _packages()
        if owns_ray := not ray.is_initialized():
            _begin(ray, replicas)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        options = {"num_replicas": replicas, "max_ongoing_requests": AT_A_TIME, "ray_actor_options": {"num_cpus": 1}}
        deployment = serve.deployment(Replica, name=APPLICATION, **options)
        bound = deployment.bind(model, model.path.read_bytes(), wait_s)
        try:
            handle = _in_time(REPLICAS_START_S, lambda: serve.run(bound, name=APPLICATION, route_prefix=None))
            handle.process.remote().result(timeout_s=REPLICAS_START_S)
        except Exception as error:  # Ray's errors have no common base
            free = ray.available_resources().get("CPU", 0)
            serve.delete(APPLICATION, _blocking=False)
            if owns_ray:
                ray.shutdown()
            raise _no_replicas(replicas, free, error) from error
        return cls(handle, owns_ray, most, replicas, metrics)

    @property
    def waiting(self) -> int:
        """Requests that are beyond those which all replicas compute."""
        return max(0, self._asked - self._replicas)

    def check_room(self) -> None:
        """Refuse a request if too many wait."""
        if self.waiting >= self._most:
            self._metrics.shed += 1
            raise Overloaded(max(1, round(self.waiting * self._service_s / self._replicas)))

    async def submit(self, content: Content) -> tuple[Array, int]:
        """Return the answer of a replica; of another one where the first died."""
        self.check_room()
        from ray.exceptions import RayActorError

        self._asked += 1
        begun = time.perf_counter()
        try:
            for tried in range(REPLICA_TRIES):
                try:
                    answer = await self._handle.submit.remote(bytes(content))
                    break
                except RayActorError:
                    if tried == REPLICA_TRIES - 1:
                        raise
        finally:
            self._asked -= 1
        if isinstance(answer, DataError):
            raise answer
        self._service_s += 0.1 * (answer[1] / 1e6 - self._service_s)
        self._metrics.service.observe(answer[1] / 1e6)
        self._metrics.waited.observe(max(0.0, time.perf_counter() - begun - answer[1] / 1e6))
        output, service_us = answer
        return output, service_us

    async def close(self) -> None:
        """Stop the replicas."""
        ray, serve = _packages()
        serve.shutdown()
        if self._owns_ray:
            ray.shutdown()


def _begin(ray: Any, replicas: int) -> None:
    """Join the cluster that `RAY_ADDRESS` names; without it begin one, and join none that runs here for others."""
    address = os.environ.get("RAY_ADDRESS") or "local"
    own = {"num_cpus": max(os.cpu_count() or 1, replicas), "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except Exception as error:  # Ray's errors have no common base
        raise ConfigError(
            f"no Ray cluster can be used ({reason(error)})",
            where=f"--engine ray: RAY_ADDRESS is {address}",
            allowed="The address is that of a running cluster; without one, a cluster is begun here",
            do="Start one with `ray start --head`, or unset RAY_ADDRESS",
        ) from error


def _in_time(seconds: float, call: Callable[[], Any]) -> Any:
    """Return what a call gives that may wait for ever.

    Raises:
        TimeoutError: it took longer.
    """
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True, name="replicas").start()
    if not wait([outcome], seconds).done:
        raise TimeoutError(f"they did not start within {seconds:g} s")
    return outcome.result()


def _no_replicas(replicas: int, free: float, error: Exception) -> RunError:
    return RunError(
        f"the replicas do not answer ({reason(error)})",
        where="--engine ray",
        allowed=f"Each of {replicas} takes one CPU of the cluster; {free:g} are free there",
        do="Ask for fewer with --workers, or free the cluster; `ray status` tells what it is busy with",
    )


def _packages() -> tuple[Any, Any]:
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise MissingExtra(
            f"Ray Serve cannot be imported ({reason(error)})",
            where="--engine ray",
            allowed='It comes with the extras "serve" and "ray-serve"',
            do='Run: pip install "hwnas[serve,ray-serve]"',
        ) from error
    return ray, serve
