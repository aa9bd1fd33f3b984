"""The server behind a socket: TLS, tokens, slow clients, other clients of the protocol, and its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.commands.serve import Access, serve
from hwnas.errors import ConfigError, RunError
from hwnas.serve.bundle import ServedModel
from hwnas.serve.certificates import CertificateFolder, make_certificates, server_context
from hwnas.serve.server import TOO_SLOW, Address, JoiningTransport, listen
from hwnas.serve.tokens import Tokens, add_token, make_token, read_tokens
from tests.helpers.deployments import write_deployment
from tests.helpers.repository import REPOSITORY
from tests.helpers.serving import INFER, app_of, binary_request, deployed, served

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 4, 4)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return deployed(tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    return make_certificates(tmp_path_factory.mktemp("certificates"), ["edge.example"])


def trusting(ca: Path, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """A client's TLS, which shows a certificate if it has one."""
    context = ssl.create_default_context(cafile=str(ca))
    if shown:
        context.load_cert_chain(*shown)
    return context


class Sent:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append(b"closed")


def test_an_answer_leaves_in_one_piece_and_none_is_kept_back() -> None:
    sent = Sent()
    joined = JoiningTransport(sent)  # type: ignore[arg-type]
    joined.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    for body in (b"body", b""):
        joined.write(b"HTTP/1.1 200 OK\r\n\r\n")
        joined.write(body)
    joined.write(b"more")
    joined.write(TOO_SLOW)
    joined.close()
    answers = [b"HTTP/1.1 200 OK\r\n\r\nbody", b"HTTP/1.1 200 OK\r\n\r\n", b"more"]
    assert sent.told == [b"HTTP/1.1 100 Continue\r\n\r\n", *answers, TOO_SLOW, b"closed"]


def status(address: Address, context: ssl.SSLContext, token: str = "", path: str = "/v2") -> int:
    connection = HTTPSConnection("127.0.0.1", address.listener.getsockname()[1], context=context, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        return connection.getresponse().status
    finally:
        connection.close()


# --- TLS and tokens ---


def test_a_wrong_authority_a_wrong_token_and_old_tls_are_refused(
    model: ServedModel, certificates: CertificateFolder, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path / "other", [])
    token, digest = make_token()
    context = server_context(certificates.folder)
    with served(app_of(model, tokens=Tokens([digest])), context) as address:
        trusted = trusting(certificates.ca)
        assert status(address, trusted, token) == 200
        assert status(address, trusted, make_token()[0]) == 401
        assert status(address, trusted) == 401
        with pytest.raises(ssl.SSLCertVerificationError):
            status(address, trusting(other.ca), token)
        old = trusting(certificates.ca)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            status(address, old, token)
        assert status(address, trusted, token) == 200, "the server goes on"


def test_clients_must_show_a_certificate_of_their_authority(
    model: ServedModel, certificates: CertificateFolder, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path / "other", [])
    expired = make_certificates(tmp_path / "expired", [], days=-1)
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.ca.read_bytes() + expired.ca.read_bytes())
    with served(app_of(model), server_context(certificates.folder, both)) as address:
        ours = (certificates.certificate("client"), certificates.key("client"))
        assert status(address, trusting(certificates.ca, ours)) == 200
        for folder in (other, expired):
            shown = (folder.certificate("client"), folder.key("client"))
            with pytest.raises((ssl.SSLError, ConnectionError)):
                status(address, trusting(certificates.ca, shown))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            status(address, trusting(certificates.ca))


def test_an_expired_certificate_of_the_server_is_refused_by_both_ends(tmp_path: Path) -> None:
    files = make_certificates(tmp_path, [], days=-1)
    with pytest.raises(ConfigError, match="expired"):
        server_context(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate("server"), files.key("server"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting(files.ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    server = context.wrap_bio(outgoing, incoming, server_side=True)
    for end in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        client.do_handshake()


def test_keys_are_their_owners_and_an_authority_signs_again(tmp_path: Path) -> None:
    files = make_certificates(tmp_path, [])
    for name in ("ca", "server", "client"):
        assert files.key(name).stat().st_mode & 0o077 == 0
    before = files.ca.read_bytes(), files.certificate("server").read_bytes()
    make_certificates(tmp_path, [])
    assert (files.ca.read_bytes(), files.certificate("server").read_bytes()) == before, "a whole folder stays"
    files.certificate("server").unlink()
    make_certificates(tmp_path, [])
    assert files.ca.read_bytes() == before[0]
    assert files.certificate("server").read_bytes() != before[1]


def test_a_host_that_no_certificate_can_name_is_refused(tmp_path: Path) -> None:
    make_certificates(tmp_path / "names", ["b\u00fccher.example"])
    with pytest.raises(ConfigError, match="no name of a host"):
        make_certificates(tmp_path / "others", ["a..b"])


def test_a_file_of_tokens_holds_hashes_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    tokens = [add_token(path), add_token(path)]
    assert all(token not in path.read_text() for token in tokens)
    assert path.stat().st_mode & 0o077 == 0
    admitted = Tokens(read_tokens(path))
    assert all(admitted.admits(f"Bearer {token}") for token in tokens)
    path.write_text(f"{tokens[0]}\n")
    with pytest.raises(ConfigError) as error:
        read_tokens(path)
    assert tokens[0] not in str(error.value)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"host": "0.0.0.0"}, "--host"),
        ({"host": "0.0.0.0", "access": Access(make_token=True)}, "--host"),
        ({"host": "::", "access": Access(make_certificates=True)}, "--host"),
        ({"access": Access(client_ca=Path("ca.pem"))}, "--client-ca"),
        ({"port": 70000}, "--port"),
    ],
)
def test_options_that_leave_a_server_open_are_refused(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        serve(tmp_path, **{"port": 0, **options})


def test_a_port_that_is_taken_is_told() -> None:
    taken = listen("127.0.0.1", 0, tls=False)
    with pytest.raises(RunError):
        listen("127.0.0.1", taken.listener.getsockname()[1], tls=False)
    taken.listener.close()


# --- clients ---


def test_heads_are_answered_without_a_body(model: ServedModel) -> None:
    with served(app_of(model)) as address:
        asking = HTTPConnection("127.0.0.1", address.listener.getsockname()[1], timeout=5)
        for _ in range(2):
            asking.request("HEAD", "/v2/health/live")
            answer = asking.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
        asking.close()


@pytest.mark.parametrize("begun", [b"POST /v2/models/cloud/infer HTTP/1.1\r\nHost: a\r\n", b"P", None])
def test_a_slow_client_is_cut_off_and_others_are_answered(model: ServedModel, begun: bytes | None) -> None:
    body, headers = binary_request(model, IMAGE.tobytes())
    if begun is None:
        lines = [*headers, ("content-length", str(len(body)))]
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        begun = f"POST {INFER} HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode() + body[:-1]
    with served(app_of(model), read_s=0.3) as address:
        port = address.listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(begun)
            start = time.monotonic()
            quick = HTTPConnection("127.0.0.1", port, timeout=10)
            quick.request("POST", INFER, body, dict(headers))
            assert quick.getresponse().status == 200
            quick.close()
            answered = b""
            while part := slow.recv(4096):
                answered += part
            assert 0.2 < time.monotonic() - start < 5
            assert answered.startswith(b"HTTP/1.1 408")


def test_noise_instead_of_http_or_tls_is_refused(model: ServedModel, certificates: CertificateFolder) -> None:
    for context in (None, server_context(certificates.folder)):
        with served(app_of(model), context) as address:
            where = ("127.0.0.1", address.listener.getsockname()[1])
            for noise in (os.urandom(300), b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01" + os.urandom(200)):
                with socket.create_connection(where, timeout=10) as connection:
                    connection.sendall(noise)
                    connection.shutdown(socket.SHUT_WR)
                    received = _all(connection)
                assert b"200 OK" not in received
            if context is None:
                quick = HTTPConnection(*where, timeout=10)
                quick.request("GET", "/v2/health/live")
                assert quick.getresponse().status == 200
                quick.close()
            else:
                assert status(address, trusting(certificates.ca)) == 200


def _all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(4096):
            received += part
    except ConnectionError:
        pass
    return received


def test_tritons_client_gets_the_same_numbers(model: ServedModel) -> None:
    client_module = pytest.importorskip("tritonclient.http")
    with served(app_of(model)) as address:
        client = client_module.InferenceServerClient(address.url.removeprefix("http://"))
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("cloud")
        form = client.get_model_metadata("cloud")["inputs"][0]
        answers = []
        for binary in (True, False):
            tensor = client_module.InferInput(form["name"], form["shape"], form["datatype"])
            tensor.set_data_from_numpy(IMAGE[None], binary_data=binary)
            wanted = [client_module.InferRequestedOutput("outputs", binary_data=binary)]
            answers.append(client.infer("cloud", [tensor], outputs=wanted, request_id="1").as_numpy("outputs"))
        client.close()
        body, headers = binary_request(model, IMAGE.tobytes())
        own = HTTPConnection("127.0.0.1", address.listener.getsockname()[1])
        own.request("POST", INFER, body, dict(headers))
        answer = own.getresponse()
        content = answer.read()[int(answer.headers["Inference-Header-Content-Length"]) :]
        own.close()
    assert all(one.astype(np.float32).tobytes() == content for one in answers)


# --- the command ---


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    code = "import sys; from hwnas.cli import main; sys.argv[0] = 'hwnas'; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", *arguments],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_command_serves_drains_and_keeps_its_secrets(tmp_path: Path) -> None:
    folder = write_deployment(tmp_path / "deployment")
    options = ["--port", "0", "--make-certificates", "--certificates", str(tmp_path / "tls")]
    options += ["--make-token", "--token-file", str(tmp_path / "tokens"), "-v"]
    with command(str(folder), *options) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "serving" in line and "https://" in line:
                break
        token = re.search(r"token, shown.*: (\S+)", "".join(lines))
        port = re.search(r"https://127\.0\.0\.1:(\d+)", "".join(lines))
        assert token is not None
        assert port is not None
        connection = HTTPSConnection("127.0.0.1", int(port[1]), context=trusting(tmp_path / "tls" / "ca.pem"))
        headers = {"Authorization": f"Bearer {token[1]}", "Content-Length": "2"}
        wrong = HTTPSConnection("127.0.0.1", int(port[1]), context=trusting(tmp_path / "tls" / "ca.pem"))
        wrong.request("GET", "/v2", headers={"Authorization": "Bearer guessed-token-of-another"})
        assert wrong.getresponse().status == 401
        wrong.close()
        connection.putrequest("POST", INFER, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(b"{")
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(b"}")
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        assert answer.status == 400, "a request that had begun is answered"
        lines += process.stdout.readlines()
        assert process.wait(20) == 0
    after = "".join(lines).replace(token[0], "")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".key"]
    for secret in (token[1], "guessed-token-of-another", "PRIVATE KEY"):
        assert secret not in after
        assert secret not in body
        assert all(secret.encode() not in path.read_bytes() for path in written)
