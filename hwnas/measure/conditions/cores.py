"""Cores of a machine, and keeping a process to some of them. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hwnas.errors import ConfigError, reason
from hwnas.measure.conditions.tree import Tree, numbers_of
from hwnas.words import counted

CPUS = "sys/devices/system/cpu"
MAX_CLUSTER_RATIO = 1.1
"""Cores whose speeds differ by less are one cluster: x86 lets some of equal cores clock a little higher."""
CLUSTER_NAMES = {1: ("all",), 2: ("little", "big"), 3: ("little", "middle", "big")}
"""Names of the clusters, from the slowest to the fastest."""


@dataclass(frozen=True)
class Cluster:
    """Cores that are alike."""

    name: str
    """`little`, `middle`, `big`; `all` where all cores are alike."""
    cpus: tuple[int, ...]
    max_mhz: float | None = None
    capacity: float | None = None
    """The kernel's figure for the work that a core does, 1024 for the fastest."""
    part: str = ""
    """Implementer and part of the core, as the processor reports them (MIDR): `0x41/0xd0b`."""


def clusters(tree: Tree) -> list[Cluster]:
    """Return the machine's cores by kind, slowest first. Cores are distinguished by the kernel's `cpu_capacity`, by
    their highest clock and by the part that they report."""
    parts = _parts(tree)
    groups: list[tuple[tuple[float, float], list[int]]] = []
    cores = sorted((_speed(tree, cpu), parts.get(cpu, ""), cpu) for cpu in _present(tree))
    for before, (speed, part, cpu) in zip([None, *cores], cores):
        alike = before is not None and before[1] == part and _alike(before[0], speed)
        if alike:
            groups[-1][1].append(cpu)
        else:
            groups.append((speed, [cpu]))
    names = CLUSTER_NAMES.get(len(groups)) or ("little", *(f"middle{n}" for n in range(1, len(groups) - 1)), "big")
    return [
        Cluster(name, tuple(sorted(cpus)), speed[1] or None, speed[0] or None, parts.get(cpus[0], ""))
        for name, (speed, cpus) in zip(names, groups)
    ]


def cores_named(cores: str, tree: Tree) -> list[int]:
    """Return the processors that `big`, `little` or `0,1` stands for on this machine.

    Raises:
        ConfigError: there is no such cluster or processor here.
    """
    known = {cluster.name: list(cluster.cpus) for cluster in clusters(tree)}
    if cores in known:
        return known[cores]
    there = sorted(cpu for cpus in known.values() for cpu in cpus)
    try:
        wanted = sorted(set(numbers_of(cores)))
    except ValueError:
        wanted = []
    if not wanted or not set(wanted) <= set(there):
        listed = ", ".join(f"`{name}` ({_short(cpus)})" for name, cpus in known.items())
        raise ConfigError(
            f"`cores: {cores}`",
            where="set-up",
            allowed=f"The cores of this machine are {listed}; or a list of their numbers",
            do="Correct `cores`, or leave it out to use any of them",
        )
    return wanted


def chosen(cores: str, threads: int, pin: bool, tree: Tree) -> list[int]:
    """Return the processors that a process with `threads` threads is kept to; none where it may use all.

    With `pin` they are as many as there are threads, the last ones of those that it may use.

    Raises:
        ConfigError: `cores` names none of this machine's, or fewer than there are threads.
    """
    here = _usable(tree)
    wanted = cores_named(cores, tree) if cores else here
    if cores and here:
        wanted = [cpu for cpu in wanted if cpu in here]
    if cores and len(wanted) < threads:
        raise ConfigError(
            f"{counted(threads, 'thread')} on {counted(len(wanted), 'core')} (`cores: {cores}`)",
            where="set-up",
            allowed="Each thread has a core of its own",
            do="Lower `threads`, or name more cores",
        )
    return wanted[-threads:] if pin else (wanted if cores else [])


@contextmanager
def pinned_to(cpus: Sequence[int], *, surely: bool) -> Iterator[list[int]]:
    """Keep this process to these processors; yield those that it is kept to, none where the system refuses.

    Raises:
        ConfigError: it must be so `surely`, and the system refuses.
    """
    before = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    try:
        if cpus and not before:
            raise OSError("this system cannot")
        if cpus:
            os.sched_setaffinity(0, cpus)
    except OSError as error:
        if surely:
            raise ConfigError(
                f"the process cannot be kept to the cores {_short(cpus)} ({reason(error)})",
                where="set-up",
                allowed="`cores` needs a system that lets a process choose its processors",
                do="Leave out `cores`, or allow these processors (cgroup, taskset)",
            ) from error
        cpus = []
    try:
        yield list(cpus)
    finally:
        if cpus:
            os.sched_setaffinity(0, before)


def _present(tree: Tree) -> list[int]:
    try:
        online = numbers_of(tree.text(f"{CPUS}/online"))
    except ValueError:
        online = []
    return online or list(range(os.cpu_count() or 1))


def _usable(tree: Tree) -> list[int]:
    """Return the processors that this process may use; of a recorded machine, all."""
    if tree != Tree():
        return _present(tree)
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _speed(tree: Tree, cpu: int) -> tuple[float, float]:
    """Return capacity and highest clock in MHz, 0 where the system does not report them."""
    khz = tree.number(f"{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq") or 0.0
    return tree.number(f"{CPUS}/cpu{cpu}/cpu_capacity") or 0.0, khz / 1e3


def _alike(slower: tuple[float, float], faster: tuple[float, float]) -> bool:
    return all(max(one, other) <= MAX_CLUSTER_RATIO * min(one, other) for one, other in zip(slower, faster))


def _parts(tree: Tree) -> dict[int, str]:
    """Return implementer and part of each ARM core."""
    parts: dict[int, str] = {}
    for block in re.split(r"\n\s*\n", tree.text("proc/cpuinfo")):
        fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block.splitlines())}
        if "CPU part" in fields and fields.get("processor", "").isdigit():
            parts[int(fields["processor"])] = f"{fields.get('CPU implementer', '?')}/{fields['CPU part']}"
    return parts


def _short(cpus: Sequence[int]) -> str:
    return ",".join(map(str, cpus))
