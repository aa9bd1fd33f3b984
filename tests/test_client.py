"""The edge's client: every request is answered by its deadline, whatever the cloud and the link do."""

from __future__ import annotations

import json
import socket
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

from hwnas.collaborate.learned.deferral import LearnedDeferral
from hwnas.collaborate.preprocess import preprocessed
from hwnas.collaborate.wire import TensorFormat
from hwnas.deploy.client.client import Client, main
from hwnas.deploy.client.connection import Cloud
from hwnas.deploy.client.network import ClientError, Encoder, read_input
from hwnas.deploy.client.policy import (
    Audit,
    Breaker,
    LinkEstimate,
    ResendBudget,
    cascade_confidence,
    confidence_of,
    interval_of,
)
from hwnas.deploy.shipping import write_client
from hwnas.tasks.confidence import class_confidences
from hwnas.tasks.resizing import resized
from tests.helpers.clouds import CloudDouble, StallingLink, cloud_double
from tests.helpers.edges import CLASSES, RAW, expected, image, write_edge


def second(content: bytes) -> tuple[int, Any]:
    """The answer of the cloud's network, which is another than the edge's."""
    return 200, expected(1, np.frombuffer(content, np.uint8).reshape(RAW))


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def client_of(folder: Path, server: CloudDouble | StallingLink, **options: Any) -> Client:
    port = server.port if isinstance(server, StallingLink) else server.server_address[1]
    return Client(Cloud(url(port), token="secret"), folder, **options)


# --- answers ---


@pytest.mark.parametrize("kind", ["cascade", "cloud_only"])
def test_the_cloud_answers_what_is_escalated_and_bodies_are_as_planned(kind: str, tmp_path: Path) -> None:
    plan = write_edge(tmp_path, kind)
    with cloud_double(plan["plan"], second) as server:
        client = client_of(tmp_path, server)
        for number in range(20):
            answer = client.infer(image(number), deadline_ms=2000)
            assert answer.origin == "cloud"
            assert np.allclose(answer.outputs, expected(1, image(number)), atol=1e-5)
        assert {len(body) for body in server.bodies} == {plan["request"]["body_bytes"]}
        assert server.tokens == {"Bearer secret"}
        client.close()


def test_sure_answers_stay_on_the_edge(tmp_path: Path) -> None:
    plan = write_edge(tmp_path, threshold=0.6)
    with cloud_double(plan["plan"], second) as server:
        client = client_of(tmp_path, server)
        for number in range(50):
            answer = client.infer(image(number), deadline_ms=2000)
            own = expected(0, image(number))
            sure = class_confidences(own[None])["max_prob"][0]
            assert answer.confidence == pytest.approx(sure, abs=1e-5)
            assert answer.origin == ("edge" if sure >= 0.6 else "cloud")
            assert np.allclose(answer.outputs, own if sure >= 0.6 else expected(1, image(number)), atol=1e-5)
        client.close()


@pytest.mark.parametrize("rule", ["max_prob", "margin", "entropy"])
def test_confidences_are_those_that_thresholds_were_set_on(rule: str) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 4
    for temperature in (0.5, 1.0, 3.0):
        wanted = class_confidences(logits, temperature)[rule]
        assert np.allclose([confidence_of(one, rule, temperature) for one in logits], wanted)


def test_the_learned_rule_is_the_one_that_its_threshold_was_set_on() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 4
    rule = LearnedDeferral({"max_prob": 0.7, "margin": -0.2, "entropy": 1.1}, -0.4)
    cascade = {"rule": "learned", "temperature": 1.5, "deferral": rule.as_dict()}
    wanted = rule.confidence(class_confidences(logits, 1.5))
    assert np.allclose([cascade_confidence(one, cascade) for one in logits], wanted)


def test_inputs_become_what_pytorch_makes_of_them() -> None:
    rng = np.random.default_rng(0)
    for have, want in (((3, 8, 8), (3, 5, 5)), ((3, 8, 6), (3, 16, 12)), ((2, 30), (2, 13))):
        raw = rng.integers(0, 256, have).astype(np.uint8)
        mean, std = rng.random(have[0]), rng.random(have[0]) + 0.5
        axes = (-1, *(1,) * (len(have) - 1))
        normalised = (torch.from_numpy(raw).float() / 255 - torch.tensor(mean).reshape(axes)) / torch.tensor(
            std
        ).reshape(axes)
        steps = {"divide_by": 255, "mean": mean.tolist(), "std": std.tolist()}
        assert np.allclose(preprocessed(raw, steps, want), resized(normalised.float()[None], want)[0], atol=1e-5)


def test_what_is_no_input_of_the_plan_or_was_changed_is_refused(tmp_path: Path) -> None:
    write_edge(tmp_path)
    client = Client(None, tmp_path)
    assert client.infer(image(0)).origin == "edge: no server"
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros(RAW, np.float32)):
        with pytest.raises(ClientError, match="the input has shape"):
            client.infer(wrong)
    with pytest.raises(ClientError, match="not that of a safe server"):
        Cloud("http://example.org:80")
    model = tmp_path / "edge.onnx"
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(ClientError, match="another than the plan's"):
        Client(None, tmp_path)
    path = tmp_path / "plan.json"
    path.write_text(path.read_text().replace('"deadline_ms": 50.0', '"deadline_ms": 51.0'))
    with pytest.raises(ClientError, match="digest does not fit"):
        Client(None, tmp_path)


def test_the_client_runs_where_hwnas_is_not(tmp_path: Path) -> None:
    plan = write_edge(tmp_path)
    write_client(tmp_path)
    np.save(tmp_path / "one.npy", image(1))
    code = (
        "import runpy, sys; sys.modules['hwnas'] = sys.modules['torch'] = None\n"
        f"sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(tmp_path / 'client.py')!r}, run_name='__main__')"
    )
    token = tmp_path / "token"
    token.write_text("secret\n")
    with cloud_double(plan["plan"], second) as server:
        command = [sys.executable, "-c", code, str(tmp_path / "one.npy"), "--url", url(server.server_address[1])]
        command += ["--token-file", str(token), "--deadline-ms", "5000"]
        done = subprocess.run(command, cwd=tmp_path.parent, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["origin"], answer["label"]) == ("cloud", "abc"[int(expected(1, image(1)).argmax())])
    assert server.tokens == {"Bearer secret"}
    command[command.index(str(token))] = str(tmp_path)
    done = subprocess.run(command, cwd=tmp_path.parent, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, "--token-file" in done.stderr, done.stderr.count("\n")) == (2, True, 4)


# --- what goes wrong ---


@pytest.mark.parametrize(("status", "origin"), [(503, "edge: shed"), (500, "edge: refused"), (401, "edge: refused")])
def test_what_the_cloud_refuses_the_edge_answers(status: int, origin: str, tmp_path: Path) -> None:
    plan = write_edge(tmp_path)
    with cloud_double(plan["plan"], lambda content: (status, "it is so")) as server:
        client = client_of(tmp_path, server)
        first = client.infer(image(0), deadline_ms=2000)
        assert (first.origin, first.detail) == (origin, "it is so")
        assert np.allclose(first.outputs, expected(0, image(0)), atol=1e-5)
        later = [client.infer(image(number), deadline_ms=2000).origin for number in range(1, 10)]
        assert len(server.bodies) <= 4
        assert set(later) <= {origin, "edge: breaker"}
        client.close()


def test_a_cloud_of_another_plan_is_told(tmp_path: Path) -> None:
    write_edge(tmp_path)
    with cloud_double("0" * 64, second) as server:
        client = client_of(tmp_path, server)
        answer = client.infer(image(0), deadline_ms=2000)
        assert (answer.origin, answer.detail) == ("edge: refused", "the request is of another plan")
        client.close()


def test_nobody_waits_for_a_server_that_is_not_there(tmp_path: Path) -> None:
    write_edge(tmp_path)
    with cloud_double("0" * 64, second) as server:
        port = server.server_address[1]
    client = Client(Cloud(url(port)), tmp_path)
    answers = [client.infer(image(number), deadline_ms=500) for number in range(20)]
    assert {answer.origin for answer in answers} <= {"edge: unreachable", "edge: breaker", "edge: busy"}
    assert "edge: breaker" in {answer.origin for answer in answers}
    assert max(answer.ms for answer in answers) < 400
    client.close()


FOREIGN = [
    np.zeros(CLASSES + 1),
    b"[]",
    b'{"parameters": [], "outputs": []}',
    b"[" * 100_000,
    b'{"outputs": [{"shape": [1, 3], "data": [1' + b"0" * 400 + b", 0, 0]}]}",
]
"""Answers that are none of the plan: another shape, no object, too deep, a number that no float holds."""


def test_a_foreign_answer_is_not_the_last_that_is_asked_for(tmp_path: Path) -> None:
    plan, answers = write_edge(tmp_path), list[Any]()
    with cloud_double(plan["plan"], lambda content: (200, answers.pop(0))) as server:
        client = client_of(tmp_path, server)
        for number, foreign in enumerate(FOREIGN):
            answers += [foreign, expected(1, image(number))]
            assert client.infer(image(number), deadline_ms=2000).origin == "edge: unreachable"
            assert client.infer(image(number), deadline_ms=float("inf")).origin == "cloud"
        client.close()


def test_addresses_of_a_host_are_tried_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = write_edge(tmp_path)
    with cloud_double("0" * 64, second) as gone:
        refusing = gone.server_address[1]
    with cloud_double(plan["plan"], second) as server:
        kinds = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        listed = [(*kinds, ("127.0.0.1", port)) for port in (refusing, server.server_address[1])]
        client = client_of(tmp_path, server)
        with monkeypatch.context() as patched:
            patched.setattr("hwnas.deploy.client.connection.socket.getaddrinfo", lambda *a, **k: listed)
            assert client.infer(image(0), deadline_ms=2000).origin == "cloud"
        client.close()


@pytest.mark.parametrize("wrong", ["https://", "https://[::1", "https://h:99999", "https://h:a", "ftp://h:1"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ClientError, match="not that of a safe server"):
        Cloud(wrong)


def test_files_that_are_no_input_and_no_token_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("a.npy", b""), ("b.npy", b"\x93NUMPY"), ("c.png", b"\x89PNG\r\n\x1a\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ClientError, match="the input cannot be read"):
            read_input(tmp_path / name, {"shape": RAW})
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    arguments = ["client.py", str(tmp_path / "a.npy"), "--url", "https://h", "--token-file", str(tmp_path / "token")]
    monkeypatch.setattr(sys, "argv", arguments)
    assert main() == 2


def test_a_package_that_compresses_and_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    form = TensorFormat("boundary", (4,), "uint8", "zstd")
    encoder = Encoder(form, {"scale": 0.5, "zero_point": 0}, "0" * 64)
    with pytest.raises(ClientError, match="zstandard"):
        encoder.body(np.zeros(4, np.float32))


def test_a_connection_that_rested_too_long_is_opened_again_within_the_budget(tmp_path: Path) -> None:
    plan = write_edge(tmp_path)
    with cloud_double(plan["plan"], second) as server:
        client = client_of(tmp_path, server)
        connection: Any = client._connection
        origins = []
        for number in range(60):
            origins.append(client.infer(image(number), deadline_ms=2000).origin)
            if number % 3 == 2 and connection._http is not None:
                connection._http.sock.shutdown(2)  # as a server does that closes what rests
        closed = 20
        lost = len([origin for origin in origins if origin != "cloud"])
        assert closed - lost - 1 <= 0.1 * 60 + 1
        assert max(server.asked.values()) == 1
        client.close()


def outages_of(client: Client, link: StallingLink, count: int, pause_s: float, deadline_ms: float) -> list[Any]:
    """Answers to requests over a link that is cut at random times."""
    rng, stop = np.random.default_rng(0), threading.Event()

    def break_often() -> None:
        while not stop.wait(rng.uniform(0.1, 0.3)):
            link.cut()
            stop.wait(rng.uniform(0.1, 0.3))
            link.restore()

    breaker, answers = threading.Thread(target=break_often), []
    breaker.start()
    for number in range(count):
        answers.append(client.infer(image(number), deadline_ms=deadline_ms))
        time.sleep(pause_s)
    stop.set()
    breaker.join()
    link.restore()
    return answers


def test_all_requests_are_answered_by_their_deadline_through_outages(tmp_path: Path) -> None:
    """Scaled down from benchmarks/outages.py: shorter outages, fewer requests, the same laws."""
    plan = write_edge(tmp_path)
    with cloud_double(plan["plan"], second) as server:
        link = StallingLink(server.server_address[1])
        client = client_of(tmp_path, link)
        client.breaker.cool_down_s = 0.05
        answers = outages_of(client, link, count=700, pause_s=0.004, deadline_ms=40.0)
        origins = Counter(answer.origin for answer in answers)
        assert len(answers) == 700
        assert origins["cloud"] > 150
        assert origins["edge: deadline"] >= 3
        assert sum(answer.ms > 50.0 for answer in answers) <= 7
        assert max(server.asked.values()) == 1
        for number, answer in enumerate(answers):
            seed = 1 if answer.origin == "cloud" else 0
            assert np.allclose(answer.outputs, expected(seed, image(number)), atol=1e-5)
        deadline = time.monotonic() + 3
        while client.infer(image(10_000), deadline_ms=500).origin != "cloud" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not client.breaker.is_open
        client.close()
        link.close()


# --- decisions ---


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_opens_probes_and_closes() -> None:
    clock = Clock()
    breaker = Breaker(clock, failures=3, cool_down_s=1, longest_s=4)
    for _ in range(2):
        breaker.fail()
    breaker.succeed()
    for _ in range(3):
        assert not breaker.is_open
        breaker.fail()
    assert breaker.is_open
    waits, begun = [], clock.now
    for _ in range(4):
        while not breaker.wants_probe():
            clock.now += 0.25
        waits.append(clock.now - begun)
        assert not breaker.wants_probe()
        breaker.fail()
        begun = clock.now
    assert waits == [1, 2, 4, 4]
    breaker.succeed()
    assert not breaker.is_open


def test_retries_are_a_tenth_at_most() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        budget, retries, requests = ResendBudget(), 0, int(rng.integers(1, 2000))
        for _ in range(requests):
            budget.earn()
            retries += rng.random() < 0.7 and budget.spend()
        assert retries <= 0.1 * requests


def test_requests_are_sent_while_an_answer_is_expected_in_time() -> None:
    link = LinkEstimate()
    assert link.can_answer(1000, 100)
    for _ in range(50):
        link.saw_answer(40.0, 5.0, 1000)
    assert link.expected_ms(1000) == pytest.approx(40, abs=2)
    assert link.can_answer(1000, 100)
    for _ in range(50):
        link.saw_answer(200.0, 5.0, 1000)
    assert not link.can_answer(1000, 100)
    assert link.expected_ms(1000) > 150
    for _ in range(100):
        link.saw_answer(90.0, 5.0, 1000)
    assert not link.can_answer(1000, 100)
    for _ in range(100):
        link.saw_answer(40.0, 5.0, 1000)
    assert link.can_answer(1000, 100)
    assert link.switches == 2


def test_a_link_on_the_edge_of_the_deadline_is_not_switched_all_the_time() -> None:
    rng, link = np.random.default_rng(0), LinkEstimate()
    for _ in range(2000):
        link.can_answer(1000, 100)
        link.saw_answer(float(rng.normal(90, 5)), 5.0, 1000)
    assert link.switches <= 10


def test_service_times_are_not_the_links(tmp_path: Path) -> None:
    link = LinkEstimate()
    for _ in range(20):
        link.saw_round_trip(20.0)
        link.saw_answer(130.0, 100.0, 10_240)
    assert link.rtt_ms == pytest.approx(20)
    assert link.service_ms == pytest.approx(100)
    assert link.ms_per_kb == pytest.approx(1)


def test_the_audit_holds_the_share_in_its_interval() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        audit, share = Audit(), float(rng.uniform(0.01, 0.3))
        for _ in range(400):
            audit.add(bool(rng.random() < share))
        low, high = audit.interval
        inside += low <= share <= high
    assert inside >= 0.93 * 300


def test_drift_is_told_and_its_absence_is_not() -> None:
    rng = np.random.default_rng(0)

    def alarms(share: float) -> int:
        count = 0
        for _ in range(100):
            audit = Audit(expected=(6, 300))
            for _ in range(400):
                audit.add(bool(rng.random() < share))
            count += audit.alarm
        return count

    assert alarms(0.02) <= 3
    assert alarms(0.12) >= 95
    assert not Audit(expected=(0, 0)).alarm
    assert interval_of(0, 0) == (0.0, 1.0)


def test_sure_answers_are_audited_without_waiting(tmp_path: Path) -> None:
    plan = write_edge(tmp_path, threshold=0.0)
    with cloud_double(plan["plan"], second) as server:
        client = client_of(tmp_path, server, audit=0.5, seed=0)
        differs = []
        for number in range(100):
            assert client.infer(image(number)).origin == "edge"
            for _ in range(200):
                if not client._connection or not client._connection.is_busy:
                    break
                time.sleep(0.002)
        for content in server.asked:
            sample = np.frombuffer(content, np.uint8).reshape(RAW)
            differs.append(int(expected(0, sample).argmax()) != int(expected(1, sample).argmax()))
        assert 35 <= len(differs) <= 65
        assert client.audit.count == len(differs)
        assert client.audit.disagreement == pytest.approx(np.mean(differs))
        client.close()
