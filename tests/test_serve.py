"""The server's application: what it answers, what it refuses, and how it fills batches."""

from __future__ import annotations

import asyncio
import io
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.collaborate.codecs import BoundaryCodec, InputCodec
from hwnas.errors import ConfigError, HwnasError, RunError
from hwnas.serve.batching import Batcher
from hwnas.serve.bundle import ServedModel, read_bundle
from hwnas.serve.decode import decode
from hwnas.serve.metrics import Metrics
from hwnas.serve.protocol import JSON_LENGTH_HEADER
from hwnas.serve.tokens import Tokens, make_token
from tests.helpers.deployments import expected_outputs, linear_weights, write_deployment
from tests.helpers.malformed import malformed_requests
from tests.helpers.repository import REPOSITORY
from tests.helpers.serving import INFER, app_of, ask, asked, binary_request, deployed, outputs_of

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 4, 4)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return deployed(tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="module")
def app(model: ServedModel) -> Any:
    return app_of(model)


def test_neither_torch_nor_optuna_is_loaded() -> None:
    code = "import hwnas.commands.serve, hwnas.serve.app, hwnas.serve.server, hwnas.serve.replicas, sys\n"
    code += "assert not {'torch', 'optuna', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


# --- answers ---


def test_binary_and_json_requests_get_the_networks_outputs(model: ServedModel, app: Any) -> None:
    binary = asked(app, *binary_request(model, IMAGE.tobytes()))
    np.testing.assert_allclose(outputs_of(binary), expected_outputs(IMAGE)[0], rtol=1e-5)
    header = json.loads(binary.body[: int(binary.headers[JSON_LENGTH_HEADER])])
    assert header["parameters"]["plan"] == model.plan[:16]
    assert header["parameters"]["service_us"] > 0
    tensor = {"name": "input", "shape": [1, 3, 4, 4], "datatype": "UINT8"}
    for data in (IMAGE.ravel().tolist(), IMAGE[None].tolist()):
        answer = asked(app, json.dumps({"id": "7", "inputs": [{**tensor, "data": data}]}).encode())
        document = json.loads(answer.body)
        assert document["id"] == "7"
        assert np.float32(document["outputs"][0]["data"]).tobytes() == outputs_of(binary).tobytes()


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/cloud/ready"])
def test_the_protocols_paths_are_there(app: Any, path: str) -> None:
    assert asked(app, path=path, method="GET").status == 200


def test_metadata_tells_what_a_client_sends(model: ServedModel, app: Any) -> None:
    document = json.loads(asked(app, path="/v2/models/cloud", method="GET").body)
    assert document["inputs"] == [{"name": "input", "shape": [1, 3, 4, 4], "datatype": "UINT8"}]
    assert document["outputs"] == [{"name": "outputs", "shape": [1, 5], "datatype": "FP32"}]
    assert "binary_tensor_data" in json.loads(asked(app, path="/v2", method="GET").body)["extensions"]


def test_counts_are_told_to_prometheus(model: ServedModel) -> None:
    app = app_of(model)

    async def some() -> str:
        for _ in range(3):
            await ask(app, *binary_request(model, IMAGE.tobytes()))
        await ask(app, b"{}")
        return (await ask(app, path="/metrics", method="GET")).body.decode()

    lines = asyncio.run(some()).splitlines()
    assert {'hwnas_requests_total{status="200"} 3', 'hwnas_requests_total{status="400"} 1'} <= set(lines)
    assert "hwnas_service_seconds_count 3" in lines
    assert all(line.startswith("#") or len(line.split()) == 2 for line in lines)


# --- what a tensor carries ---


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_images_are_decoded_as_planning_decoded_them(tmp_path: Path, kind: str) -> None:
    codec = InputCodec("png") if kind == "png" else InputCodec("jpeg", 85)
    model = deployed(tmp_path, request={"compression": kind})
    content = codec.encode(IMAGE)
    answer = asked(app_of(model), *binary_request(model, content))
    np.testing.assert_allclose(
        outputs_of(answer), expected_outputs(codec.decode(content, IMAGE.shape, "uint8"))[0], rtol=1e-5
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_boundaries_are_restored_as_planning_restored_them(tmp_path: Path, precision: Any) -> None:
    boundary = np.random.default_rng(2).normal(size=(3, 4, 4)).astype(np.float32)
    codec = BoundaryCodec(precision, low=float(boundary.min()), high=float(boundary.max()))
    form = codec.format(boundary.shape)
    quantized = {"scale": codec.scale, "zero_point": codec.zero_point} if precision == "int8" else {}
    model = deployed(tmp_path, kind="split", request={"name": form.name, "dtype": form.dtype, **quantized})
    content = codec.encode(boundary)
    answer = asked(app_of(model), *binary_request(model, content))
    expected = codec.decode(content, boundary.shape).reshape(1, -1) @ linear_weights(boundary.shape)
    np.testing.assert_allclose(outputs_of(answer), expected[0], rtol=1e-4, atol=1e-5)


def test_packed_boundaries_are_unpacked_to_their_size_alone(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    form = {"name": "boundary", "dtype": "uint8", "compression": "zstd", "scale": 0.1, "zero_point": 3}
    model = deployed(tmp_path, kind="split", request=form)
    app = app_of(model)
    pack = zstandard.ZstdCompressor().compress
    assert asked(app, *binary_request(model, pack(IMAGE.tobytes()))).status == 200
    assert asked(app, *binary_request(model, pack(bytes(1 << 20)))).status == 400
    assert asked(app, *binary_request(model, b"no frame")).status == 400


def test_inputs_of_another_size_are_resized_as_pytorch_does(tmp_path: Path) -> None:
    steps = {"mean": [0.5], "std": [0.25], "divide_by": 255}
    model = deployed(tmp_path, shape=(1, 8, 5), request={"shape": [1, 13, 4]}, preprocessing=steps)
    pixels = np.random.default_rng(3).integers(0, 256, (1, 13, 4)).astype(np.uint8)
    normalised = torch.from_numpy((pixels.astype(np.float32) / 255 - 0.5) / 0.25)[None]
    expected = torch.nn.functional.interpolate(normalised, (8, 5), mode="bilinear", antialias=True, align_corners=False)
    np.testing.assert_allclose(decode(model, pixels.tobytes()), expected[0].numpy(), atol=1e-5)


def test_an_image_of_another_size_or_mode_is_refused(tmp_path: Path) -> None:
    model = deployed(tmp_path, request={"compression": "png"})
    app = app_of(model)
    for mode, size in (("RGB", (5, 4)), ("L", (4, 4)), ("RGB", (5000, 5000))):
        file = io.BytesIO()
        Image.new(mode, size).save(file, format="png", compress_level=9)
        content = file.getvalue()[: model.most_content_bytes]
        assert asked(app, *binary_request(model, content)).status == 400
    assert asked(app, *binary_request(model, InputCodec("jpeg", 50).encode(IMAGE))).status == 400


# --- refusals ---


def test_a_request_of_another_plan_is_refused(model: ServedModel, app: Any) -> None:
    answer = asked(app, *binary_request(model, IMAGE.tobytes(), plan="0" * 64))
    assert answer.status == 409
    assert model.plan[:16] in json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    ("length", "status"), [("100000", 413), ("1", 400), ("-1", 411), ("", 411), ("9" * 30, 411), ("٣", 411)]
)
def test_a_body_is_judged_by_its_length_before_it_is_read(app: Any, length: str, status: int) -> None:
    async def send_length() -> int:
        sent: list[Any] = []

        async def never() -> Any:
            raise AssertionError("the body is read")

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-length", length.encode())] if length else []
        scope = {"type": "http", "method": "POST", "path": INFER, "raw_path": INFER.encode(), "query_string": b""}
        await app({**scope, "headers": headers, "http_version": "1.1", "scheme": "http", "root_path": ""}, never, send)
        return int(sent[0]["status"])

    assert asyncio.run(send_length()) == status


def test_a_request_needs_a_token_if_there_are_tokens(model: ServedModel) -> None:
    (token, digest), (other, _) = make_token(), make_token()
    app = app_of(model, tokens=Tokens([digest]))
    body, headers = binary_request(model, IMAGE.tobytes())
    borne = {
        "": 401, f"Bearer {token}": 200, f"bearer {token}": 200, f"Bearer {other}": 401, f"Bearer {digest}": 401,
        f"Basic {token}": 401, f"Bearer {token[:-1]}": 401, "Bearer ": 401, "Bearer é": 401, token: 401,
    }  # fmt: skip
    for authorization, status in borne.items():
        given = [*headers, ("authorization", authorization)] if authorization else headers
        assert asked(app, body, given).status == status, authorization
    both = [("authorization", f"Bearer {other}"), ("authorization", f"Bearer {token}")]
    assert asked(app, body, [*headers, *both]).status == 401
    assert asked(app, path="/metrics", method="GET").status == 401
    assert asked(app, path="/v2/health/live", method="GET").status == 200


def test_damaged_deployments_are_refused(tmp_path: Path) -> None:
    def damaged(change: Any) -> HwnasError:
        folder = write_deployment(tmp_path / str(len(list(tmp_path.iterdir()))))
        change(folder / "cloud")
        with pytest.raises(HwnasError) as caught:
            read_bundle(folder)
        return caught.value

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    def edit(cloud: Path) -> None:
        path = cloud / "plan.json"
        path.write_text(path.read_text().replace('"wifi"', '"lte"'))

    assert isinstance(damaged(lambda cloud: flip(cloud / "cloud.onnx")), RunError)
    assert isinstance(damaged(lambda cloud: (cloud / "cloud.onnx").unlink()), RunError)
    assert "digest" in damaged(edit).met
    assert isinstance(damaged(lambda cloud: (cloud / "plan.json").write_text("{")), RunError)
    assert isinstance(damaged(lambda cloud: (cloud / "plan.json").unlink()), ConfigError)


# --- batches and the queue ---


class Gate:
    """A session that begins when it is told to, and notes the sizes of its batches."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.sizes: list[int] = []
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, contents: Any) -> Any:
        self.begun.set()
        self.open.wait()
        self.sizes.append(len(contents))
        return [self.answer(content) for content in contents], 1000


def test_a_free_session_takes_all_that_wait_up_to_a_batch() -> None:
    gate = Gate(lambda content: np.frombuffer(content, np.uint8))

    async def many() -> list[int]:
        batcher = Batcher([gate], batch=4, wait_s=0.0, most=64, metrics=Metrics())
        waiting = [asyncio.create_task(batcher.submit(bytes([0])))]
        await asyncio.sleep(0)
        await asyncio.to_thread(gate.begun.wait)
        waiting += [asyncio.create_task(batcher.submit(bytes([number]))) for number in range(1, 10)]
        await asyncio.sleep(0)
        gate.open.set()
        answers = [int((await one)[0][0]) for one in waiting]
        await batcher.close()
        return answers

    assert asyncio.run(many()) == list(range(10)), "each gets its own answer"
    assert gate.sizes == [1, 4, 4, 1]


def test_a_request_waits_for_others_only_so_long() -> None:
    async def one() -> float:
        batcher = Batcher([lambda contents: (list(contents), 1)], batch=4, wait_s=0.05, most=8, metrics=Metrics())
        begun = time.perf_counter()
        await batcher.submit(b"")
        return time.perf_counter() - begun

    assert 0.045 < asyncio.run(one()) < 2


def test_a_call_that_does_not_return_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.serve.batching.CLOSE_S", 0.05)
    gate = Gate(lambda content: np.zeros(1, np.float32))
    late = threading.Timer(3, gate.open.set)
    late.start()

    async def closing() -> float:
        batcher = Batcher([gate], batch=1, wait_s=0.0, most=8, metrics=Metrics())
        waiting = asyncio.create_task(batcher.submit(b""))
        await asyncio.to_thread(gate.begun.wait, 5)
        begun = time.perf_counter()
        await batcher.close()
        took = time.perf_counter() - begun
        gate.open.set()
        await waiting
        return took

    assert asyncio.run(closing()) < 2
    late.cancel()


def test_a_full_queue_refuses_and_answers_those_in_it(model: ServedModel) -> None:
    gate = Gate(lambda content: np.zeros(5, np.float32))

    async def rush() -> tuple[list[Any], Any]:
        app = app_of(model, most=2, session=gate)
        request = binary_request(model, IMAGE.tobytes())
        asking = [asyncio.create_task(ask(app, *request))]
        await asyncio.sleep(0.01)
        await asyncio.to_thread(gate.begun.wait)
        asking += [asyncio.create_task(ask(app, *request)) for _ in range(5)]
        await asyncio.sleep(0.05)
        gate.open.set()
        answers = await asyncio.gather(*asking)
        return answers, await ask(app, *request)

    answers, after = asyncio.run(rush())
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 503, 503, 503]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status == 503)
    assert after.status == 200


def test_an_error_of_one_request_is_its_own(tmp_path: Path) -> None:
    model = deployed(tmp_path, batch=4, request={"compression": "png"})
    good = InputCodec("png").encode(IMAGE)

    async def both() -> list[int]:
        app = app_of(model)
        requests = [binary_request(model, content) for content in (good, good, good[:60], good)]
        return [answer.status for answer in await asyncio.gather(*(ask(app, *request) for request in requests))]

    assert asyncio.run(both()) == [200, 200, 400, 200]


def test_a_network_that_fails_is_an_error_of_the_server_without_its_words(model: ServedModel) -> None:
    def broken(contents: Any) -> Any:
        raise RuntimeError("secret words")

    answer = asked(app_of(model, session=broken), *binary_request(model, IMAGE.tobytes()))
    assert answer.status == 500
    assert b"secret" not in answer.body


# --- malformed bodies ---

MALFORMED = 10_000
REFUSALS = {400, 409, 411, 413}


def test_malformed_bodies_are_refused_and_nothing_crashes(model: ServedModel, app: Any) -> None:
    """Changes that leave a request valid, such as another spelling of a number, get the network's answer."""
    body, ((_, length),) = binary_request(model, IMAGE.tobytes())
    document = json.loads(body[: int(length)])
    statuses = Counter[int]()
    good: list[str] = []

    async def all_of_them() -> None:
        for kind, changed, headers in malformed_requests(document, IMAGE.tobytes(), MALFORMED, seed=17):
            answer = await ask(app, changed, headers)
            statuses[answer.status] += 1
            good.extend([kind] * (answer.status == 200))
            if answer.status != 200:
                assert answer.status in REFUSALS, (kind, answer.body)
                assert json.loads(answer.body)["error"].count(". ") >= 2, (kind, answer.body)
        assert (await ask(app, body, [(JSON_LENGTH_HEADER, length)])).status == 200

    asyncio.run(all_of_them())
    assert sum(statuses.values()) == MALFORMED
    assert statuses[200] < MALFORMED / 20, good[:50]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_damaged_images_are_refused_and_nothing_crashes(tmp_path: Path, kind: Any) -> None:
    model = deployed(tmp_path, request={"compression": kind})
    content = InputCodec(kind, 85 if kind == "jpeg" else 0).encode(IMAGE)
    rng = random.Random(3)

    async def some() -> set[int]:
        app, statuses = app_of(model), set[int]()
        for _ in range(300):
            changed = bytearray(content)
            for _ in range(rng.randint(1, 5)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            changed = changed[: rng.choice((len(changed), rng.randint(1, len(changed))))]
            statuses.add((await ask(app, *binary_request(model, bytes(changed)))).status)
        return statuses

    assert asyncio.run(some()) <= {200, 400}, "a decoder may read a damaged image, and must not crash"
