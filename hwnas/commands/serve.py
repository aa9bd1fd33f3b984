"""Serving the cloud's side of a deployment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hwnas.errors import ConfigError
from hwnas.registry import optional
from hwnas.workspace.progress import Reporter, default_reporter

if TYPE_CHECKING:
    from hwnas.serve.batching import Backend
    from hwnas.serve.bundle import ServedModel
    from hwnas.serve.metrics import Metrics
    from hwnas.serve.tokens import Tokens

logger = logging.getLogger(__name__)

Engine = Literal["uvicorn", "ray"]
MOST_WAITING = 64
BATCH_WAIT_MS = 2.0


@dataclass(frozen=True)
class Access:
    """Who may ask a server, and how they know it.

    Args:
        token_file: hashes of tokens that are admitted; None if there is no such file.
        make_token: make a token; its hash is added to the file, or held until the server ends.
        certificates: folder with `server.pem` and `server.key`; None for no TLS.
        make_certificates: make them, with an own authority, where they are missing.
        client_ca: authority whose certificates clients must show.

    Example:
        >>> Access(make_token=True).wants_token
        True
    """

    token_file: Path | None = None
    make_token: bool = False
    certificates: Path | None = None
    make_certificates: bool = False
    client_ca: Path | None = None

    @property
    def wants_token(self) -> bool:
        """True if a request must bear a token."""
        return self.make_token or self.token_file is not None


@dataclass(frozen=True)
class ServiceLimits:
    """Sessions of a server and the queue before them.

    Args:
        workers: calls of the network at the same time.
        max_queue: requests that may wait; more are refused with 503.
        batch_ms: longest time that a request waits for others to fill a batch.
        read_s: time in which a whole request must come, from its first byte on; a link with long fades needs more.

    Example:
        >>> ServiceLimits().workers
        1
    """

    workers: int = 1
    max_queue: int = MOST_WAITING
    batch_ms: float = BATCH_WAIT_MS
    read_s: float = 5.0


def serve(
    bundle: Path | str,
    *,
    port: int,
    host: str = "127.0.0.1",
    engine: Engine = "uvicorn",
    access: Access | None = None,
    limits: ServiceLimits | None = None,
    reporter: Reporter | None = None,
) -> None:
    """Serve the cloud's side of a deployment by the Open Inference Protocol, until SIGTERM or Ctrl-C.

    Args:
        bundle: folder of a deployment, its `cloud/`, or folder of one exported network.
        port: to listen at; 0 takes a free one.
        host: address to listen at. One that others can reach needs certificates and a token.
        engine: `uvicorn` calls the network in this process; `ray` in replicas of a Ray Serve deployment.
        access: tokens and certificates; nothing is asked of clients on this machine if left out.
        limits: sessions and queue.
        reporter: receives messages; silent if left out.

    Raises:
        ConfigError: the bundle, an option or a file of tokens or certificates cannot be used.
        RunError: a file of the bundle is damaged, or the port is taken.
        MissingExtra: a package of the extra `serve` is not installed.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.serve("runs/demo/plans/best", port=0)  # a free port; returns after Ctrl-C
    """
    access, limits, report = access or Access(), limits or ServiceLimits(), default_reporter(reporter)
    _check(host, port, access, limits)
    for name in ("starlette", "uvicorn", "httptools", "uvloop"):
        optional(name, extra="serve", why="hwnas serve")
    from hwnas.serve import server
    from hwnas.serve.app import InferenceApp
    from hwnas.serve.bundle import read_bundle
    from hwnas.serve.certificates import make_certificates, server_context
    from hwnas.serve.metrics import Metrics

    model, metrics = read_bundle(Path(bundle)), Metrics()
    certificates = access.certificates or (Path(bundle) / "certificates" if access.make_certificates else None)
    if access.make_certificates and certificates is not None:
        files = make_certificates(certificates, [host])
        report.info(f"certificates are in {certificates}; give {files.ca} to clients")
    context = None if certificates is None else server_context(certificates, access.client_ca)
    tokens = _tokens(access, report.info)
    backend = _backend(engine, model, limits, metrics)
    app = InferenceApp(model, backend, metrics, tokens).build()
    address = server.listen(host, port, tls=context is not None)
    report.info(f"serving {model.path} at {address.url}; Ctrl-C ends it")
    logger.info("serving %s at %s", model.path, address.url)
    server.run(server.server_of(app, context, limits.read_s), address)
    report.info("all requests that had begun are answered")


def _check(host: str, port: int, access: Access, limits: ServiceLimits) -> None:
    """Refuse options before anything is read."""
    for name, value, low in (
        ("--workers", limits.workers, 1),
        ("--max-queue", limits.max_queue, 1),
        ("--batch-ms", limits.batch_ms, 0),
        ("--read-s", limits.read_s, 0.1),
    ):
        if not low <= value <= 1e6:
            raise ConfigError(f"`{name}` is {value}", where="serve", allowed=f"It is from {low} on", do="Correct it")
    if not 0 <= port < 1 << 16:
        raise ConfigError(f"`--port` is {port}", where="serve", allowed="It is 0 to 65535", do="Correct it")
    has_tls = access.make_certificates or access.certificates is not None
    if access.client_ca is not None and not has_tls:
        raise ConfigError(
            "`--client-ca` without TLS",
            where="serve",
            allowed="Certificates of clients are asked for within TLS",
            do="Add --make-certificates, or --certificates DIR",
        )
    if _is_loopback(host) or (has_tls and (access.wants_token or access.client_ca is not None)):
        return
    raise ConfigError(
        f"`--host {host}` can be reached by others",
        where="serve",
        allowed="There, a server has TLS, and asks for a token or a client's certificate",
        do="Add --make-certificates --make-token, or leave --host out",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tokens(access: Access, tell: Callable[[str], None]) -> Tokens | None:
    from hwnas.serve.tokens import Tokens, add_token, make_token, read_tokens

    if not access.wants_token:
        return None
    if access.token_file is None:
        token, digest = make_token()
        tell(f"token, shown this once and valid until the server ends: {token}")
        return Tokens([digest])
    if access.make_token:
        tell(f"token, shown this once; its hash is in {access.token_file}: {add_token(access.token_file)}")
    tokens = Tokens(read_tokens(access.token_file))
    if not len(tokens):
        raise ConfigError(
            "the file holds no hash",
            where=str(access.token_file),
            allowed="It holds the SHA-256 of a token in each line",
            do="Add --make-token",
        )
    return tokens


def _backend(engine: Engine, model: ServedModel, limits: ServiceLimits, metrics: Metrics) -> Backend:
    from hwnas.serve.batching import Batcher
    from hwnas.serve.session import Session

    if engine == "ray":
        from hwnas.serve.replicas import ReplicaBackend

        return ReplicaBackend.start(model, limits.workers, limits.max_queue, limits.batch_ms / 1e3, metrics)
    sessions = [Session.open(model) for _ in range(limits.workers)]
    return Batcher(
        [session.answer for session in sessions],
        batch=model.batch,
        wait_s=limits.batch_ms / 1e3 if model.batch > 1 else 0.0,
        most=limits.max_queue,
        metrics=metrics,
    )
