"""Requests and answers of the Open Inference Protocol, version 2, with JSON tensors and with binary ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.wire import DATATYPES, LENGTH_BYTES, MODEL_NAME, OUTPUT_NAME, answer_header
from hwnas.errors import DataError, HwnasError
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.serve.bundle import FILE_DTYPE, ServedModel
from hwnas.serve.decode import malformed

JSON_LENGTH_HEADER = "inference-header-content-length"
MOST_HEADER_BYTES = 4096
"""Bytes of JSON beside the numbers; the client's own take some 300."""
SAME_HEADERS = 64
"""Different headers of requests that are remembered."""
JSON_NUMBER_BYTES = 32
"""Most bytes of a number in JSON, with what stands between two."""


@dataclass(frozen=True)
class InferenceRequest:
    """A request that is well-formed: the content of its tensor, and how the answer is wanted."""

    content: bytes | memoryview
    request_id: str
    is_binary: bool


class Refused(Exception):
    """A request that is not answered, with its status of HTTP."""

    def __init__(self, status: int, error: HwnasError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(error))
        self.status, self.error, self.headers = status, error, dict(headers or {})


def body_limits(model: ServedModel, header_length: str | None) -> tuple[int, int, int]:
    """Return the bytes of JSON, and the least and the most bytes of a body, before any of it is read.

    Args:
        model: that is asked.
        header_length: of the header `Inference-Header-Content-Length`, None if the request has none; then all is JSON.

    Raises:
        Refused: the length is no length.
    """
    content = model.request.plain_bytes
    if header_length is None:
        most = MOST_HEADER_BYTES + JSON_NUMBER_BYTES * math.prod(model.request.shape)
        return 0, 2, most
    length = int(header_length) if header_length.isascii() and header_length.isdigit() else 0
    if not 2 <= length <= MOST_HEADER_BYTES:
        allowed = f"The JSON of a request takes 2 to {MOST_HEADER_BYTES} bytes"
        raise Refused(400, malformed(f"`{JSON_LENGTH_HEADER}` is {header_length[:20]!r}", allowed))
    if model.request.compression:
        return length, length + LENGTH_BYTES + 1, length + LENGTH_BYTES + max(model.most_content_bytes, content)
    return length, length, length + content


class RequestReader:
    """Reader of bodies. JSON before binary data is checked once: a client's requests all have the same.

    Args:
        model: that is asked.
    """

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._checked = lru_cache(SAME_HEADERS)(self._check)

    def read(self, body: bytes, json_bytes: int) -> InferenceRequest:
        """Read a body, of which the first `json_bytes` are JSON; all of it is if they are 0.

        Raises:
            Refused: it is malformed, or asks for another plan.
        """
        try:
            if not json_bytes:
                document, tensor = self._document(body)
                return InferenceRequest(_json_content(self._model, tensor), _id(document), _wants_binary(document))
            payload = memoryview(body)[json_bytes:]
            request_id, is_binary = self._checked(body[:json_bytes], len(payload))
            return InferenceRequest(_binary_content(self._model, payload), request_id, is_binary)
        except FieldError as error:
            raise Refused(400, malformed(str(error), "A request is JSON of the Open Inference Protocol")) from error
        except DataError as error:
            raise Refused(400, error) from error

    def _check(self, header: bytes, payload_bytes: int) -> tuple[str, bool]:
        document, tensor = self._document(header)
        parameters = tensor.object("parameters") if tensor.optional("parameters") else Fields({})
        if (size := parameters.integer("binary_data_size")) != payload_bytes:
            raise malformed(f"`binary_data_size` is {size}", f"{payload_bytes} bytes stand behind the JSON")
        if "data" in tensor:
            raise malformed("the tensor has `data` and binary data", "One of them holds its numbers")
        return _id(document), _wants_binary(document)

    def _document(self, text: bytes) -> tuple[Fields, Fields]:
        """Return a request's JSON and its one tensor, which has the right form."""
        document = Fields(loads(text))
        _check_plan(self._model, document)
        tensors = list(document.objects("inputs"))
        if len(tensors) != 1:
            raise FieldError(f"`inputs` holds {len(tensors)} tensors, 1 is needed")
        _check_form(self._model, tensors[0])
        return document, tensors[0]


def _id(document: Fields) -> str:
    return document.text("id") if document.optional("id") else ""


def _check_plan(model: ServedModel, document: Fields) -> None:
    parameters = document.object("parameters") if document.optional("parameters") else Fields({})
    if not parameters.optional("plan"):
        return
    plan = parameters.text("plan")
    if plan != model.plan_digits:
        error = DataError(
            f"the request is of plan {plan[:32]!r}",
            where="parameters.plan",
            allowed=f"This server answers plan {model.plan_digits!r}" if model.plan else "This server has no plan",
            do="Copy edge/ and cloud/ of one deployment to the two machines",
        )
        raise Refused(409, error)


def _check_form(model: ServedModel, tensor: Fields) -> None:
    form = model.request
    name, datatype = tensor.text("name"), tensor.text("datatype")
    shape = tensor.array("shape")
    wanted = ([1], "BYTES") if form.compression else ([1, *form.shape], DATATYPES[form.dtype])
    if name != form.name or (shape, datatype) != wanted or any(type(size) is not int for size in shape):
        raise malformed(
            f"the tensor is {name[:40]!r} of {datatype[:10]!r}",
            f"It is `{form.name}` of {wanted[1]}, shape {wanted[0]}",
        )


def _binary_content(model: ServedModel, payload: memoryview) -> memoryview:
    """Return the content of the tensor, without the length before compressed bytes."""
    if not model.request.compression:
        return payload
    inner = int.from_bytes(payload[:LENGTH_BYTES], "little")
    if inner != len(payload) - LENGTH_BYTES:
        raise malformed(f"the element of BYTES has a length of {inner}", f"It is {len(payload) - LENGTH_BYTES}")
    return payload[LENGTH_BYTES:]


def _json_content(model: ServedModel, tensor: Fields) -> bytes:
    form = model.request
    if tensor.optional("parameters") and "binary_data_size" in tensor.object("parameters"):
        raise malformed("binary data, and no length of the JSON", f"The header `{JSON_LENGTH_HEADER}` tells it")
    if form.compression or form.dtype == "float16":
        raise malformed("the numbers are JSON", "This tensor travels in binary form only")
    flat = _flattened(tensor.array("data"), [1, *form.shape])
    kind = np.dtype(form.dtype)
    numbers = (int,) if kind.kind in "iu" else (int, float)
    if any(type(number) not in numbers for number in flat):
        raise malformed("`data` holds another thing than numbers", f"It holds {DATATYPES[form.dtype]}")
    try:
        with np.errstate(over="raise"):
            if kind.kind in "iu" and not np.iinfo(kind).min <= min(flat) <= max(flat) <= np.iinfo(kind).max:
                raise OverflowError
            return np.array(flat, dtype="int64" if kind.kind in "iu" else "float64").astype(kind).tobytes()
    except (OverflowError, FloatingPointError, TypeError, ValueError):
        raise malformed("a number of `data` is out of range", f"It holds {DATATYPES[form.dtype]}") from None


def _flattened(data: list[Any], shape: list[int]) -> list[Any]:
    """Return the numbers of a tensor that is flat, or nested as its shape says."""
    sizes = shape if data and isinstance(data[0], list) else [math.prod(shape)]
    level: list[Any] = [data]
    for size in sizes:
        if any(not isinstance(part, list) or len(part) != size for part in level):
            raise malformed(
                "`data` has another shape", f"It holds {math.prod(shape)} numbers, flat or nested as {shape}"
            )
        level = [inner for part in level for inner in part]
    return level


def _wants_binary(document: Fields) -> bool:
    """Return whether the one output travels in binary form."""
    parameters = document.object("parameters") if document.optional("parameters") else Fields({})
    binary = parameters.flag("binary_data_output") if parameters.optional("binary_data_output") else False
    outputs = list(document.objects("outputs")) if document.optional("outputs") else []
    if len(outputs) > 1 or any(output.text("name") != OUTPUT_NAME for output in outputs):
        raise malformed("`outputs` asks for other tensors", f"There is one, `{OUTPUT_NAME}`")
    for output in outputs:
        own = output.object("parameters") if output.optional("parameters") else Fields({})
        if own.optional("classification"):
            raise malformed("`classification` is asked for", "Answers are the network's outputs")
        binary = own.flag("binary_data") if own.optional("binary_data") else binary
    return binary


def answer(model: ServedModel, output: NDArray[Any], request: InferenceRequest, service_us: int) -> tuple[bytes, int]:
    """Return the body of an answer, and the bytes of its JSON; 0 if all of it is."""
    values = np.ascontiguousarray(output, np.float32)
    tensor: dict[str, object] = {"name": OUTPUT_NAME, "shape": [1, *values.shape], "datatype": DATATYPES[FILE_DTYPE]}
    if request.is_binary:
        payload = values.tobytes()
        tensor["parameters"] = {"binary_data_size": len(payload)}
        header = answer_header([tensor], model.plan_digits, service_us, request.request_id)
        return header + payload, len(header)
    tensor["data"] = [number if math.isfinite(number) else None for number in map(_shortest, values.ravel())]
    return answer_header([tensor], model.plan_digits, service_us, request.request_id), 0


def _shortest(number: np.float32) -> float:
    """Return the number with the fewest digits that is this one in single precision."""
    return float(str(number))


def server_metadata(version: str) -> dict[str, Any]:
    """Return what `/v2` tells."""
    return {"name": "hwnas", "version": version, "extensions": ["binary_tensor_data"]}


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """Return what `/v2/models/cloud` tells."""
    form = model.request
    wanted = ([1], "BYTES") if form.compression else ([1, *form.shape], DATATYPES[form.dtype])
    return {
        "name": MODEL_NAME,
        "versions": ["1"],
        "platform": model.runtime,
        "inputs": [{"name": form.name, "shape": wanted[0], "datatype": wanted[1]}],
        "outputs": [{"name": OUTPUT_NAME, "shape": [1, *model.answer_shape], "datatype": DATATYPES[FILE_DTYPE]}],
        **({"parameters": {"plan": model.plan_digits}} if model.plan else {}),
    }


def error_body(error: HwnasError) -> bytes:
    """Return the body of an error: its four parts as one text."""
    return json.dumps({"error": str(error)}).encode()
