"""Energy of a call, from the sensors that a machine has. A new sensor is one file and one row here. Board side."""

from __future__ import annotations

from collections.abc import Mapping

SENSORS: Mapping[str, str] = {  # name in YAML -> what finds it; the first that is there is used, and how sure it is
    "rapl": "hwnas.measure.energy.rapl:find",
    "hwmon": "hwnas.measure.energy.hwmon:find",
    "iio": "hwnas.measure.energy.iio:find",
    "nvml": "hwnas.measure.energy.nvml:find",
    "command": "hwnas.measure.energy.command:find",
}
