"""`plan.json`: the document that both sides of a deployment share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.collaborate.codecs import BoundaryCodec, InputCodec
from hwnas.collaborate.wire import Shape, TensorFormat, plan_digest
from hwnas.io.checksum import sha256_of

FORMAT = 1
CLIENT_RULES = ("max_prob", "margin", "entropy", "learned")
"""Rules of confidence that the client computes."""


@dataclass(frozen=True)
class DeployedFile:
    """A model file of a deployment.

    Args:
        path: of the file.
        runtime: that runs it.
        precision: fp32, fp16 or int8.
        threads: of one call.
        batch: samples of one call.
        input_shape: of one sample, channels first.
        output_shape: of one sample's output, channels first.
        preprocessing: what a raw input becomes before it; empty where it takes a boundary.
    """

    path: Path
    runtime: str
    precision: str
    threads: int
    batch: int
    input_shape: Shape
    output_shape: Shape
    preprocessing: Mapping[str, Any]

    def entry(self) -> dict[str, Any]:
        """Return the file's entry, ready for JSON."""
        return {
            "file": self.path.name,
            "sha256": sha256_of(self.path),
            "runtime": self.runtime,
            "precision": self.precision,
            "threads": self.threads,
            "batch": self.batch,
            "input": {"shape": list(self.input_shape), "dtype": "float32"},
            "output": {"shape": list(self.output_shape)},
            "preprocessing": dict(self.preprocessing),
        }


def request_entry(form: TensorFormat, codec: BoundaryCodec | InputCodec) -> dict[str, Any]:
    """Return the entry on how a request's tensor travels, ready for JSON.

    Example:
        >>> codec = BoundaryCodec("int8", low=0.0, high=2.55)
        >>> entry = request_entry(codec.format((8, 4, 4)), codec)
        >>> entry["dtype"], entry["zero_point"], entry["body_bytes"] == entry["max_body_bytes"]
        ('uint8', 0, True)
    """
    quantized = isinstance(codec, BoundaryCodec) and codec.precision == "int8"
    plain = form.plain_bytes
    exact = form.body_bytes(plain) if not form.compression else None
    return {
        "name": form.name,
        "shape": list(form.shape),
        "dtype": form.dtype,
        "compression": form.compression,
        "quality": codec.quality if isinstance(codec, InputCodec) and codec.quality else None,
        "scale": codec.scale if isinstance(codec, BoundaryCodec) and quantized else None,
        "zero_point": codec.zero_point if isinstance(codec, BoundaryCodec) and quantized else None,
        "body_bytes": exact,
        "max_body_bytes": exact or form.body_bytes(plain + plain // 4 + 4096),
    }


def sealed_plan(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan's content with its digest, as it is written."""
    plain = json.loads(json.dumps({"format": FORMAT, **content}, allow_nan=False))
    return {"format": FORMAT, "plan": plan_digest(plain), **plain}
