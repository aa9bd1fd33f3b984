"""The experiment's keys about where architectures are scored."""

from __future__ import annotations

from pydantic import Field

from hwnas.config.setups import Positive
from hwnas.io.strict_model import StrictModel


class RayConfig(StrictModel):
    """Scoring by Ray; the fields of `hwnas.search.workers.ray_tune.Workers`."""

    workers: Positive = 2
    cpus: float = Field(default=1.0, gt=0)
    """Processors of each worker."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs of each worker; a fraction lets several share one."""
    address: str | None = None
    """A cluster that runs already: `auto`, or host:port. One is begun on this machine if left out."""
    batch: Positive = 1
    """Number of architectures that a worker gets at a time."""
