"""Weights of single networks that were trained, kept for whoever exports them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hwnas.errors import RunError, reason
from hwnas.network import Network, build


def keep_weights(module: nn.Module, path: Path) -> None:
    """Write a module's state, statistics included; the file is whole at every moment.

    Raises:
        RunError: it cannot be written.
    """
    part = path.with_suffix(f".{os.getpid()}.part")
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, part)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"the weights cannot be kept ({reason(error)})",
            where=str(path),
            allowed="The folder must be writable and the disk not full",
            do="Correct that and run the same command again",
        ) from error


def kept_module(path: Path, network: Network) -> nn.Module:
    """The network with the weights of a file that `keep_weights` wrote, in eval mode.

    Raises:
        RunError: the file is damaged or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        module = build(network)
    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(
            f"the kept weights cannot be used ({reason(error)})",
            where=str(path),
            allowed="The file is one that hwnas wrote for this network",
            do="Delete it: the weights inherited from the supernet are used then",
        ) from error
    return module.eval()
