"""The process that carries packets between two TUN devices as a link would.

`python -m hwnas.collaborate.imposed.emulator PARENT`: commands come as lines of JSON, answers go likewise.
"""

from __future__ import annotations

import gc
import json
import os
import random
import select
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from hwnas.collaborate.imposed.direction import Direction
from hwnas.collaborate.imposed.launcher import end_with_parent
from hwnas.collaborate.imposed.namespaces import CLOUD_ADDRESS, EDGE_ADDRESS, MTU, call_libc, new_namespace
from hwnas.collaborate.links.series import Capacity, ConstantDelay, ConstantRate, Delay, DelaySeries, RateSeries, Steps

PR_SET_TIMERSLACK, SLACK_NS = 29, 1
PRIORITY = 10
"""Of real-time scheduling: a packet is not late because other processes compute."""
LATENESS_EDGES_MS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, float("inf"))
PACKETS_AT_ONCE = 64
"""Packets that are read before those that are due are passed on."""


class Emulator:
    """The two directions of a link, and packets on their way.

    Args:
        devices: file descriptors of the TUN devices of the edge and of the cloud.
        records: of the link, by name: `up`, `down`, `rtt`.
        seed: of the losses.
    """

    def __init__(self, devices: tuple[int, int], records: Mapping[str, Steps], seed: int) -> None:
        self._devices, self._records = devices, records
        self._rng = random.Random(seed)
        self._queues: tuple[deque[tuple[float, bytes]], ...] = (deque(), deque())
        self._offset_s = time.perf_counter()
        self._directions: tuple[Direction, Direction] | None = None
        self._held_ms = 0.0
        self._late = [0] * len(LATENESS_EDGES_MS)
        self._carried = [[0, 0], [0, 0]]
        self._begun = time.process_time(), time.perf_counter()

    def set_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Jump to a state of the link; packets on their way keep the times that they have."""
        steps = self._records.get("rtt") if state["rtt_ms"] is None else None
        delay: Delay = ConstantDelay(np.float64(state["rtt_ms"])) if steps is None else DelaySeries(steps)  # type: ignore[arg-type]
        ways = []
        for name, way_ms in (("up", delay.up_ms), ("down", delay.down_ms)):
            rate = state[f"{name}_mbps"]
            capacity: Capacity = RateSeries(self._records[name]) if rate is None else ConstantRate(np.float64(rate))  # type: ignore[arg-type]
            way = Direction(capacity, way_ms, state["loss"], outage=state["outage"], rng=self._rng)
            ways.append(way)
        self._directions, self._held_ms = (ways[0], ways[1]), state["held_ms"]
        self._offset_s = time.perf_counter() - state["start_ms"] / 1e3
        return {"on_their_way": sum(map(len, self._queues))}

    def facts(self) -> dict[str, Any]:
        """Return what was carried, how late packets were passed on, and the share of a core that it took."""
        packets, carried = zip(*self._carried, strict=True)
        return {
            "packets": list(packets),
            "bytes": list(carried),
            "late": dict(zip(map(str, LATENESS_EDGES_MS), self._late, strict=True)),
            "cpu_share": (time.process_time() - self._begun[0]) / (time.perf_counter() - self._begun[1]),
        }

    def carry(self) -> list[int]:
        """Wait for packets or for the time of one, and pass on what is due; return descriptors that are no device."""
        due = min((queue[0][0] for queue in self._queues if queue), default=None)
        timeout_s = None if due is None else max(due - time.perf_counter(), 0.0)
        ready = select.select([*self._devices, sys.stdin.fileno()], [], [], timeout_s)[0]
        for side, device in enumerate(self._devices):
            if device in ready:
                self._take(side, device)
        self._pass_on()
        return [one for one in ready if one not in self._devices]

    def _take(self, side: int, device: int) -> None:
        """Read packets that left one side."""
        for _ in range(PACKETS_AT_ONCE):
            try:
                packet = os.read(device, MTU)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4 or self._directions is None:
                continue
            count = self._carried[side]
            count[0] += 1
            count[1] += len(packet)
            now_ms = (time.perf_counter() - self._offset_s) * 1e3
            if self._held_ms and side == 0:
                for way in self._directions:
                    way.held_ms = now_ms + self._held_ms
                self._held_ms = 0.0
            arrives_ms = self._directions[side].arrival_ms(now_ms, len(packet))
            if arrives_ms is not None:
                self._queues[side].append((self._offset_s + arrives_ms / 1e3, packet))

    def _pass_on(self) -> None:
        for side, queue in enumerate(self._queues):
            while queue and queue[0][0] <= (now := time.perf_counter()):
                due, packet = queue.popleft()
                late_ms = (now - due) * 1e3
                self._late[next(index for index, edge in enumerate(LATENESS_EDGES_MS) if late_ms <= edge)] += 1
                os.write(self._devices[1 - side], packet)


def hurry() -> bool:
    """Have this process woken in time; return True if it has real-time priority."""
    gc.freeze()
    gc.disable()
    call_libc("prctl", PR_SET_TIMERSLACK, SLACK_NS)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        return False
    return True


def main() -> None:
    """Carry packets until standard input ends."""
    end_with_parent(int(sys.argv[1]))
    first = json.loads(sys.stdin.readline())
    records = {
        name: Steps(np.array(one["starts_ms"]), np.array(one["values"]), one["period_ms"])
        for name, one in first["records"].items()
    }
    try:
        keeps = first["keeps_window"]
        edge, edge_device = new_namespace(EDGE_ADDRESS, CLOUD_ADDRESS, keeps_window=keeps)
        cloud, cloud_device = new_namespace(CLOUD_ADDRESS, EDGE_ADDRESS, keeps_window=keeps)
    except OSError as error:
        print(json.dumps({"refused": str(error)}), flush=True)
        return
    print(json.dumps({"namespaces": [edge, cloud], "real_time": hurry()}), flush=True)
    emulator = Emulator((edge_device, cloud_device), records, first["seed"])
    while True:
        for _ in emulator.carry():
            line = sys.stdin.readline()
            if not line:
                return
            state = json.loads(line)
            print(json.dumps(emulator.set_state(state) if state else emulator.facts()), flush=True)


if __name__ == "__main__":
    main()
