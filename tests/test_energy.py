"""Energy of a call, from sensors whose files a simulated machine writes as its time goes on."""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwnas.errors import ConfigError, SensorError
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.energy import SENSORS, command, nvml
from hwnas.measure.energy.meter import Energy, EnergyProtocol, Meter, energy_of
from hwnas.measure.energy.rapl import Counter
from hwnas.measure.energy.sensor import Sensor, find_sensor
from tests.helpers.machines import put, unpack

PACKAGE = "sys/class/powercap/intel-rapl:0/energy_uj"
DRAM = "sys/class/powercap/intel-rapl:0:1/energy_uj"


@dataclass
class Machine:
    """A clock that stands still but for `spend`, and power: `idle_w`, and `more_w` while a call runs."""

    tree: Tree
    idle_w: float = 4.0
    more_w: float = 8.0
    call_s: float = 0.002
    renewed_s: float = 0.001
    """How often its sensor is renewed."""
    now_s: float = 0.0
    joules: float = 0.0
    told: tuple[float, float, float] = (0.0, 0.0, 4.0)
    """Seconds, joules and watts at the last renewal."""

    def clock(self) -> float:
        self.now_s += 1e-7  # looking at a clock takes time
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.spend(seconds, self.idle_w)

    def call(self) -> None:
        self.spend(self.call_s, self.idle_w + self.more_w)

    def spend(self, seconds: float, watts: float) -> None:
        """Time goes on."""
        end_s = self.now_s + seconds
        renewal_s = end_s // self.renewed_s * self.renewed_s
        if renewal_s > self.told[0]:
            self.told = renewal_s, self.joules + watts * max(renewal_s - self.now_s, 0.0), watts
        self.joules += watts * seconds
        self.now_s = end_s

    def showing(self, sensor: Sensor, path: str, shown: Callable[[], float]) -> Sensor:
        """The sensor, whose file holds at each reading what the machine showed at its last renewal."""

        def read() -> float:
            put(self.tree, path, f"{shown():.0f}")
            return sensor.read()

        return replace(sensor, read=read)

    def meter(self, sensor: Sensor) -> Meter:
        return Meter(sensor, clock=self.clock, sleep=self.sleep)


def energy(machine: Machine, sensor: Sensor, **protocol: Any) -> Energy:
    return energy_of(machine.call, machine.meter(sensor), EnergyProtocol(**protocol))


def rapl(tmp_path: Path, start_uj: float = 1e9, step_uj: float = 61.0, **facts: Any) -> tuple[Machine, Sensor]:
    """An x86 whose package counter rises with the energy, in steps; its memory takes nothing."""
    tree = unpack("x86_rapl", tmp_path)
    full = float(tree.text("sys/class/powercap/intel-rapl:0/max_energy_range_uj"))

    machine = Machine(tree, **facts)
    put(tree, PACKAGE, f"{start_uj:.0f}")
    sensor = find_sensor("rapl", tree=tree)
    return machine, machine.showing(
        sensor, PACKAGE, lambda: (start_uj + machine.told[1] * 1e6) // step_uj * step_uj % full
    )


# --- sensors ---


def test_rapl_counts_packages_and_their_memory_and_not_what_contains_them(tmp_path: Path) -> None:
    tree = unpack("x86_rapl", tmp_path)
    sensor = find_sensor("auto", tree=tree)
    assert (sensor.name, sensor.tells) == ("RAPL package-0 + dram", "joules")
    assert sensor.read() == 0
    put(tree, PACKAGE, "262101000000")
    put(tree, DRAM, "7000000")
    put(tree, "sys/class/powercap/intel-rapl:0:0/energy_uj", "900000000")
    assert sensor.read() == pytest.approx(3.0)


def test_a_counter_goes_on_over_its_range(tmp_path: Path) -> None:
    tree = unpack("x86_rapl", tmp_path)
    counter = Counter(tree, "sys/class/powercap/intel-rapl:0", "package-0")
    counter.joules()
    put(tree, PACKAGE, "656671150")  # 43.32885 J until it is full, then 656.67115
    assert counter.joules() == pytest.approx(700.0)
    put(tree, PACKAGE, "756671150")
    assert counter.joules() == pytest.approx(800.0)


def test_a_counter_that_falls_without_a_range_is_no_counter(tmp_path: Path) -> None:
    tree = unpack("x86_rapl", tmp_path)
    counter = Counter(tree, "sys/class/powercap/intel-rapl:0", "package-0")
    counter.joules()
    put(tree, "sys/class/powercap/intel-rapl:0/max_energy_range_uj", "5")
    put(tree, PACKAGE, "7")
    with pytest.raises(SensorError, match="its counter fell from 262100000000 to 7 uJ"):
        counter.joules()


@pytest.mark.parametrize(
    ("name", "label"),
    [("hwmon", "hwmon ina3221 VDD_IN"), ("iio", "iio ina3221x VDD_IN"), ("auto", "hwmon ina3221 VDD_IN")],
)
def test_a_jetsons_sensors_tell_the_power_of_its_input(tmp_path: Path, name: str, label: str) -> None:
    sensor = find_sensor(name, tree=unpack("jetson", tmp_path))
    assert (sensor.name, sensor.tells) == (label, "watts")
    assert sensor.read() == pytest.approx(4.838, abs=0.001)  # 5040 mV times 960 mA, 4838 mW
    assert sensor.interval_s == (None if name == "iio" else 0.02)


def test_rails_without_a_common_input_are_added_up(tmp_path: Path) -> None:
    tree = unpack("jetson", tmp_path)
    chip = "sys/class/hwmon/hwmon3"
    put(tree, f"{chip}/in1_label", "VDD_RAM")
    sensor = find_sensor("hwmon", tree=tree)
    assert sensor.name == "hwmon ina3221 VDD_RAM + VDD_CPU_GPU_CV + VDD_SOC"
    assert sensor.read() == pytest.approx(5.04 * (0.96 + 0.24 + 0.32))
    put(tree, f"{chip}/power1_input", "7500000")
    assert find_sensor("hwmon", tree=tree).read() == 7.5, "a power needs no product"


@pytest.mark.parametrize("scale", ["in_power0_scale", "in_power_scale"])
def test_a_raw_figure_of_iio_is_scaled(tmp_path: Path, scale: str) -> None:
    device = "sys/bus/iio/devices/iio:device0"
    for path, text in (("in_power0_raw", "200"), (scale, "2.5"), ("sampling_frequency", "50")):
        put(Tree(tmp_path), f"{device}/{path}", text)
    sensor = find_sensor("iio", tree=Tree(tmp_path))
    assert (sensor.read(), sensor.interval_s) == (0.5, 0.02)


def test_a_machine_without_a_sensor_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=r"rapl: .*hwmon: .*iio: ") as caught:
        find_sensor("auto", tree=unpack("pi4", tmp_path))
    assert "command" in caught.value.do
    with pytest.raises(ConfigError, match="unknown energy sensor `ina`"):
        find_sensor("ina")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_only_root_reads_is_told(tmp_path: Path) -> None:
    tree = unpack("x86_rapl", tmp_path)
    (tree.root / PACKAGE).chmod(0)
    with pytest.raises(SensorError, match="Permission denied"):
        find_sensor("rapl", tree=tree)


def test_permission_denied_names_the_file_and_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = unpack("x86_rapl", tmp_path)
    allowed = Path.read_text

    def denied(path: Path, *args: Any, **options: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return allowed(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(SensorError, match=r"intel-rapl:0/energy_uj: Permission denied") as caught:
        find_sensor("rapl", tree=tree)
    assert "chmod o+r" in caught.value.do


def test_every_sensor_of_the_table_says_why_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "open_nvml", lambda: None)
    monkeypatch.setattr(nvml, "gpu_state", lambda: None)
    for name in SENSORS:
        with pytest.raises(SensorError, match=f"{name}: "):
            find_sensor(name, tree=Tree(tmp_path))


def test_a_gpu_is_asked_for_its_counter_and_else_for_its_power(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    def none(handle: Any) -> int:
        raise NVMLError("Not Supported")

    counter = SimpleNamespace(NVMLError=NVMLError, nvmlDeviceGetTotalEnergyConsumption=lambda handle: 2500)
    monkeypatch.setattr(nvml, "open_nvml", lambda: (counter, 0))
    sensor = find_sensor("auto", cuda=True)
    assert (sensor.name, sensor.read()) == ("NVML energy counter", 2.5)
    counter.nvmlDeviceGetTotalEnergyConsumption = none
    with pytest.raises(SensorError, match="Not Supported"):
        sensor.read()
    monkeypatch.setattr(nvml, "gpu_state", lambda: {"watts": 71.5})
    assert find_sensor("nvml").read() == 71.5
    monkeypatch.setattr(nvml, "gpu_state", lambda: {"watts": None})
    with pytest.raises(SensorError, match="does not tell its power"):
        find_sensor("nvml")


# --- a user's command ---


def python(code: str) -> str:
    return f'{sys.executable} -c "{code}"'


def test_a_command_that_prints_watts_is_a_sensor() -> None:
    sensor = find_sensor("auto", python("print(12.25)"))
    assert (sensor.tells, sensor.read()) == ("watts", 12.25)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('12 W')", r"it printed '12 W', not watts"),
        ("print()", r"it printed '', not watts"),
        ("print('nan')", r"it printed 'nan', not watts"),
        ("print(-3)", r"it printed '-3', not watts"),
        ("raise SystemExit('no meter')", r"it ended with code 1: no meter"),
    ],
)
def test_a_command_that_prints_something_else_is_refused_with_what_it_printed(code: str, said: str) -> None:
    with pytest.raises(SensorError, match=said):
        find_sensor("command", python(code))


def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(SensorError, match=r"it gave nothing in 0\.2 s"):
        command.watts([sys.executable, "-c", "import time; time.sleep(60)"], patience_s=0.2)


def test_a_command_is_no_shell(tmp_path: Path) -> None:
    program = tmp_path / "watts"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(len(sys.argv))\n")
    program.chmod(stat.S_IRWXU)
    assert find_sensor("command", f"{program} ; touch {tmp_path}/made").read() == 4
    assert not (tmp_path / "made").exists()
    with pytest.raises(SensorError, match="No such file"):
        find_sensor("command", str(tmp_path / "nothing"))
    with pytest.raises(SensorError, match="No closing quotation"):
        find_sensor("command", "watts 'now")


# --- the meter ---


def test_a_counter_tells_the_energy_above_idling(tmp_path: Path) -> None:
    machine, sensor = rapl(tmp_path)
    found = energy(machine, sensor)
    assert found.median_mj == pytest.approx(16.0, rel=0.05)  # 8 W for 2 ms
    assert found.conditions["error"] <= 0.05
    assert found.conditions["idle_w"] == pytest.approx(4.0, rel=0.02)
    assert len(found.mj) == 3


@pytest.mark.parametrize("left_j", [3.0, 40.0, 100.0])
def test_a_wrap_around_in_the_middle_changes_nothing(tmp_path: Path, left_j: float) -> None:
    machine, sensor = rapl(tmp_path, start_uj=262143328850 - left_j * 1e6, idle_w=20.0, more_w=40.0)
    assert energy(machine, sensor).median_mj == pytest.approx(80.0, rel=0.05)
    assert machine.joules > left_j / 2


@pytest.mark.parametrize("renewed_s", [0.001, 0.01, 0.1])
def test_the_slower_the_sensor_the_longer_the_loops_and_the_error_stays(tmp_path: Path, renewed_s: float) -> None:
    machine, sensor = rapl(tmp_path, renewed_s=renewed_s)
    found = energy(machine, sensor)
    assert found.conditions["seconds"] >= 10 * renewed_s
    assert found.median_mj == pytest.approx(16.0, rel=0.05)


def test_a_sensor_that_is_too_slow_is_refused_with_the_reason(tmp_path: Path) -> None:
    machine, sensor = rapl(tmp_path, renewed_s=0.25)
    with pytest.raises(SensorError, match=r"too slow: renewed every 2\d\d ms .* loops of \d+ s for an error of 2%"):
        energy(machine, sensor, error=0.02)
    assert energy(machine, sensor, error=0.02, longest_s=60).median_mj == pytest.approx(16.0, rel=0.02)


@pytest.mark.parametrize("step_uj", [1e5, 5e5])
def test_a_counter_of_coarse_steps_is_refused(tmp_path: Path, step_uj: float) -> None:
    machine, sensor = rapl(tmp_path, step_uj=step_uj, idle_w=0.4, more_w=0.1)
    with pytest.raises(SensorError, match=r"too slow|too coarse"):
        energy(machine, sensor)


def test_a_counter_that_stands_still_is_refused(tmp_path: Path) -> None:
    machine, _ = rapl(tmp_path)
    with pytest.raises(SensorError, match=r"stands still, or is too coarse: 0 changes in 3 s"):
        machine.meter(find_sensor("rapl", tree=machine.tree))


def test_a_counter_that_stalls_while_it_is_used_is_refused(tmp_path: Path) -> None:
    machine, sensor = rapl(tmp_path)
    meter = machine.meter(sensor)
    meter.sensor = find_sensor("rapl", tree=machine.tree)
    with pytest.raises(SensorError, match="its counter stood still for 0"):
        energy_of(machine.call, meter, EnergyProtocol())


def monitor(tmp_path: Path, step_w: float = 0.02, noise_w: float = 0.03, **facts: Any) -> tuple[Machine, Sensor]:
    """A board with an INA whose power is renewed every 20 ms, in steps, with noise that repeats."""
    tree = unpack("jetson", tmp_path)

    machine, path = Machine(tree, renewed_s=0.02, **facts), "sys/class/hwmon/hwmon3/power1_input"
    put(tree, path, "4000000")

    def shown() -> float:
        at_s, _, watts = machine.told
        return round((watts + noise_w * math.sin(at_s * 1.7)) / step_w) * step_w * 1e6

    return machine, machine.showing(find_sensor("hwmon", tree=tree), path, shown)


def test_a_power_monitor_is_integrated_over_the_loop(tmp_path: Path) -> None:
    machine, sensor = monitor(tmp_path)
    found = energy(machine, sensor)
    assert found.median_mj == pytest.approx(16.0, rel=0.05)
    assert found.conditions["interval_s"] == pytest.approx(0.02, rel=0.2)


def test_steps_larger_than_the_difference_are_refused(tmp_path: Path) -> None:
    machine, sensor = monitor(tmp_path, step_w=0.5, noise_w=0.6, more_w=2.0)
    with pytest.raises(SensorError, match=r"too coarse: it tells .* W above idling in steps of 0\.5 W"):
        energy(machine, sensor)


def test_noise_of_idling_above_the_difference_is_refused(tmp_path: Path) -> None:
    machine, sensor = monitor(tmp_path, noise_w=3.0, more_w=1.0)
    with pytest.raises(SensorError, match=r"the noise of idling|no difference is seen"):
        energy(machine, sensor)


def test_a_call_that_takes_no_more_than_idling_is_refused(tmp_path: Path) -> None:
    machine, sensor = monitor(tmp_path, more_w=0.0)
    with pytest.raises(SensorError, match=r"no difference is seen|too coarse"):
        energy(machine, sensor)


@pytest.mark.parametrize("wrong", [{"error": 0.0}, {"error": 1.0}, {"repeats": 1}, {"longest_s": math.inf}])
def test_a_protocol_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(EnergyProtocol(), **wrong)
