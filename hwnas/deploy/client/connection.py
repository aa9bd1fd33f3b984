"""One connection to the cloud, used by a thread of its own, so that whoever asks can stop waiting at any time."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from hwnas.collaborate.wire import PLAN_DIGITS
from hwnas.deploy.client.network import ClientError

HEADER_LENGTH = "Inference-Header-Content-Length"
PATH = "/v2/models/cloud/infer"
MOST_ANSWER_BYTES = 16 << 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Cloud:
    """A server and how to reach it.

    Args:
        url: `https://HOST:PORT`; `http` for this machine alone.
        token: bearer token; empty for none.
        ca: file of the authority that vouches for the server; empty for the system's own.
        certificate: files of the client's certificate and key; empty for none.
        patience_s: time after which a connection that is silent is given up.
    """

    url: str
    token: str = ""
    ca: str = ""
    certificate: tuple[str, ...] = ()
    patience_s: float = 2.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
            if is_safe and parts.hostname and parts.port != 0:
                return
        except ValueError:  # of a port that is none, or of half an address
            pass
        raise ClientError(
            f"the URL `{self.url}` is not that of a safe server",
            "--url",
            "It is https://HOST:PORT; http:// is for this machine alone",
            "Serve over TLS: --make-certificates",
        )

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context; None without TLS."""
        if urlsplit(self.url).scheme != "https":
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            if self.certificate:
                context.load_cert_chain(*self.certificate)
        except OSError as error:
            raise ClientError(
                f"a certificate cannot be used ({error})",
                "--ca",
                "It is a file in PEM",
                "Copy the server's ca.pem here",
            ) from error
        return context


def read_token(path: Path) -> str:
    """Return the bearer token that a file holds.

    Raises:
        ClientError: it cannot be read.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ClientError(
            f"the token cannot be read ({getattr(error, 'strerror', None) or error})",
            f"--token-file {path}",
            "It is a file with the token that the server printed",
            "Write the token into it",
        ) from error


@dataclass
class Exchange:
    """A request on its way, and what came back.

    Args:
        body: of the request.
        header_bytes: length of its JSON header.
        then: called in the connection's thread when it is over.
    """

    body: bytes
    header_bytes: int
    then: Callable[[Exchange], None]
    outputs: Any = None
    status: int = 0
    """HTTP status; 0 if none came."""
    detail: str = ""
    retry_after_s: float = 0.0
    ms: float = 0.0
    service_ms: float = 0.0
    round_trip_ms: float = 0.0
    """Time of opening the connection, where it was opened for this request; 0 if not."""
    done: threading.Event = field(default_factory=threading.Event)


class Connection:
    """A connection that is opened when it is needed, and kept.

    Args:
        cloud: the server.
        plan: the plan, whose digest answers must name.
        may_retry: asked before a request is sent again on a fresh connection.
    """

    def __init__(self, cloud: Cloud, plan: Mapping[str, Any], may_retry: Callable[[], bool]) -> None:
        parts = urlsplit(cloud.url)
        self._host, self._port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._cloud, self._context, self._may_retry = cloud, cloud.context(), may_retry
        self._plan, self._answer_shape = plan["plan"][:PLAN_DIGITS], tuple(plan["answer"]["shape"])
        self._queue: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        self._http: http.client.HTTPConnection | None = None
        self._in_flight: Exchange | None = None
        self._thread = threading.Thread(target=self._work, name="cloud", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """True while a request is on its way."""
        return self._in_flight is not None and not self._in_flight.done.is_set()

    def connect(self) -> None:
        """Open the connection before its first request."""
        self._open()

    def send(self, exchange: Exchange) -> None:
        """Send a request; the caller has seen that none is on its way."""
        self._in_flight = exchange
        self._queue.put(exchange)

    def close(self) -> None:
        """End the thread once the request on its way is over."""
        self._queue.put(None)

    def _work(self) -> None:
        while True:
            exchange = self._queue.get()
            if exchange is None:
                self._drop()
                return
            kept = self._http is not None
            try:
                try:
                    self._exchange(exchange)
                except (http.client.RemoteDisconnected, ConnectionError):
                    if not kept or not self._may_retry():
                        raise
                    self._drop()  # the server closed a connection that rested; nothing of an answer came
                    self._exchange(exchange)
            except Exception as error:  # of the network, or whatever a foreign server's answer brings about
                exchange.status, exchange.outputs = 0, None
                exchange.detail = str(error) or "the connection broke off"
                self._drop()
            exchange.then(exchange)
            exchange.done.set()

    def _exchange(self, exchange: Exchange) -> None:
        if self._http is None:
            exchange.round_trip_ms = self._open()
        assert self._http is not None
        begun = time.monotonic()
        headers = {HEADER_LENGTH: str(exchange.header_bytes), "Content-Type": "application/octet-stream"}
        if self._cloud.token:
            headers["Authorization"] = f"Bearer {self._cloud.token}"
        self._http.request("POST", PATH, exchange.body, headers)
        response = self._http.getresponse()
        content = response.read(MOST_ANSWER_BYTES + 1)
        exchange.ms, exchange.status = 1e3 * (time.monotonic() - begun), response.status
        if len(content) > MOST_ANSWER_BYTES:
            raise ValueError("the answer is larger than any of this plan")
        if response.will_close:
            self._drop()
        if response.status == 200:
            self._read(exchange, content, response.getheader(HEADER_LENGTH))
            return
        exchange.detail = _error_text(content) or response.reason
        after = response.getheader("Retry-After") or ""
        exchange.retry_after_s = float(after) if after.isdigit() else 0.0

    def _open(self) -> float:
        """Open the connection and return the milliseconds of TCP's round trip."""
        plain, round_trip_ms = self._connected()
        try:
            safe = plain if self._context is None else self._context.wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise
        self._http = http.client.HTTPConnection(self._host, self._port)
        self._http.auto_open = 0
        self._http.sock = safe
        return round_trip_ms

    def _connected(self) -> tuple[socket.socket, float]:
        """Return a socket to the first of the host's addresses that answers, and the milliseconds of its round trip."""
        refused = OSError("the host has no address")
        for family, kind, _, _, address in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            plain = socket.socket(family, kind)
            try:
                plain.settimeout(self._cloud.patience_s)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                begun = time.monotonic()
                plain.connect(address)
                return plain, 1e3 * (time.monotonic() - begun)
            except OSError as error:
                plain.close()
                refused = error
        raise refused

    def _drop(self) -> None:
        if self._http is not None:
            self._http.close()
        self._http = None

    def _read(self, exchange: Exchange, content: bytes, header_bytes: str | None) -> None:
        split = int(header_bytes) if header_bytes else len(content)
        document: dict[str, Any] = json.loads(content[:split])
        told = document.get("parameters", {})
        if told.get("plan", self._plan) != self._plan:
            raise ValueError("the answer is of another plan")
        output = document["outputs"][0]
        if tuple(output["shape"])[1:] != self._answer_shape:
            raise ValueError("the answer has another shape than the plan's")
        numbers = np.frombuffer(content[split:], "<f4") if header_bytes else np.array(output["data"], np.float32)
        exchange.outputs = numbers.reshape(self._answer_shape)
        exchange.service_ms = float(told.get("service_us", 0)) / 1e3


def _error_text(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return ""
