"""The process on the edge's end of an imposed link: it asks request by request, and tells what each took.

`python -m hwnas.deploy.imposed_edge`: commands come as lines of JSON, answers go likewise.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import numpy as np

from hwnas.deploy.client.connection import Cloud, Connection, Exchange
from hwnas.deploy.client.network import Encoder, open_network, read_plan
from hwnas.deploy.client.policy import cascade_confidence

ANSWER_PATIENCE_S = 120.0
"""Longer than outages of recorded links."""
USUAL_CALLS = 8
"""Calls of the edge's network by which the time of a slower edge is set."""


class ImposedEdge:
    """The client's parts without what adapts to a link: no deadline, breaker, retries or audit.

    Args:
        entry: `folder` of the edge; `url`, `token` and `ca` of the cloud.
        slowdown: how many times longer it computes than this machine usually does.
    """

    def __init__(self, entry: Mapping[str, Any], slowdown: float) -> None:
        folder = Path(entry["folder"])
        self._plan, self._slowdown = read_plan(folder), slowdown
        self._network = None if self._plan["edge"] is None else open_network(folder, self._plan["edge"])
        self._exit = None if self._plan.get("exit") is None else open_network(folder, self._plan["exit"])
        self._cloud: Cloud | None = None
        self._encoder: Encoder | None = None
        self._connection: Connection | None = None
        self._opening: Thread | None = None
        self._computed_s: list[float] = []
        if self._plan["request"] is not None:
            self._encoder = Encoder.of(self._plan)
            self._cloud = Cloud(entry["url"], entry["token"], entry["ca"], patience_s=ANSWER_PATIENCE_S)

    def ask(self, raw: Any, *, always: bool) -> dict[str, Any]:
        """Answer a sample and return what it took."""
        begun = time.perf_counter()
        output = raw if self._network is None else self._network.run(raw)
        sent = output if self._plan["kind"] == "split" or self._exit is not None else raw
        sure = self._is_sure(
            output if self._exit is None else self._exit.call(output)
        )  # told in any case: it is part of the edge's time
        escalated = self._encoder is not None and (always or not sure)
        if self._slowdown > 1 and self._network is not None:
            time.sleep(self._usual_s(time.perf_counter() - begun) * (self._slowdown - 1))
        computed = time.perf_counter()
        took: dict[str, Any] = {"edge_ms": (computed - begun) * 1e3, "escalated": escalated}
        if escalated:
            assert self._encoder is not None
            body, header_bytes = self._encoder.body(sent)
            took["encode_ms"] = (time.perf_counter() - computed) * 1e3
            took["service_ms"] = self._answered(Exchange(body, header_bytes, lambda exchange: None))
        return {**took, "total_ms": (time.perf_counter() - begun) * 1e3}

    def connect(self) -> None:
        """Begin to open a new connection: those of all plans are opened at the same time."""
        if self._cloud is not None:
            self._opening = Thread(target=self._new_connection().connect)
            self._opening.start()

    def await_connection(self) -> None:
        """Wait until the connection is open."""
        if self._opening is not None:
            self._opening.join()
        self._opening = None

    def close(self) -> None:
        """Close the connection; the next request opens one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _new_connection(self) -> Connection:
        assert self._cloud is not None
        self._connection = Connection(self._cloud, self._plan, lambda: False)
        return self._connection

    def _usual_s(self, computed_s: float) -> float:
        """Return the median time of the first calls: that this machine is disturbed at times is not made longer."""
        if len(self._computed_s) < USUAL_CALLS:
            self._computed_s.append(computed_s)
        return median(self._computed_s)

    def _is_sure(self, output: Any) -> bool:
        cascade = self._plan["cascade"]
        if cascade is None:
            return False
        return bool(cascade_confidence(output, cascade) >= cascade["threshold"])

    def _answered(self, exchange: Exchange) -> float:
        """Send a request and return the time that the cloud took for it, as its answer tells."""
        connection = self._connection or self._new_connection()
        connection.send(exchange)
        exchange.done.wait()
        if exchange.outputs is None:
            raise RuntimeError(f"the cloud does not answer: {exchange.status} {exchange.detail}")
        return exchange.service_ms


def main() -> None:
    """Answer commands until standard input ends."""
    first = json.loads(sys.stdin.readline())
    samples = np.load(first["samples"])
    edges = [ImposedEdge(entry, first["slowdown"]) for entry in first["plans"]]
    gc.freeze()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command, answer = json.loads(line), {}
        edge = edges[command["plan"]]
        if command["do"] == "ask":
            answer = edge.ask(samples[command["sample"] % len(samples)], always=command["always"])
        else:
            {"connect": edge.connect, "await": edge.await_connection, "close": edge.close}[command["do"]]()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
