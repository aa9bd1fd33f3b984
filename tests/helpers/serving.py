"""Servers in tests: an application that is asked in this process, and one behind a socket, in a thread."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hwnas.serve.app import InferenceApp
from hwnas.serve.batching import Batcher
from hwnas.serve.bundle import ServedModel, read_bundle
from hwnas.serve.metrics import Metrics
from hwnas.serve.protocol import JSON_LENGTH_HEADER
from hwnas.serve.server import READ_S, Address, listen, run_loop, server_of
from hwnas.serve.session import Session
from hwnas.serve.tokens import Tokens
from tests.helpers.deployments import write_deployment

INFER = "/v2/models/cloud/infer"


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def app_of(model: ServedModel, *, most: int = 64, tokens: Tokens | None = None, session: Any = None) -> Any:
    """The application of a model, with one session."""
    call = session or Session.open(model).answer
    metrics = Metrics()
    batcher = Batcher([call], batch=model.batch, wait_s=0.0, most=most, metrics=metrics)
    return InferenceApp(model, batcher, metrics, tokens).build()


def deployed(folder: Path, **options: Any) -> ServedModel:
    return read_bundle(write_deployment(folder, **options))


async def ask(
    app: Any,
    body: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
    *,
    path: str = INFER,
    method: str = "POST",
    sized: bool = True,
) -> Answered:
    """The application's answer to one request."""
    raw = [(name.encode("latin-1"), value.encode()) for name, value in headers]
    if sized:
        raw.append((b"content-length", str(len(body)).encode()))
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": raw, "http_version": "1.1", "scheme": "http", "root_path": ""}  # type: ignore[dict-item]
    scope |= {"server": ("server", 1), "client": ("client", 1)}  # type: ignore[dict-item]
    await app(scope, receive, send)
    sent = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return Answered(messages[0]["status"], sent, b"".join(message.get("body", b"") for message in messages[1:]))


def binary_request(model: ServedModel, content: bytes, plan: str | None = None) -> tuple[bytes, list[tuple[str, str]]]:
    """Body and headers of a request, as the deployment's client builds them."""
    plan = model.plan if plan is None else plan
    payload = model.request.payload_bytes(len(content))
    return model.request.body(content, plan), [(JSON_LENGTH_HEADER, str(len(model.request.header(payload, plan))))]


def outputs_of(answer: Answered) -> Any:
    """The numbers of a binary answer."""
    return np.frombuffer(answer.body[int(answer.headers[JSON_LENGTH_HEADER]) :], np.float32)


def asked(app: Any, *args: Any, **options: Any) -> Answered:
    return asyncio.run(ask(app, *args, **options))


@contextmanager
def served(app: Any, context: ssl.SSLContext | None = None, read_s: float = READ_S) -> Iterator[Address]:
    """A server in a thread, while the `with` block runs."""
    server, address = server_of(app, context, read_s), listen("127.0.0.1", 0, tls=context is not None)
    thread = threading.Thread(target=run_loop, args=(server, address))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield address
    finally:
        server.should_exit = True
        thread.join()
