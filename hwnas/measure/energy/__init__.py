"""Energy of a call, from the sensors that a machine has. A new sensor is one file and one row here. Board side."""

from __future__ import annotations

from hwnas.registry import Family, no_function

SENSORS = Family(
    "energy_sensors",
    {  # name in YAML -> function that finds it
        "rapl": "hwnas.measure.energy.rapl:find",
        "hwmon": "hwnas.measure.energy.hwmon:find",
        "iio": "hwnas.measure.energy.iio:find",
        "nvml": "hwnas.measure.energy.nvml:find",
        "command": "hwnas.measure.energy.command:find",
    },
    no_function,
)
