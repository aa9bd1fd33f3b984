"""A small HTTPS server for links: it reads a request's body and answers with as many bytes as the request asks for."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

PORT = 8443
ANSWER_HEADER = "X-Answer-Bytes"


def make_certificate(folder: Path) -> Path:
    """Write a certificate that signs itself, with its key, to a file and return it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=echo"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    return certificate


def serve(address: str, certificate: Path) -> None:
    """Answer requests until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server((address, PORT)) as server:
        print("ready", flush=True)
        while True:
            connection = server.accept()[0]
            threading.Thread(target=_answer, args=(connection, context), daemon=True).start()


def _answer(plain: socket.socket, context: ssl.SSLContext) -> None:
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = context.wrap_socket(plain, server_side=True)
    stream = connection.makefile("rb")
    while stream.readline():
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name] = int(value) if value.strip().isdigit() else 0
        stream.read(headers["Content-Length"])
        size = headers[ANSWER_HEADER]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
