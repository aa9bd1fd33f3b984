"""Weights as files with a checksum: those of single trained networks, kept for export, and of supernets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from hwnas.errors import RunError, reason
from hwnas.io.atomic import write_atomic
from hwnas.io.regular import read_regular
from hwnas.network import Network, build
from hwnas.supernet.batchnorm import bad_statistics
from hwnas.supernet.torch_file import DamagedFile

DIGEST_KEY = "sha256"


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's state, statistics included; the file is whole at every moment.

    Raises:
        RunError: it cannot be written, or its statistics are impossible.
    """
    write_weights(module.state_dict(), path)


def write_weights(state: Mapping[str, Tensor], path: Path, about: Mapping[str, str] | None = None) -> None:
    """Write a state, with texts about it in the file's head; the file is whole at every moment.

    Raises:
        RunError: it cannot be written, or its statistics are impossible.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    if (bad := bad_statistics(state)) is not None:
        raise RunError(
            f"the weights hold {bad}",
            where=str(path),
            allowed="Weights that are kept are those of a network that computes finite numbers",
            do="Lower the learning rate that they were trained with",
        )
    try:
        write_atomic(path, save(state, {DIGEST_KEY: _digest(state), **(about or {})}))
    except OSError as error:
        raise RunError(
            f"the weights cannot be kept ({reason(error)})",
            where=str(path),
            allowed="The folder must be writable and the disk not full",
            do="Correct that and run the same command again",
        ) from error


def load_module(path: Path, network: Network) -> nn.Module:
    """Return the network with the weights of a file that `save_weights` wrote, in eval mode.

    Raises:
        RunError: the file is damaged or of another network.
    """
    state = read_weights(path)
    with torch.random.fork_rng(devices=[]):
        module = build(network)
    own = {name: value.shape for name, value in module.state_dict().items()}
    if own != {name: value.shape for name, value in state.items()}:
        raise _unusable(path, "they are of another network")
    module.load_state_dict(state)
    return module.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state in a file that `save_weights` wrote; files of earlier versions have no checksum.

    Raises:
        RunError: it is damaged.
    """
    try:
        content = read_regular(path)
        state = load(content)
        known = metadata(content).get(DIGEST_KEY)
        if known is not None and known != _digest(state):
            raise DamagedFile("their SHA-256 is not that of the file's content")
        if (bad := bad_statistics(state)) is not None:
            raise DamagedFile(f"they hold {bad}")
    except (OSError, DamagedFile) as error:
        raise _unusable(path, reason(error)) from error
    except (SafetensorError, ValueError, KeyError) as error:  # of a head that is none
        raise _unusable(path, "it is cut short, or no file of weights") from error
    return state


def metadata(content: bytes) -> Mapping[str, str]:
    """Return the metadata of a file that safetensors could read: it begins with the length of its header."""
    head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(head.get("__metadata__") or {})


def _digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, kinds and values."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _unusable(path: Path, why: str) -> RunError:
    return RunError(
        f"the kept weights cannot be used ({why})",
        where=str(path),
        allowed="The file is one that hwnas wrote for this network",
        do="Delete it: the weights inherited from the supernet are used then",
    )
