"""Ray's own cluster of two nodes on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from hwnas.search.workers.ray_tune import QUIET


@contextmanager
def two_nodes(environment: Mapping[str, str] | None = None) -> Iterator[Any]:
    """The cluster, which this process has joined; nodes and actors see the environment's additions."""
    ray = pytest.importorskip("ray", reason='Ray is not here: pip install "hwnas[ray]"')
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in {**QUIET, **(environment or {})}.items():
            patch.setenv(name, value)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
