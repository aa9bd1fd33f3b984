"""How latency and energy are measured."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from hwnas.config.words import Positive, SensorName
from hwnas.io.strict_model import StrictModel


class TimingConfig(StrictModel):
    """The measuring protocol; the fields of `hwnas.measure.timing.Timing`."""

    warm_up_ms: float = Field(default=20.0, ge=0)
    min_sample_ms: float = Field(default=5.0, gt=0)
    rounds: int = Field(default=60, ge=3)
    processes: int = Field(default=6, ge=0)
    files_per_session: Positive = 256
    max_retries: float = Field(default=0.5, ge=0)
    pin: bool = True
    max_seconds: float | None = Field(default=None, gt=0)
    process_seconds: float | None = Field(default=None, gt=0)
    pause_above_c: float | None = Field(default=None, gt=0)
    resume_below_c: float | None = Field(default=None, gt=0)
    pause_seconds: float = Field(default=300.0, ge=0)
    validation_networks: int = Field(default=20, ge=0)
    """Random whole networks timed beside the operators, from which the latency model corrects itself."""
    device_lock_timeout_s: float = Field(default=1800.0, ge=0)
    """Seconds to wait for a device on which somebody else measures."""


class EnergyConfig(StrictModel):
    """How the energy of a call is measured; the fields of `hwnas.measure.energy.meter.EnergyProtocol`."""

    sensor: SensorName = "auto"
    command: str = ""
    """Command that prints watts; it is run without a shell."""
    error: float = Field(default=0.05, gt=0, lt=1)
    """Largest relative error of the sensor."""
    repeats: int = Field(default=3, ge=2)
    longest_s: float = Field(default=30.0, gt=0)
    """A sensor that needs longer loops is refused."""

    @model_validator(mode="before")
    @classmethod
    def _sensor_alone(cls, value: Any) -> Any:
        return {"sensor": value} if isinstance(value, str) else value
