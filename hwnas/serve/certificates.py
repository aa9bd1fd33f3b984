"""Certificates of an own authority, and the TLS that a server offers by them."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, reason
from hwnas.io.atomic import write_file
from hwnas.registry import optional

CA_YEARS, DAYS = 10, 397
"""Life of the authority, and of certificates that it signs."""
CLOCK_SLACK = datetime.timedelta(hours=1)
"""A certificate is valid from a little before it was made: clocks of edges are behind."""


@dataclass(frozen=True)
class CertificateFolder:
    """Files of an authority: `ca.pem` goes to clients, `client.pem` and `client.key` to those that must show one.

    Args:
        folder: that holds them.
    """

    folder: Path

    @property
    def ca(self) -> Path:
        """Certificate of the authority, which clients trust."""
        return self.folder / "ca.pem"

    def certificate(self, name: str) -> Path:
        """Path of a certificate."""
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        """Path of its private key."""
        return self.folder / f"{name}.key"

    @property
    def is_whole(self) -> bool:
        """True if a server can use it."""
        return all(path.exists() for path in (self.ca, self.certificate("server"), self.key("server")))


def make_certificates(folder: Path, hosts: list[str], *, days: float = DAYS) -> CertificateFolder:
    """Make an authority, a certificate of the server for the hosts and one of clients; a whole folder stays as it is.

    An authority that is there signs again where `server.pem` was removed, so that clients need no new `ca.pem`.

    Args:
        folder: that is made.
        hosts: names and addresses that clients may ask for, beside those of this machine.
        days: life of the two certificates.

    Returns:
        The folder. Private keys can be read by their owner alone.

    Raises:
        MissingExtra: the package `cryptography` is not installed.
        RunError: a file cannot be written.
    """
    files = CertificateFolder(folder)
    if files.is_whole:
        return files
    x509 = optional("cryptography.x509", extra="serve", why="--make-certificates")
    names = dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts])
    authority = _Signed.read(files) if files.ca.exists() else _Signed.authority()
    _write(files, "ca", authority)
    alternative = x509.SubjectAlternativeName([_general_name(x509, name) for name in names])
    _write(files, "server", authority.sign("hwnas server", days, server=True, extension=alternative))
    _write(files, "client", authority.sign("hwnas client", days, server=False))
    return files


def _general_name(x509: Any, name: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name.encode("idna").decode())
    except UnicodeError as error:
        raise ConfigError(
            f"`{name}` is no name of a host ({reason(error)})",
            where="--make-certificates",
            allowed="A certificate vouches for names and addresses that clients ask for",
            do="Correct --host",
        ) from error


@dataclass(frozen=True)
class _Signed:
    """A certificate with its key."""

    certificate: Any
    key: Any

    @staticmethod
    def authority() -> _Signed:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder("hwnas authority", "hwnas authority", key, 365 * CA_YEARS)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        return _Signed(_sign(builder, key, key), key)

    @staticmethod
    def read(files: CertificateFolder) -> _Signed:
        """Return the authority of a folder.

        Raises:
            ConfigError: it cannot be read.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(files.key("ca").read_bytes(), None)
            return _Signed(x509.load_pem_x509_certificate(files.ca.read_bytes()), key)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"the authority cannot be read ({reason(error)})",
                where=str(files.folder),
                allowed="A new certificate is signed with ca.key, unencrypted, beside ca.pem",
                do="Name a new folder, and give its ca.pem to all clients",
            ) from error

    def sign(self, name: str, days: float, *, server: bool, extension: Any = None) -> _Signed:
        """Return a certificate of a server or of a client."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = _builder(name, "hwnas authority", key, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if extension is not None:
            builder = builder.add_extension(extension, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return _Signed(_sign(builder.add_extension(issuer, critical=False), key, self.key), key)


def _builder(subject: str, issuer: str, key: Any, days: float) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
    end = now + datetime.timedelta(days=days)
    return builder.not_valid_before(min(now, end) - CLOCK_SLACK).not_valid_after(end)


def _sign(builder: Any, key: Any, issuer_key: Any) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False).sign(issuer_key, hashes.SHA256())


def _write(files: CertificateFolder, name: str, signed: _Signed) -> None:
    from cryptography.hazmat.primitives import serialization

    private = signed.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_file(files.key(name), private, what="private key", mode=0o600)
    pem = signed.certificate.public_bytes(serialization.Encoding.PEM)
    write_file(files.certificate(name), pem, what="certificate")


def server_context(folder: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return TLS 1.3 with a folder's certificate.

    Args:
        folder: with `server.pem` and `server.key`.
        client_ca: authority whose certificates clients must show; None if they need none.

    Raises:
        ConfigError: a file is missing or damaged, or the certificate is expired.
    """
    files = CertificateFolder(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(files.certificate("server"), files.key("server"))
        _check_dates(files.certificate("server"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the certificate cannot be used ({reason(error)})",
            where=str(folder),
            allowed="It holds server.pem with its key server.key, unencrypted and not expired",
            do="Make them: hwnas serve BUNDLE --certificates DIR --make-certificates, with a new folder",
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the authority of clients cannot be read ({reason(error)})",
                where=str(client_ca),
                allowed="It is a file of certificates in PEM",
                do="Name ca.pem of --make-certificates, or that of your own authority",
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    return context


def _check_dates(path: Path) -> None:
    x509 = optional("cryptography.x509", extra="serve", why="TLS")
    end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    if end < datetime.datetime.now(datetime.UTC):
        raise ValueError(f"it expired on {end:%Y-%m-%d}")
