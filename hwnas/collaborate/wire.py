"""The body of a request in the Open Inference Protocol, version 2, with binary tensors: built, and its bytes counted.

One function makes the JSON header for both, so that a plan's bytes are those that are sent.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]

DATATYPES = {
    "float32": "FP32",
    "float16": "FP16",
    "float64": "FP64",
    "uint8": "UINT8",
    "int32": "INT32",
    "int64": "INT64",
}
"""The protocol's names of numpy's; a compressed tensor travels as one element of `BYTES`."""
ELEMENT_BYTES = {"float32": 4, "float16": 2, "float64": 8, "uint8": 1, "int32": 4, "int64": 8}
LENGTH_BYTES = 4
"""An element of `BYTES` stands behind its length, a little-endian number."""
MODEL_NAME = "cloud"
OUTPUT_NAME = "outputs"
PLAN_FILE = "plan.json"
PLAN_DIGITS = 16
"""Digits of the plan's SHA-256 that a request names, so that a tail of another plan refuses it."""
HTTP_BYTES = 600
"""Usual bytes of a request's line and headers, with a bearer token; an answer's are fewer."""


@dataclass(frozen=True)
class TensorFormat:
    """How one tensor travels.

    Args:
        name: of the input of the cloud's file.
        shape: of one sample, without the batch axis.
        dtype: numpy's name, of what is sent; of a compressed tensor, of what it is unpacked to.
        compression: `png`, `jpeg` or `zstd`; empty if the bytes are the tensor's own.
    """

    name: str
    shape: Shape
    dtype: str
    compression: str = ""

    def header(self, payload_bytes: int, plan: str) -> bytes:
        """Return the JSON header of a request whose tensor takes so many bytes."""
        tensor = {"name": self.name, "shape": [1, *self.shape], "datatype": DATATYPES[self.dtype]}
        parameters: dict[str, object] = {"binary_data_size": payload_bytes}
        if self.compression:
            tensor |= {"shape": [1], "datatype": "BYTES"}
            parameters["content_type"] = self.compression
        document = {
            "inputs": [{**tensor, "parameters": parameters}],
            "outputs": [{"name": OUTPUT_NAME, "parameters": {"binary_data": True}}],
            "parameters": {"plan": plan[:PLAN_DIGITS].ljust(PLAN_DIGITS, "0")},
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @property
    def plain_bytes(self) -> int:
        """Bytes of the tensor before it is compressed."""
        return math.prod(self.shape) * ELEMENT_BYTES[self.dtype]

    def payload_bytes(self, content_bytes: int) -> int:
        """Return the bytes of the binary part that holds so many bytes of content."""
        return content_bytes + (LENGTH_BYTES if self.compression else 0)

    def body_bytes(self, content_bytes: int) -> int:
        """Return the bytes of a request's body whose tensor has so many bytes of content, compressed or not."""
        payload = self.payload_bytes(content_bytes)
        return len(self.header(payload, "")) + payload

    def body(self, content: bytes, plan: str) -> bytes:
        """Return the body of a request, ready to be sent; `Inference-Header-Content-Length` is its header's length."""
        payload = len(content).to_bytes(LENGTH_BYTES, "little") + content if self.compression else content
        return self.header(len(payload), plan) + payload


def plan_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a plan's content, in which the digest itself does not count.

    Example:
        >>> plan_digest({"plan": "ab", "name": "x"}) == plan_digest({"name": "x"})
        True
    """
    plain = {name: value for name, value in content.items() if name != "plan"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def answer_bytes(shape: Shape, dtype: str = "float32") -> int:
    """Return the bytes of an answer's body with one output of this shape, without the batch axis.

    >>> answer_bytes((10,))
    225
    """
    count = 1
    for size in shape:
        count *= size
    payload = count * ELEMENT_BYTES[dtype]
    output: dict[str, object] = {
        "name": OUTPUT_NAME,
        "shape": [1, *shape],
        "datatype": DATATYPES[dtype],
        "parameters": {"binary_data_size": payload},
    }
    return len(answer_header([output], "0" * PLAN_DIGITS, 1_000_000)) + payload


def answer_header(outputs: list[dict[str, object]], plan: str, service_us: int, request_id: str = "") -> bytes:
    """Return the JSON header of an answer; its plan's digits and the request's id are left out where there are none."""
    document: dict[str, object] = {"model_name": MODEL_NAME}
    if request_id:
        document["id"] = request_id
    named = {"plan": plan} if plan else {}
    document |= {"outputs": outputs, "parameters": {**named, "service_us": service_us}}
    return json.dumps(document, separators=(",", ":")).encode()
