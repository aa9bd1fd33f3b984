"""Limits of this machine: a set-up that exceeds them is refused before anything is timed, and before its lock."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from hwnas.config import SetupConfig
from hwnas.errors import ConfigError
from hwnas.latency.building.model_files import free_bytes
from hwnas.network import Network, costs
from hwnas.ops import Operator, Shape
from hwnas.tasks.ends import elements_of

MEMORY_SHARE = 0.8
"""Largest share of the free memory that is used: the process that times needs some, and so do others."""
UNUSUAL_THREADS, UNUSUAL_BATCH = 128, 4096
"""Numbers of threads and of samples above which a set-up is probably a typing error on most devices."""


def check_threads(config: SetupConfig) -> None:
    """Refuse more threads than this machine has processors, where it is the one that is timed.

    Raises:
        ConfigError: it has fewer.
    """
    there = os.cpu_count() or 1
    if not config.host and config.threads > there:
        raise ConfigError(
            f"`threads` is {config.threads:,}",
            where="set-up",
            allowed=f"This machine has {there} processor{'s'[: there != 1]}, and more threads only wait for each other",
            do=f"Use {there} or fewer, or name the `host` that is meant",
        )


def check_batch(config: SetupConfig, operators: Iterable[tuple[Operator, Shape]], networks: Sequence[Network]) -> None:
    """Refuse a batch that the memory of this machine cannot hold, where it is the one that is timed.

    A network needs its input and its largest activations for each sample, in float32; where no
    network is timed whole, inputs of operators stand in.

    Raises:
        ConfigError: there is less memory.
    """
    if config.host or config.accelerator != "cpu" or config.batch == 1:
        return
    inputs = [4 * elements_of(shape) for _, shape in operators]
    whole = [4 * elements_of(network.input_shape) + costs(network).activation_bytes for network in networks]
    each, left = max([*inputs, *whole], default=0), min(free_bytes(), default=None)
    if left is not None and each * config.batch > MEMORY_SHARE * left:
        most = int(MEMORY_SHARE * left / each)
        raise ConfigError(
            f"`batch` is {config.batch:,}, for which the largest network needs {_gigabytes(each * config.batch)}",
            where="set-up",
            allowed=f"{_gigabytes(left)} of memory are left on this machine, and a sample takes {each / 1e6:.3g} MB",
            do=f"Use a batch of {max(1, most):,} or fewer, or name the `host` that is meant",
        )


def unusual(name: str, config: SetupConfig) -> list[str]:
    """Return warnings on a set-up of another machine, which cannot be examined from here."""
    requested = {"threads": (config.threads, UNUSUAL_THREADS), "batch": (config.batch, UNUSUAL_BATCH)}
    return [
        f"set-up `{name}`: `{key}` is {value:,}; whether {config.host or 'its device'} has room for that is seen there"
        for key, (value, most) in requested.items()
        if value > most and (config.host or config.latencies)
    ]


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.3g} GB"
