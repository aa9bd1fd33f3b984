"""The server as an ASGI application: the Open Inference Protocol, health, and counts for Prometheus."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hwnas import __version__
from hwnas.collaborate.wire import MODEL_NAME
from hwnas.errors import DataError, HwnasError, RunError
from hwnas.serve.batching import Backend, Overloaded
from hwnas.serve.bundle import ServedModel
from hwnas.serve.decode import malformed
from hwnas.serve.metrics import CONTENT_TYPE, Metrics
from hwnas.serve.protocol import (
    JSON_LENGTH_HEADER,
    Refused,
    RequestReader,
    answer,
    body_limits,
    error_body,
    model_metadata,
    server_metadata,
)
from hwnas.serve.tokens import Tokens

logger = logging.getLogger(__name__)

HEALTH = "/v2/health/"
"""Paths that need no token."""
Handler = Callable[[Request], Awaitable[Response]]
MODEL_PATHS = (f"/v2/models/{MODEL_NAME}", f"/v2/models/{MODEL_NAME}/versions/1")
INFER_PATHS = {f"{path}/infer" for path in MODEL_PATHS}


@dataclass
class InferenceApp:
    """The handlers of a server's paths.

    Args:
        model: that is served.
        backend: answers contents.
        metrics: counts.
        tokens: of which a request must bear one; None if anybody may ask.
    """

    model: ServedModel
    backend: Backend
    metrics: Metrics = field(default_factory=Metrics)
    tokens: Tokens | None = None

    def __post_init__(self) -> None:
        self._reader = RequestReader(self.model)

    def build(self) -> ASGIApp:
        """Return the application."""
        routes = [
            Route("/v2", self._json(server_metadata(__version__))),
            Route(f"{HEALTH}live", self._json({"live": True})),
            Route(f"{HEALTH}ready", self._json({"ready": True})),
            Route("/metrics", self._metrics),
        ]
        for path in MODEL_PATHS:
            routes += [
                Route(f"{path}/infer", self._infer, methods=["POST"]),
                Route(path, self._json(model_metadata(self.model))),
                Route(f"{path}/ready", self._json({"name": MODEL_NAME, "ready": True})),
            ]
        handlers = {HTTPException: _no_such_path}
        app = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)  # type: ignore[arg-type]
        return _Guard(app, self._infer, self.tokens, self.metrics)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await self.backend.close()

    def _json(self, document: dict[str, Any]) -> Any:
        body = json.dumps(document).encode()

        async def told(request: Request) -> Response:
            return Response(body, media_type="application/json")

        return told

    async def _metrics(self, request: Request) -> Response:
        text = self.metrics.text(getattr(self.backend, "waiting", 0))
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def _infer(self, request: Request) -> Response:
        begun = time.perf_counter()
        try:
            header_length = request.headers.get(JSON_LENGTH_HEADER)
            json_bytes, least, most = body_limits(self.model, header_length)
            self.backend.check_room()  # to refuse must be cheap, or nobody is served in time
            body = await _body(request, least, most)
            parsed = self._reader.read(body, json_bytes)
            output, service_us = await self.backend.submit(parsed.content)
        except Refused as error:
            return _error(error.status, error.error, error.headers)
        except DataError as error:  # found when the content was decoded
            return _error(400, error)
        except Overloaded as error:
            return _error(503, _overloaded(error.retry_s), {"retry-after": str(error.retry_s)})
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # the runtime's own; its message may repeat what a client sent
            logger.error("a request failed: %s", type(error).__name__)
            return _error(500, _failed())
        content, json_bytes = answer(self.model, output, parsed, service_us)
        self.metrics.latency.observe(time.perf_counter() - begun)
        if not json_bytes:
            return Response(content, media_type="application/json")
        headers = {JSON_LENGTH_HEADER: str(json_bytes)}
        return Response(content, headers=headers, media_type="application/octet-stream")


class _Guard:
    """Tokens before everything else, and counts of statuses behind it."""

    def __init__(self, app: ASGIApp, infer: Handler, tokens: Tokens | None, metrics: Metrics) -> None:
        self._app, self._infer, self._tokens, self._metrics = app, infer, tokens, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._metrics.statuses[message["status"]] += 1
            await send(message)

        if self._tokens is None or scope["path"].startswith(HEALTH) or self._tokens.admits(_authorization(scope)):
            if scope["method"] == "POST" and scope["path"] in INFER_PATHS:  # routing takes as long as a fast network
                response = await self._infer(Request(scope, receive))
                await response(scope, receive, counted)
            else:
                await self._app(scope, receive, counted)
            return
        error = RunError(
            "the request bears no token that is known here",
            where="Authorization",
            allowed="Its form is `Bearer TOKEN`, with a token of this server",
            do="Make one by `hwnas serve --make-token`",
        )
        await _error(401, error, {"www-authenticate": "Bearer"})(scope, receive, counted)


def _authorization(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    return values[0].decode("latin-1") if len(values) == 1 else ""


async def _body(request: Request, least: int, most: int) -> bytes:
    """Return the body, whose length is judged before any of it is read."""
    length = request.headers.get("content-length", "")
    wanted = f"A body of {least} bytes" if least == most else f"A body of {least} to {most} bytes"
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        raise Refused(411, malformed("the request tells no length of its body", wanted), {"connection": "close"})
    if int(length) > most:
        raise Refused(413, malformed(f"the body has {length} bytes", wanted), {"connection": "close"})
    if int(length) < least:
        raise Refused(400, malformed(f"the body has {length} bytes", wanted), {"connection": "close"})
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            break
    if len(body) != int(length):
        raise Refused(400, malformed(f"{len(body)} bytes of {length} came", wanted), {"connection": "close"})
    return bytes(body)


def _error(status: int, error: HwnasError, headers: dict[str, str] | None = None) -> Response:
    return Response(error_body(error), status, headers, media_type="application/json")


def _overloaded(retry_s: int) -> RunError:
    return RunError(
        "the queue is full",
        where="server",
        allowed="More requests came than are answered",
        do=f"Use the edge's answer, or ask again in {retry_s} s",
    )


async def _no_such_path(request: Request, error: HTTPException) -> Response:
    problem = f"`{request.method} {request.url.path[:80]}` is not served"
    allowed = f"Paths are /v2, {HEALTH}live, {HEALTH}ready, /metrics, {MODEL_PATHS[0]} and POST {MODEL_PATHS[0]}/infer"
    refused = DataError(problem, where="request", allowed=allowed, do="Correct the path")
    return _error(error.status_code, refused, dict(error.headers or {}))


def _failed() -> RunError:
    return RunError(
        "the network could not answer",
        where="server",
        allowed="A request that is well-formed is answered",
        do="Ask again; if that does not help, start the server again",
    )
