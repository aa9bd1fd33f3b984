"""A link that is imposed on this machine: its queue by the clock of the link, and real packets through it."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from hwnas.collaborate.imposed import namespaces
from hwnas.collaborate.imposed.calibration import Calibration, measure_link
from hwnas.collaborate.imposed.direction import Direction
from hwnas.collaborate.imposed.link import ImposedLink, LinkState
from hwnas.collaborate.imposed.namespaces import CLOUD_ADDRESS, check_namespaces
from hwnas.collaborate.links.series import ConstantDelay, ConstantRate, DelaySeries, RateSeries
from hwnas.errors import RunError
from tests.helpers.links import constant_link, recorded_link, slow_finish_ms

FAST = LinkState(100.0, 100.0, 2.0)


@pytest.fixture(scope="module")
def link() -> Iterator[ImposedLink]:
    try:
        check_namespaces()
    except RunError as error:
        pytest.skip(str(error))
    with ImposedLink(constant_link(100.0, 100.0, 2.0)) as imposed:
        yield imposed


# --- the queue, by the link's own clock ---


def test_packets_of_a_constant_link_arrive_when_the_closed_form_says() -> None:
    rng, way = random.Random(0), Direction(ConstantRate(np.array(2.0)), ConstantDelay(np.array(80.0)).up_ms)
    now, free = 0.0, 0.0
    for _ in range(2000):
        now, size = now + rng.expovariate(0.4), rng.randint(40, 1500)
        free = max(now, free) + size * 8 / 2000
        assert way.arrival_ms(now, size) == pytest.approx(free + 40)


@pytest.mark.parametrize("seed", range(5))
def test_packets_of_a_recorded_link_arrive_as_second_by_second_and_in_order(seed: int) -> None:
    rng, records = random.Random(seed), recorded_link(seed).series.records
    delay = DelaySeries(records["rtt"])
    way = Direction(RateSeries(records["up"]), delay.up_ms)
    now, free, last = rng.uniform(0, 90_000), 0.0, 0.0
    for _ in range(300):
        now, size = now + rng.expovariate(0.05), rng.randint(40, 1500)
        free = slow_finish_ms(records["up"], max(now, free), size)
        last = max(last, free + float(delay.up_ms(np.float64(free))))
        assert way.arrival_ms(now, size) == pytest.approx(last, rel=1e-9)


def test_what_leaves_a_recorded_link_returns_as_the_record_has_it() -> None:
    delay = DelaySeries(recorded_link(3).series.records["rtt"])
    times = np.random.default_rng(0).uniform(0, 60_000, 500)
    there = times + delay.up_ms(times)
    assert there + delay.down_ms(there) - times == pytest.approx(delay.at_ms(times))
    assert (delay.up_ms(times) >= delay.down_ms(times)).all()


def test_packets_are_lost_at_their_share_and_held_or_dropped_in_an_outage() -> None:
    rate, delay = ConstantRate(np.array(10.0)), ConstantDelay(np.array(20.0))
    lossy = Direction(rate, delay.up_ms, loss=0.1)
    arrived = [lossy.arrival_ms(float(now), 100) for now in range(5000)]
    assert arrived.count(None) == lossy.lost == pytest.approx(500, abs=80)
    held, dropped = (Direction(rate, delay.up_ms, held_ms=50.0, outage=outage) for outage in ("hold", "drop"))
    assert held.arrival_ms(10.0, 1250) == pytest.approx(50 + 1 + 10)
    assert [dropped.arrival_ms(now, 1250) for now in (10.0, 60.0)] == [None, pytest.approx(71.0)]


# --- packets ---


def test_datagrams_are_neither_lost_nor_reordered(link: ImposedLink) -> None:
    link.set_state(FAST)
    edge, cloud = (link.socket(end, socket.SOCK_DGRAM) for end in ("edge", "cloud"))
    with edge, cloud:
        cloud.bind((CLOUD_ADDRESS, 4000))
        cloud.settimeout(20)
        for number in range(120):
            edge.sendto(number.to_bytes(4, "little"), (CLOUD_ADDRESS, 4000))
        assert [int.from_bytes(cloud.recv(4), "little") for _ in range(120)] == list(range(120))


def test_a_connection_delivers_its_bytes_over_a_link_that_loses_packets(link: ImposedLink) -> None:
    link.set_state(LinkState(50.0, 50.0, 4.0, loss=0.03))
    content = random.Random(0).randbytes(200_000)
    with link.socket("cloud", socket.SOCK_STREAM) as server, link.socket("edge", socket.SOCK_STREAM) as client:
        server.bind((CLOUD_ADDRESS, 4001))
        server.listen()
        client.connect((CLOUD_ADDRESS, 4001))
        Thread(target=lambda: (client.sendall(content), client.shutdown(socket.SHUT_WR))).start()
        connection = server.accept()[0]
        with connection, connection.makefile("rb") as stream:
            assert stream.read() == content


def test_no_packet_is_faster_than_the_link(link: ImposedLink) -> None:
    """Late ones there are, on a busy machine; a link that is twice too slow is another one."""
    met = measure_link(link, LinkState(8.0, 16.0, 30.0))
    assert 30.0 <= met.rtt_ms[1] < 60.0
    assert 4.0 < met.up_mbps[1] < 8.5
    assert 8.0 < met.down_mbps[1] < 17.0
    link.set_state(LinkState(100.0, 100.0, 2.0, held_ms=300.0))
    with link.socket("edge", socket.SOCK_DGRAM) as edge, link.socket("cloud", socket.SOCK_DGRAM) as cloud:
        cloud.bind((CLOUD_ADDRESS, 4002))
        cloud.settimeout(20)
        begun = time.perf_counter()
        edge.sendto(b"?", (CLOUD_ADDRESS, 4002))
        cloud.recv(1)
        assert time.perf_counter() - begun > 0.2


def test_a_link_that_is_not_as_asked_is_told() -> None:
    sound = Calibration((85.0, 85.7), (10.6, 10.7), (27.0, 26.9))
    assert sound.problem == ""
    assert "round trip is 91 ms for 85" in Calibration((85.0, 91.0), (10.6, 10.6), (27.0, 27.0)).problem
    assert "rate down is 20 Mbps for 27" in Calibration((85.0, 85.0), (10.6, 10.6), (27.0, 20.0)).problem
    assert sound.as_dict()["rtt_ms"] == {"asked": 85.0, "met": 85.7}


# --- the end ---

PARENT = """
import subprocess, time
from hwnas.collaborate.imposed.link import ImposedLink
from tests.helpers.links import constant_link
with ImposedLink(constant_link(1.0, 1.0, 1.0)) as link:
    held = link.popen("edge", ["sleep", "600"])
    time.sleep(0.5)
    print(link.process, held.pid, flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_of_a_link_whose_process_is_killed(link: ImposedLink) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        inside = [int(text) for text in parent.stdout.readline().split()]
        assert len(inside) == 2
        assert all(_runs(pid) for pid in inside)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while any(_runs(pid) for pid in inside):
        assert time.monotonic() < until, "a process within the link outlives the one that made it"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("NEEDED", {63: "CAP_OF_ANOTHER_KERNEL"}, "this process lacks CAP_OF_ANOTHER_KERNEL"),
        ("TUN", "/dev/net/no-such-device", "`/dev/net/no-such-device` cannot be opened"),
    ],
)
def test_a_machine_that_cannot_is_told_before_anything_starts(
    name: str, value: object, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "NEEDED", {})
    monkeypatch.setattr(namespaces, name, value)
    with pytest.raises(RunError, match=problem) as caught:
        ImposedLink(constant_link(1.0, 1.0, 1.0))
    assert caught.value.do.startswith("Run it as root")
