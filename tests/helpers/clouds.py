"""A cloud in tests: a server of the Open Inference Protocol by the standard library, and a link to it that stalls."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from hwnas.collaborate.wire import PLAN_DIGITS

Respond = Callable[[bytes], tuple[int, Any]]
"""From the content of a request to a status and the outputs, the error's text, or a whole body as bytes."""


class CloudDouble(ThreadingHTTPServer):
    """A server that counts what it was asked.

    Args:
        plan: digest of the plan that it names.
        respond: answers contents of requests.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, plan: str, respond: Respond) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plan, self.respond = plan[:PLAN_DIGITS], respond
        self.asked: Counter[bytes] = Counter()
        self.bodies: list[bytes] = []
        self.tokens: set[str | None] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients give up connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: CloudDouble

    def do_POST(self) -> None:
        begun = time.perf_counter()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        split = int(self.headers["Inference-Header-Content-Length"])
        content, told = body[split:], json.loads(body[:split])
        self.server.asked[content] += 1
        self.server.bodies.append(body)
        self.server.tokens.add(self.headers["Authorization"])
        status, outputs = self.server.respond(content)
        if told["parameters"]["plan"] != self.server.plan:
            status, outputs = 409, "the request is of another plan"
        if status != 200:
            self._send(status, json.dumps({"error": outputs}).encode(), {"Retry-After": "1"})
            return
        if isinstance(outputs, bytes):
            self._send(200, outputs, {})
            return
        raw = np.asarray(outputs, "<f4")
        service = round(1e6 * (time.perf_counter() - begun))
        header = json.dumps(
            {
                "model_name": "cloud",
                "outputs": [{"name": "outputs", "shape": [1, *raw.shape], "datatype": "FP32"}],
                "parameters": {"plan": self.server.plan, "service_us": service},
            }
        ).encode()
        self._send(200, header + raw.tobytes(), {"Inference-Header-Content-Length": str(len(header))})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class StallingLink:
    """A proxy of TCP streams: what comes is held while the link is out, and delayed otherwise.

    Args:
        target: port behind it.
        delay_s: one way, now.
    """

    def __init__(self, target: int, delay_s: Callable[[], float] = lambda: 0.0) -> None:
        self._target, self._delay, self._up = target, delay_s, threading.Event()
        self._up.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._up.clear()

    def restore(self) -> None:
        """Let all through that was held, and what follows."""
        self._up.set()

    def close(self) -> None:
        """Accept nothing more."""
        self._up.set()
        with suppress(OSError):
            self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError), one, other:
            while chunk := one.recv(65536):
                due = time.monotonic() + self._delay()
                self._up.wait()
                time.sleep(max(due - time.monotonic(), 0.0))
                other.sendall(chunk)
            other.shutdown(socket.SHUT_WR)


@contextmanager
def cloud_double(plan: str, respond: Respond) -> Iterator[CloudDouble]:
    """A server in a thread, while the `with` block runs."""
    server = CloudDouble(plan, respond)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
