"""The edge's client of a deployment: `python client.py INPUT --url https://... --token-file token --ca ca.pem`.

Every request is answered by its deadline. The edge has an answer before it waits for the cloud's.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.deploy.client.connection import Cloud, Connection, Exchange, read_token
from hwnas.deploy.client.network import (
    ClientError,
    EdgeNetwork,
    Encoder,
    LocalResult,
    checked_input,
    open_network,
    read_input,
    read_plan,
)
from hwnas.deploy.client.policy import Audit, Breaker, LinkEstimate, ResendBudget, cascade_confidence

LOOK_AGAIN_S = 0.5
"""Time between requests that are sent only to see whether a slow link became faster."""


@dataclass(frozen=True)
class ClientAnswer:
    """An answer.

    Args:
        outputs: of the network: of a classifier the logits.
        origin: `cloud`, `edge`, or why the edge answered in its stead: `edge: deadline`, `edge: breaker`, `edge: shed`,
            `edge: slow link`, `edge: busy`, `edge: unreachable`, `edge: refused`, `edge: no server`.
        ms: time from the call to the answer.
        confidence: of the edge, by the plan's rule; None where the plan has none.
        detail: of a server that refused or could not be reached.
    """

    outputs: Any
    origin: str
    ms: float
    confidence: float | None = None
    detail: str = ""


class Client:
    """Answers requests by a plan: on the edge, in the cloud, or by whichever of them is in time.

    Args:
        cloud: the server; None if there is none, and the edge answers everything.
        folder: with `plan.json` and the model files; that of this file if left out.
        audit: share of the edge's sure answers that the cloud is asked about as well.
        clock: seconds, never set back.
        seed: of the choice which answers are audited.

    Example:
        from client import Client, Cloud

        client = Client(Cloud("https://server:8443", token="...", ca="ca.pem"))
        answer = client.infer(image, deadline_ms=100)
    """

    def __init__(
        self,
        cloud: Cloud | None = None,
        folder: Path | None = None,
        audit: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        folder = folder or Path(__file__).parent
        self.plan = read_plan(folder)
        self._first = self._opened(folder, "edge")
        self._exit = self._opened(folder, "exit")
        self._fallback = self._opened(folder, "fallback")
        self._encoder = None if self.plan["request"] is None else Encoder.of(self.plan)
        self._clock, self._share, self._random = clock, audit, random.Random(seed)
        self._lock = threading.Lock()
        self.breaker, self.retries, self.link = Breaker(clock), ResendBudget(), LinkEstimate()
        self.audit = Audit(_expected(self.plan["cascade"]))
        self._shed_until, self._next_look = 0.0, 0.0
        self._connection = None
        if cloud is not None and self._encoder is not None:
            self._connection = Connection(cloud, self.plan, self._may_retry)

    def _opened(self, folder: Path, name: str) -> EdgeNetwork | None:
        entry = self.plan.get(name)
        return None if entry is None else open_network(folder, entry)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    # --- answering ---

    def infer(self, sample: Any, deadline_ms: float | None = None) -> ClientAnswer:
        """Return the answer to one raw input, by the deadline.

        Args:
            sample: as the plan's `raw` says, channels first.
            deadline_ms: from now; that of the plan if left out.

        Raises:
            ClientError: the input is none of this plan.
        """
        begun = time.monotonic()
        values = checked_input(sample, self.plan["raw"])
        limit = begun + 1e-3 * (self.plan["deadline_ms"] if deadline_ms is None else deadline_ms)
        local = self.compute(values)
        if local.is_answer:
            if local.confidence is not None:
                self._maybe_audit(local.sent, local.outputs)
            return ClientAnswer(local.outputs, "edge", _ms_since(begun), local.confidence)
        stand_in = (lambda: self._stand_in(values)) if local.confidence is None else (lambda: local.outputs)
        return self._escalated(local.sent, stand_in, begun, limit, local.confidence)

    def compute(self, values: Any) -> LocalResult:
        """Return what the edge computes for one raw input before anything is sent.

        Args:
            values: as `checked_input` returns them.
        """
        kind = self.plan["kind"]
        own = self._first.run(values) if self._first is not None else None
        sent = own if kind == "split" or self._exit is not None else values
        if kind not in ("edge_only", "cascade"):
            return LocalResult(own, sent, None, False)
        own = own if self._exit is None else self._exit.call(own)
        if kind == "edge_only":
            return LocalResult(own, sent, None, True)
        confidence = cascade_confidence(own, self.plan["cascade"])
        return LocalResult(own, sent, confidence, confidence >= self.plan["cascade"]["threshold"])

    def content(self, sent: Any) -> bytes:
        """Return the content of a request's tensor, as it travels."""
        assert self._encoder is not None
        body, header_bytes = self._encoder.body(sent)
        return body[header_bytes:]

    def _stand_in(self, values: Any) -> Any:
        """Return the answer of the network that stands in for the cloud."""
        if self._fallback is not None:
            return self._fallback.run(values)
        shape = self.plan["answer"]["shape"]
        return np.full(shape, np.nan, np.float32)

    def _escalated(
        self, sent: Any, stand_in: Callable[[], Any], begun: float, limit: float, confidence: float | None
    ) -> ClientAnswer:
        """Return the cloud's answer if it is there in time, else the edge's."""
        exchange, why = self._try_send(sent, 1e3 * (limit - time.monotonic()))
        own = stand_in()
        if exchange is None or why:
            return ClientAnswer(own, f"edge: {why}", _ms_since(begun), confidence)
        if not exchange.done.wait(min(max(limit - time.monotonic(), 0.0), threading.TIMEOUT_MAX)):
            with self._lock:
                if not exchange.done.is_set():
                    self.breaker.fail()
            return ClientAnswer(own, "edge: deadline", _ms_since(begun), confidence)
        if exchange.outputs is not None:
            return ClientAnswer(exchange.outputs, "cloud", _ms_since(begun), confidence)
        return ClientAnswer(own, f"edge: {_why(exchange)}", _ms_since(begun), confidence, exchange.detail)

    # --- asking the cloud ---

    def _try_send(self, values: Any, left_ms: float) -> tuple[Exchange | None, str]:
        """Send a request and return it, and why its answer is not waited for; no reason if it is."""
        if self._connection is None or self._encoder is None:
            return None, "no server"
        now, why = self._clock(), ""
        with self._lock:
            if now < self._shed_until:
                return None, "shed"
            if self._connection.is_busy:
                return None, "breaker" if self.breaker.is_open else "busy"
            if self.breaker.is_open:
                if not self.breaker.wants_probe():
                    return None, "breaker"
                why = "breaker"
        body, header_bytes = self._encoder.body(values)
        with self._lock:
            if not why and not self.link.can_answer(len(body), left_ms):
                if now < self._next_look:
                    return None, "slow link"
                self._next_look, why = now + LOOK_AGAIN_S, "slow link"
            self.retries.earn()
        exchange = Exchange(body, header_bytes, self._over)
        self._connection.send(exchange)
        return exchange, why

    def _over(self, exchange: Exchange) -> None:
        """Learn from a request that is over; called in the connection's thread."""
        with self._lock:
            if exchange.round_trip_ms:
                self.link.saw_round_trip(exchange.round_trip_ms)
            if exchange.status == 200:
                self.breaker.succeed()
                self.link.saw_answer(exchange.ms, exchange.service_ms, len(exchange.body))
            elif exchange.status in (429, 503):
                self._shed_until = self._clock() + max(exchange.retry_after_s, self.breaker.cool_down_s)
            elif 400 <= exchange.status < 500:
                self.breaker.fail(self.breaker.longest_s)  # it will be refused again, until a person looks at it
            else:
                self.breaker.fail()

    def _may_retry(self) -> bool:
        with self._lock:
            return self.retries.spend()

    # --- auditing ---

    def _maybe_audit(self, values: Any, own: Any) -> None:
        """Ask the cloud about a sure answer as well, now and then; nobody waits for it."""
        if self._connection is None or self._random.random() >= self._share:
            return
        with self._lock:
            if self._connection.is_busy or self.breaker.is_open or self._clock() < self._shed_until:
                return
        assert self._encoder is not None
        body, header_bytes = self._encoder.body(values)

        def compare(exchange: Exchange) -> None:
            self._over(exchange)
            if exchange.outputs is not None:
                with self._lock:
                    self.audit.add(int(np.argmax(exchange.outputs)) != int(np.argmax(own)))

        self._connection.send(Exchange(body, header_bytes, compare))


def _expected(cascade: dict[str, Any] | None) -> tuple[int, int]:
    told = None if cascade is None else cascade.get("disagreement")
    return (0, 0) if told is None else (int(told["differs"]), int(told["kept"]))


def _ms_since(begun: float) -> float:
    return 1e3 * (time.monotonic() - begun)


def _why(exchange: Exchange) -> str:
    if exchange.status in (429, 503):
        return "shed"
    return "refused" if exchange.status else "unreachable"


# --- command line ---


def main() -> int:
    """Answer the inputs of the command line, a line of JSON for each."""
    arguments = _arguments()
    try:
        cloud = None
        if arguments.url:
            token = "" if arguments.token_file is None else read_token(arguments.token_file)
            certificate = tuple(map(str, arguments.certificate or ()))
            cloud = Cloud(arguments.url, token, str(arguments.ca or ""), certificate)
        client = Client(cloud, audit=arguments.audit)
        names = client.plan["task"]["class_names"]
        for path in arguments.inputs:
            answer = client.infer(read_input(path, client.plan["raw"]), arguments.deadline_ms)
            print(json.dumps({"input": str(path), **_shown(answer, names)}))
        client.close()
        if client.audit.count:
            print(f"audited {client.audit.count}: {_audit_text(client.audit)}", file=sys.stderr)
    except ClientError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename or ''} cannot be read ({error.strerror})", file=sys.stderr)
        return 2
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Answer inputs by the plan in this folder.")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="an image, or an array in a .npy file")
    parser.add_argument("--url", help="the server, https://HOST:PORT; the edge answers alone without it")
    parser.add_argument("--token-file", type=Path, help="file with the bearer token")
    parser.add_argument("--ca", type=Path, help="certificate of the authority that vouches for the server")
    parser.add_argument("--certificate", type=Path, nargs=2, help="the client's certificate and key, where it is asked")
    parser.add_argument("--deadline-ms", type=float, help="time within which an answer is wanted; the plan's own")
    parser.add_argument("--audit", type=float, default=0.0, help="share of sure answers that the cloud judges too")
    return parser.parse_args()


def _shown(answer: ClientAnswer, names: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"origin": answer.origin, "ms": round(answer.ms, 3)}
    if names and np.ndim(answer.outputs) == 1:
        document["label"] = names[int(np.argmax(answer.outputs))]
    else:
        document["outputs"] = np.asarray(answer.outputs).tolist()
    if answer.confidence is not None:
        document["confidence"] = round(answer.confidence, 4)
    return {**document, "detail": answer.detail} if answer.detail else document


def _audit_text(audit: Audit) -> str:
    low, high = audit.interval
    text = f"the cloud differs on {audit.disagreement:.1%} ({low:.1%} to {high:.1%})"
    return f"{text}: DRIFT, more than on held-out samples" if audit.alarm else text


if __name__ == "__main__":
    sys.exit(main())
