"""The application behind uvicorn: TLS, clients that are too slow, and an end that answers what was begun."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import ssl
import sys
from asyncio.events import TimerHandle
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hwnas.errors import RunError, reason

READ_S = 5.0
"""Time in which a whole request must come, from its first byte on, and in which TLS is agreed on."""
KEEP_ALIVE_S = 75
DRAIN_S = 30
"""Time in which requests that were begun are answered after SIGTERM."""
BACKLOG = 2048
MOST_FILES = 1 << 16
SWITCH_S = 0.0005
"""Time after which a session's thread lets the event loop go on; Python's own is ten times as long."""
HEAD_BEGIN, CONTINUE_BEGIN = b"HTTP/1.1 ", b"HTTP/1.1 100 "
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class JoiningTransport:
    """A transport that sends the head of an answer with its body: each write is a TLS record of its own, which takes
    a tenth of the server's time for a small request.

    Args:
        transport: of the connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._head = transport, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes; a head waits for what is written next."""
        if data.startswith(HEAD_BEGIN) and not data.startswith(CONTINUE_BEGIN):
            self._head += data
            return
        self._transport.write(self._head + data if self._head else data)
        self._head = b""

    def flush(self) -> None:
        """Send a head that has no body."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Send what waits, and close the connection."""
        self.flush()
        self._transport.close()


class TimedProtocol(HttpToolsProtocol):
    """HTTP/1.1 that cuts off who sends a request too slowly, or connects and sends nothing."""

    read_s = READ_S
    _late: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first byte."""
        super().connection_made(transport)
        self.transport: Any = JoiningTransport(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """Begin to wait for the last byte."""
        super().on_message_begin()
        self._read_in_time()
        self._late = self.loop.call_later(self.read_s, self._cut_off)

    def on_message_complete(self) -> None:
        """Stop waiting."""
        self._read_in_time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Send the head of an answer to HEAD, which no body follows."""
        self.transport.flush()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._read_in_time()
        super().connection_lost(exc)

    def _read_in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _cut_off(self) -> None:
        if not self.transport.is_closing():
            if self._answers_nothing():
                self.transport.write(TOO_SLOW)
            self.transport.close()

    def _answers_nothing(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or not cycle.response_started or cycle.response_complete


class _Loop(uvloop.Loop):
    """An event loop whose servers wait for a TLS handshake no longer than for a request."""

    async def create_server(self, *args: Any, **options: Any) -> Any:
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = READ_S
        return await super().create_server(*args, **options)


@dataclass(frozen=True)
class Address:
    """A socket that listens, and how it is reached.

    Args:
        listener: the socket.
        host: name or address that it was bound to.
        scheme: `http` or `https`.
    """

    listener: socket.socket
    host: str
    scheme: str

    @property
    def url(self) -> str:
        """As clients ask for it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{name}:{self.listener.getsockname()[1]}"


def listen(host: str, port: int, *, tls: bool) -> Address:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        RunError: the port is taken, or the address none of this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise RunError(
            f"the server cannot listen ({reason(error)})",
            where=f"{host}:{port}",
            allowed="The address is one of this machine, and the port is free",
            do="Name another --port or --host",
        ) from error
    return Address(listener, host, "https" if tls else "http")


def server_of(app: Any, context: ssl.SSLContext | None, read_s: float = READ_S) -> uvicorn.Server:
    """Return uvicorn's server of an application, which waits `read_s` for a whole request."""
    config = uvicorn.Config(
        app,
        http=type("Protocol", (TimedProtocol,), {"read_s": read_s}),
        ws="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        ssl_context_factory=None if context is None else lambda config, default: context,
    )
    return uvicorn.Server(config)


def run(server: uvicorn.Server, address: Address) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer what was begun."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # each connection is a file
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST_FILES)), hard))
    sys.setswitchinterval(SWITCH_S)
    # uvicorn raises the signal again when it has drained
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        run_loop(server, address)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_loop(server: uvicorn.Server, address: Address) -> None:
    """Serve until `server.should_exit` is set, in any thread."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: None)  # handshakes that failed
        runner.run(server.serve([address.listener]))
