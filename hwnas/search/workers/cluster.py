"""The Ray cluster of a search: begun or joined for a while, watched, and left in order."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, final

from hwnas.errors import ConfigError, HwnasError, RunError, reason

LOOK_S = 2.0
"""Seconds between two looks at the cluster."""
MISSES = 2
"""Looks in a row in vain after which it counts as gone."""
STUCK_S = 30.0
"""Seconds for which the search may stay in a call of Ray's that waits for what is gone."""
LEAVE_S = 10.0
"""Seconds that it may take to leave a cluster that is broken."""
_WITNESS = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
if not sys.stdin.read():
    sys.exit(sys.argv[1])
"""
"""Program that prints its argument if its standard input ends before anything was written there. Ctrl-C, which reaches
it too, is this process's to answer."""


@final
class Watched:
    """The services of Ray that the driver cannot do without: the local node's, and the cluster's own.

    Ray itself ends the process when they are gone, after a minute and without a word of what that means. A thread looks
    after them, for the search may be in a call of Ray's that waits for them and that no exception ends.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places, self._missed = places, dict.fromkeys(places, 0)
        self.gone: HwnasError | None = None

    def look(self) -> None:
        """Note the error that ends the search, if a service is gone."""
        for what, address in self._places.items():
            self._missed[what] = 0 if _answers(address) else self._missed[what] + 1
            if self._missed[what] >= MISSES:
                self.gone = RunError(
                    f"{what} has died",
                    where=f"search.runner: ray, {address}",
                    allowed="The search needs the node that it was started on, and the head of its cluster",
                    do="Run the same command again: what was told is kept, what was in hand is asked anew",
                )

    def guard(self, left: threading.Event, look_s: float = LOOK_S, stuck_s: float = STUCK_S) -> None:
        """Look until the cluster is left; where that does not come after a service is gone, end the process."""
        while not left.wait(look_s):
            self.look()
            if self.gone is not None:
                if not left.wait(stuck_s):
                    print(f"error: {self.gone}", file=sys.stderr, flush=True)
                    os._exit(1)
                return


@contextlib.contextmanager
def _guarded(joined: Watched) -> Iterator[Watched]:
    left = threading.Event()
    threading.Thread(target=joined.guard, args=(left,), daemon=True).start()
    try:
        yield joined
    finally:
        left.set()


def watched() -> Watched:
    """Return the services of the cluster that this process has joined."""
    import ray

    context = ray.get_runtime_context()
    here, nodes = context.get_node_id(), ray.nodes()  # type: ignore[no-untyped-call]
    places = {"the cluster's coordination service": context.gcs_address}
    for node in nodes:
        if node["NodeID"] == here:
            places["the Ray node of this machine"] = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
    return Watched(places)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def cluster(address: str | None, cpus: int, environment: Mapping[str, str]) -> Iterator[Watched]:
    """Provide a cluster for the block: the one this process uses already, the one at the address, or a new one.

    Raises:
        ConfigError: there is none at the address.
        RunError: none could be begun here.
    """
    import ray

    if ray.is_initialized():
        with _guarded(watched()) as joined:
            yield joined
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        cpus = max(os.cpu_count() or 1, cpus)
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}  # without, it joins any that runs
    else:
        options |= {"address": address, "runtime_env": {"env_vars": dict(environment)}}
    try:
        _reach(address)  # Ray itself waits for minutes, and then ends the process
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with report_abrupt_exit(_none(address, "Ray ended the process while it started")):
                ray.init(**options)
        joined = watched()
    except Exception as error:  # Ray's errors have no common base
        raise _none(address, reason(error)) from error
    try:
        with _guarded(joined):
            yield joined
    finally:
        _leave(joined)


@contextlib.contextmanager
def report_abrupt_exit(error: HwnasError) -> Iterator[None]:
    """Have an error printed by another process, should this one end within the block.

    Where a service dies while `ray.init` runs, Ray leaves by `_exit`, of which no Python code of the process hears.
    """
    witness = subprocess.Popen([sys.executable, "-S", "-c", _WITNESS, f"error: {error}"], stdin=subprocess.PIPE)
    try:
        yield
    finally:
        witness.communicate(b"left")


def _none(address: str | None, why: str) -> HwnasError:
    if address is None:
        return RunError(
            f"no Ray cluster can be begun ({why})",
            where="search.runner: ray",
            allowed="Ray starts its processes on this machine within a minute or so",
            do="Run the same command again: what was told is kept; if it fails again, look at Ray's log in /tmp/ray",
        )
    return ConfigError(
        f"no Ray cluster can be used ({why})",
        where=f"search.ray: address {address}",
        allowed="`auto` and `host:port` need a running cluster; without an address one is begun here",
        do="Start one with `ray start --head`, or leave the address out",
    )


def _leave(joined: Watched) -> None:
    import ray

    if joined.gone is None:
        ray.shutdown()
        return
    atexit.unregister(ray.shutdown)  # it may wait for what is gone
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(LEAVE_S)


def _reach(address: str | None) -> None:
    """Raise OSError if nobody listens at a host and port."""
    host, _, port = (address or "").rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()
