"""The process on the edge's end of an imposed link: it asks request by request, and tells what each took.

`python -m hwnas.deploy.imposed_edge`: commands come as lines of JSON, answers go likewise.
"""

from __future__ import annotations

import gc
import http.client
import json
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from hwnas.collaborate.codecs import Array, BoundaryCodec, InputCodec
from hwnas.collaborate.wire import MODEL_NAME, TensorFormat
from hwnas.runtimes import open_runtime
from hwnas.serve.decode import _preprocessed
from hwnas.tasks.confidence import class_confidences

HEADER_LENGTH = "Inference-Header-Content-Length"
PATIENCE_S = 120.0


class ImposedEdge:
    """The edge's side of a deployment without what adapts to a link: no deadline, breaker or audit.

    Args:
        entry: `folder` of the edge; `url`, `token` and `ca` of the cloud.
        slowdown: how many times longer it computes than this machine does.
    """

    def __init__(self, entry: Mapping[str, Any], slowdown: float) -> None:
        folder = Path(entry["folder"])
        self._plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        self._entry, self._slowdown = entry, slowdown
        self._connection: http.client.HTTPSConnection | None = None
        file = self._plan["edge"]
        if file is not None:
            runtime = open_runtime(file["runtime"], threads=file["threads"], precision=file["precision"])
            self._loaded = runtime.load(folder / file["file"])
        if self._plan["request"] is not None:
            self._context = ssl.create_default_context(cafile=entry["ca"])

    def ask(self, raw: Array, *, always: bool) -> dict[str, Any]:
        """Answer a sample and return what it took."""
        begun = time.perf_counter()
        output = raw if self._plan["edge"] is None else self._computed(raw)
        asked = self._plan["request"] is not None and (always or not self._is_sure(output))
        if self._slowdown > 1 and self._plan["edge"] is not None:
            time.sleep((time.perf_counter() - begun) * (self._slowdown - 1))
        computed = time.perf_counter()
        took = {"edge_ms": (computed - begun) * 1e3, "asked": asked}
        if asked:
            body, json_bytes = self._body(output if self._plan["kind"] == "split" else raw)
            took["encode_ms"] = (time.perf_counter() - computed) * 1e3
            took["service_ms"] = self._answered_ms(body, json_bytes)
        return {**took, "total_ms": (time.perf_counter() - begun) * 1e3}

    def connect(self) -> None:
        """Open a new connection."""
        if self._plan["request"] is not None:
            address = urlsplit(self._entry["url"])
            self._connection = http.client.HTTPSConnection(
                str(address.hostname), address.port, timeout=PATIENCE_S, context=self._context
            )
            self._connection.connect()

    def close(self) -> None:
        """Close the connection; the next request opens one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _computed(self, raw: Array) -> Array:
        file = self._plan["edge"]
        inputs = _preprocessed(raw.astype(np.float32), file["preprocessing"], tuple(file["input"]["shape"]))
        return np.asarray(self._loaded.run(inputs[None]))[0]

    def _is_sure(self, output: Array) -> bool:
        cascade = self._plan["cascade"]
        if cascade is None:
            return False
        confidence = class_confidences(output[None], cascade["temperature"])[cascade["rule"]][0]
        return bool(confidence >= cascade["threshold"])

    def _body(self, values: Array) -> tuple[bytes, int]:
        """Return a request's body and the length of its header."""
        request = self._plan["request"]
        codec: BoundaryCodec | InputCodec
        if self._plan["kind"] == "split":
            precision, _, packing = self._plan["codec"].partition("+")
            codec = BoundaryCodec(precision, bool(packing))
            if precision == "int8":
                codec = BoundaryCodec.of(request["scale"], request["zero_point"], bool(packing))
        else:
            codec = InputCodec(request["compression"] or "raw", request.get("quality") or 0)
        content = codec.encode(values)
        form = TensorFormat(request["name"], tuple(request["shape"]), request["dtype"], request["compression"])
        body = form.body(content, self._plan["plan"])
        return body, len(body) - form.payload_bytes(len(content))

    def _answered_ms(self, body: bytes, json_bytes: int) -> float:
        """Send a request and return the time that the cloud took for it, as its answer tells."""
        if self._connection is None:
            self.connect()
        assert self._connection is not None
        headers = {HEADER_LENGTH: str(json_bytes), "Authorization": f"Bearer {self._entry['token']}"}
        headers["Content-Type"] = "application/octet-stream"
        self._connection.request("POST", f"/v2/models/{MODEL_NAME}/infer", body=body, headers=headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the cloud answers {answer.status}: {content[:500].decode(errors='replace')}")
        told = json.loads(content[: int(answer.headers[HEADER_LENGTH])])
        return float(told["parameters"]["service_us"]) / 1e3


def main() -> None:
    """Answer commands until standard input ends."""
    first = json.loads(sys.stdin.readline())
    samples = np.load(first["samples"])
    edges = [ImposedEdge(entry, first["slowdown"]) for entry in first["plans"]]
    gc.freeze()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        edge, answer = edges[command["plan"]], {}
        if command["do"] == "ask":
            answer = edge.ask(samples[command["sample"] % len(samples)], always=command["always"])
        elif command["do"] == "connect":
            edge.connect()
        else:
            edge.close()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
