"""What machines are and do, read from the small files in which they tell it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hwnas.errors import ConfigError
from hwnas.measure.conditions import throttle
from hwnas.measure.conditions.cores import chosen, clusters, cores_named, pinned_to
from hwnas.measure.conditions.heat import Gate, celsius, temperatures
from hwnas.measure.conditions.machine import machine_facts, machine_state
from hwnas.measure.conditions.rounds import BoardWatch
from hwnas.measure.conditions.throttle import ThrottleWatch, Throttling, pi_bits
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.timing import THROTTLED, Timing, measure
from tests.helpers.machines import FOLDER, put, unpack
from tests.helpers.measuring import Clock

MACHINES = sorted(path.stem for path in FOLDER.glob("*.txt"))
PI_FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
PI_HEAT = "sys/class/thermal/thermal_zone0/temp"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tree]:
    return {name: unpack(name, tmp_path_factory.mktemp(name)) for name in MACHINES}


@pytest.fixture
def pi(tmp_path: Path) -> Tree:
    return unpack("pi4", tmp_path / "pi")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pi4", {"all": (0, 1, 2, 3)}),
        ("jetson", {"all": (0, 1, 2, 3)}),
        ("phone", {"little": (0, 1, 2, 3), "middle": (4, 5, 6), "big": (7,)}),
        ("x86_rapl", {"all": (0, 1, 2, 3)}),
        ("x86_vm", {"all": (0, 1)}),
    ],
)
def test_cores_are_told_apart_by_what_they_can_do(
    machines: dict[str, Tree], name: str, expected: dict[str, tuple[int, ...]]
) -> None:
    assert {cluster.name: cluster.cpus for cluster in clusters(machines[name])} == expected


def test_cores_are_named_by_cluster_or_by_number(machines: dict[str, Tree]) -> None:
    phone = machines["phone"]
    named = {cores: cores_named(cores, phone) for cores in ("big", "little", "0,2", "4-6", "7,7")}
    assert named == {"big": [7], "little": [0, 1, 2, 3], "0,2": [0, 2], "4-6": [4, 5, 6], "7,7": [7]}


@pytest.mark.parametrize("cores", ["huge", "9", "0,99", "3-1", "-1", ""])
def test_cores_that_are_not_there_are_refused_with_those_that_are(machines: dict[str, Tree], cores: str) -> None:
    with pytest.raises(ConfigError, match=r"`little` \(0,1,2,3\), `middle` \(4,5,6\), `big` \(7\)"):
        cores_named(cores, machines["phone"])


def test_a_process_gets_the_last_cores_of_those_it_asked_for(machines: dict[str, Tree]) -> None:
    phone = machines["phone"]
    assert chosen("little", 2, True, phone) == [2, 3]
    assert chosen("little", 2, False, phone) == [0, 1, 2, 3]
    assert chosen("", 2, True, phone) == [6, 7]
    assert chosen("", 2, False, phone) == []
    with pytest.raises(ConfigError, match="2 threads on 1 core "):
        chosen("big", 2, True, phone)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not pin processes")
def test_a_process_that_cannot_be_kept_to_its_cores_says_so_if_it_matters() -> None:
    with pytest.raises(ConfigError, match="cannot be kept to the cores 4000"), pinned_to([4000], surely=True):
        pass
    with pinned_to([4000], surely=False) as cpus:
        assert cpus == []


@pytest.mark.parametrize(
    ("name", "model", "governor", "mhz", "degrees"),
    [
        ("pi4", "Raspberry Pi 4 Model B Rev 1.4", "ondemand", 1800, 51.608),
        ("jetson", "NVIDIA Jetson Xavier NX Developer Kit", "schedutil", 1190.4, 43.5),
        ("phone", "Acme Phone 8", "walt", 1800, 58.0),
        ("x86_rapl", "NUC12WSKi5", "powersave", 2800, 48.0),
        ("x86_vm", None, None, None, None),
    ],
)
def test_a_machine_tells_model_governor_clock_and_the_processors_heat(
    machines: dict[str, Tree], name: str, model: str | None, governor: str | None, mhz: float | None, degrees: float
) -> None:
    """What a machine does not tell is left out, or None; sensors that read nonsense (-274, a PMIC) do not count."""
    tree = machines[name]
    assert machine_facts(tree).get("model") == model
    state = machine_state(tree)
    assert (state["governor"], state["cpu_mhz"], state["celsius"]) == (governor, mhz, degrees)


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_tells_kernel_memory_load_and_cores(machines: dict[str, Tree], name: str) -> None:
    facts, state = machine_facts(machines[name]), machine_state(machines[name])
    assert {"kernel", "memory_mb", "swap_mb", "clusters"} <= facts.keys()
    assert 0 < state["memory_free_mb"] <= facts["memory_mb"]  # type: ignore[operator]
    assert {"load", "steal_ticks", "swap_used_mb"} <= {key for key, value in state.items() if value is not None}


def test_the_clock_is_that_of_the_cores_in_use(machines: dict[str, Tree]) -> None:
    assert [machine_state(machines["phone"], cpus)["cpu_mhz"] for cpus in ([7], [4, 7], [])] == [3000, 2400, 1800]


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "nothing")
    assert machine_facts(tree).keys() == {"kernel", "clusters"}
    assert temperatures(tree) == {}
    assert not ThrottleWatch(tree).is_reported
    assert machine_state(tree)["celsius"] is None


# --- throttling ---


def test_a_phone_whose_fast_cores_are_cooled_by_slowing_them_is_throttled(machines: dict[str, Tree]) -> None:
    watch = ThrottleWatch(machines["phone"])
    assert watch.look().until(watch.look()) == ["cooling by thermal-cpufreq-1"]


@pytest.mark.parametrize("name", ["pi4", "jetson", "x86_rapl"])
def test_a_fan_or_an_idle_cooling_device_throttles_nothing(machines: dict[str, Tree], name: str) -> None:
    watch = ThrottleWatch(machines[name])
    assert watch.is_reported
    assert watch.look().until(watch.look()) == []


def test_the_counters_of_an_x86_tell_what_happened_between_two_looks(tmp_path: Path) -> None:
    tree = unpack("x86_rapl", tmp_path)
    watch = ThrottleWatch(tree)
    before = watch.look()
    put(tree, "sys/devices/system/cpu/cpu2/thermal_throttle/package_throttle_count", "4")
    assert before.until(watch.look()) == ["thermal throttling of the package"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("0", "0", []),
        ("50000", "50000", []),  # under-voltage and throttling long ago
        ("0", "50000", ["throttled", "under-voltage"]),  # it came and went between the looks
        ("0", "80008", ["soft temperature limit"]),
        ("2", "0", ["frequency capped"]),
    ],
)
def test_a_pi_was_throttled_if_a_flag_is_up_or_was_raised_meanwhile(
    pi: Tree, before: str, after: str, expected: list[str]
) -> None:
    put(pi, PI_FLAGS, before)
    watch = ThrottleWatch(pi)
    first = watch.look()
    put(pi, PI_FLAGS, after)
    assert first.until(watch.look()) == expected


def test_vcgencmd_is_asked_where_the_kernel_has_no_file(pi: Tree) -> None:
    (pi.root / PI_FLAGS).unlink()
    watch = ThrottleWatch(pi, vcgencmd=lambda: "throttled=0x4\n")
    assert watch.look().now == {"throttled"}
    assert not ThrottleWatch(pi, vcgencmd=lambda: "VCHI initialization failed").is_reported


def test_only_vcgencmds_own_form_is_read() -> None:
    assert pi_bits("throttled=0x50005") == 0x50005
    assert [pi_bits(text) for text in ("", "0x5", "throttled=5", "throttled=0xzz")] == [None] * 4


@pytest.mark.parametrize(
    ("bits", "expected"), [(0x1, set()), (0x4, set()), (0x8 | 0x40, {"hardware slowdown", "hardware thermal"})]
)
def test_a_gpu_is_throttled_by_heat_and_by_its_hardware_not_by_a_power_cap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bits: int, expected: set[str]
) -> None:
    class NVMLError(Exception):
        pass

    fake = SimpleNamespace(NVMLError=NVMLError, nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: bits)
    monkeypatch.setattr(throttle, "open_nvml", lambda: (fake, 0))
    watch = ThrottleWatch(Tree(tmp_path), gpu=True)
    assert watch.is_reported
    assert watch.look().now == expected
    monkeypatch.setattr(throttle, "open_nvml", lambda: None)
    assert not ThrottleWatch(Tree(tmp_path), gpu=True).is_reported


# --- the gate ---


def test_the_gate_waits_from_above_the_one_bound_until_below_the_other(pi: Tree) -> None:
    slept: list[float] = []

    def cools(seconds: float) -> None:
        slept.append(seconds)
        put(pi, PI_HEAT, str(82000 - 3000 * len(slept)))

    gate = Gate(80, 70, 60, pi, sleep=cools)
    put(pi, PI_HEAT, "79000")
    assert (gate.wait(), slept) == ("", [])
    put(pi, PI_HEAT, "82000")
    assert gate.wait() == ""
    assert celsius(pi) == 70  # after four seconds
    assert len(slept) == 4


def test_the_gate_loses_patience_and_says_that_it_is_warm(pi: Tree) -> None:
    slept: list[float] = []
    put(pi, PI_HEAT, "85000")
    gate = Gate(80, 70, 10, pi, sleep=slept.append)
    assert [gate.wait(), gate.wait()] == ["above 80 °C"] * 2
    assert sum(slept) == 10, "ten seconds in all"


def test_a_bound_on_a_temperature_that_nobody_tells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no temperature can be read"):
        Gate(80, 70, 10, Tree(tmp_path))


@pytest.mark.parametrize("wrong", [{"pause_above_c": -1.0}, {"pause_above_c": 70.0, "resume_below_c": 80.0},
                                   {"resume_below_c": 60.0}, {"pause_seconds": float("inf")}])  # fmt: skip
def test_a_gate_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        replace(Timing(), **wrong)  # type: ignore[arg-type]


# --- rounds ---


class Spell(BoardWatch):
    """A board that is throttled in some of its rounds, by number."""

    def __init__(self, tree: Tree, rounds: set[int]) -> None:
        super().__init__(Gate(None, 0, 0, tree), ThrottleWatch(tree), tree=tree)
        self.number, self.rounds = -1, rounds

    def begin(self) -> None:
        self.number += 1
        put(self.tree, PI_FLAGS, "4" if self.number in self.rounds else "0")
        super().begin()


def test_a_round_during_which_the_board_was_throttled_is_taken_again(pi: Tree) -> None:
    clock = Clock()
    watch = Spell(pi, {1, 2})
    work = clock.worker("", lambda now: 9_000_000 if watch.number in watch.rounds else 6_000_000)
    found = measure({0: work}, Timing(warm_up_ms=0, rounds=6), clock=clock, rounds=watch)[0]
    assert found.rounds_ns == (6_000_000,) * 6
    assert (found.conditions[THROTTLED], found.conditions["throttled_retaken"]) == (0, 2)
    assert "throttled" not in found.conditions
    assert found.conditions["round_mhz"] == [1800.0] * 6


def test_a_board_that_stays_throttled_costs_a_bounded_number_of_rounds_and_is_marked(pi: Tree) -> None:
    clock = Clock()
    watch = Spell(pi, set(range(100)))
    work = clock.worker("", lambda now: 9_000_000)
    found = measure({0: work}, Timing(warm_up_ms=0, rounds=6, max_retries=0.5), clock=clock, rounds=watch)[0]
    assert watch.number == 8, "six rounds, and half as many again"
    assert len(found.rounds_ns) == found.conditions[THROTTLED] == 6
    assert found.conditions["throttled"] == {"throttled": 6}


def test_after_a_throttled_round_it_waits_until_the_board_has_recovered(pi: Tree) -> None:
    slept: list[float] = []

    def recovers(seconds: float) -> None:
        slept.append(seconds)
        put(pi, PI_FLAGS, "4" if len(slept) < 3 else "0")

    watch = BoardWatch(Gate(None, 0, 60, pi, sleep=recovers), ThrottleWatch(pi), tree=pi)
    watch.begin()
    put(pi, PI_FLAGS, "4")
    assert watch.end() == ["throttled"]
    watch.begin()
    assert len(slept) == 3
    assert watch.end() == []


def test_a_machine_that_tells_nothing_of_throttling_is_not_called_unthrottled(tmp_path: Path) -> None:
    clock = Clock()
    watch = BoardWatch(Gate(None, 0, 0), ThrottleWatch(Tree(tmp_path)), tree=Tree(tmp_path))
    found = measure({0: clock.worker("", lambda now: 6_000_000)}, Timing(rounds=3), clock=clock, rounds=watch)[0]
    assert THROTTLED not in found.conditions
    assert Throttling().until(Throttling()) == []
