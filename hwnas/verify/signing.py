"""Signatures of bundles by a key: OpenSSF's model signing, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, RunError
from hwnas.registry import optional
from hwnas.verify.findings import Verification
from hwnas.verify.integrity import SIGNATURE_FILE


def sign_folder(folder: Path, key: Path) -> Path:
    """Sign all files of a bundle and return the path of the signature, `bundle.sig` in it.

    Args:
        folder: of the bundle.
        key: an elliptic-curve private key in PEM, such as `openssl ecparam -name prime256v1 -genkey -noout` prints.

    Raises:
        ConfigError: the key cannot be read.
        MissingExtra: the package of the extra `sign` is not installed.
        RunError: the signature cannot be written.
    """
    _check_key(key, "PRIVATE KEY")
    signing, path = optional("model_signing.signing", extra="sign", why="hwnas sign"), folder.resolve() / SIGNATURE_FILE
    path.unlink(missing_ok=True)
    config = signing.Config().set_hashing_config(_hashing(folder))
    try:
        config.use_elliptic_key_signer(private_key=key).sign(folder.resolve(), path)
    except OSError as error:
        raise RunError(
            f"the signature cannot be written ({error.strerror})",
            where=str(path),
            allowed="The folder must be writable and the disk not full",
            do="Correct that and run the same command again",
        ) from error
    except Exception as error:  # the package raises errors of several libraries
        raise _unusable_key(key, str(error)) from error
    return path


def check_signature(folder: Path, key: Path | None, result: Verification) -> None:
    """Compare a bundle with its signature.

    Args:
        folder: of the bundle.
        key: public key of who signed it, in PEM; None leaves the signature unchecked.
        result: gets the findings.

    Raises:
        ConfigError: the key cannot be read.
        MissingExtra: the package of the extra `sign` is not installed.
    """
    path = folder / SIGNATURE_FILE
    if key is None:
        if path.exists():
            result.find("signature_unchecked", "the bundle is signed, and no key was given", path)
        return
    _check_key(key, "PUBLIC KEY")
    if not path.is_file():
        result.find("signature_missing", "the bundle is not signed", folder)
        return
    if not _is_signature(path):
        result.find("signature_damaged", f"{SIGNATURE_FILE} is damaged", path)
        return
    verifying = optional("model_signing.verifying", extra="sign", why="hwnas verify --key")
    config = verifying.Config().set_hashing_config(_hashing(folder))
    try:
        config.use_elliptic_key_verifier(public_key=key).verify(folder.resolve(), path.resolve())
    except Exception as error:  # the package raises errors of several libraries
        text = str(error)
        if "Signature mismatch" in text:
            result.find("signature_of_other_files", _differences(text), path)
        else:
            result.find("signature_of_another_key", "the signature is not by this key", path)
        return
    result.checked.append(f"signature, by {key.name}")


def _hashing(folder: Path) -> Any:
    hashing = optional("model_signing.hashing", extra="sign", why="hwnas sign")
    signature = folder.resolve() / SIGNATURE_FILE
    return hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)


def _is_signature(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return isinstance(content, dict) and {"dsseEnvelope", "verificationMaterial"} <= content.keys()
    except (OSError, ValueError, RecursionError):
        return False


def _differences(text: str) -> str:
    """Return which files are meant, without their digests."""
    kinds = {
        "Extra files": "files were added",
        "Missing files": "files are missing",
        "Hash mismatch": "files were changed",
    }
    differences = [words for sign, words in kinds.items() if sign in text]
    return " and ".join(differences) or "the files are not those that were signed"


def _check_key(key: Path, what: str) -> None:
    try:
        text = key.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise _unusable_key(key, error.strerror or "it cannot be read") from error
    if what not in text:
        raise _unusable_key(key, f"it holds no `{what}`")


def _unusable_key(key: Path, why: str) -> ConfigError:
    first = (why.splitlines() or [""])[0]
    return ConfigError(
        f"the key cannot be used ({first})",
        where=str(key),
        allowed="Bundles are signed with an elliptic-curve private key in PEM, and checked with its public key",
        do="openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out key.pub",
    )
