"""State dictionaries in files that PyTorch or safetensors wrote, elsewhere: names to tensors, and nothing else."""

from __future__ import annotations

import pickle
import warnings
from argparse import Namespace
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwnas.errors import ConfigError, reason
from hwnas.io.regular import open_regular, read_regular
from hwnas.words import counted

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights", "ema")
"""Keys under which training scripts keep the state beside other things."""
WRAPPER_PREFIXES = ("module.", "model.", "_orig_mod.")
"""Beginnings of names that wrappers of a module leave behind."""
STATE_FORM = "A state dictionary, names to tensors, that `torch.save(model.state_dict(), FILE)` or safetensors wrote"
MOST_NAMES = 5


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dictionary in a file, out of what a training script wrote around it.

    Nothing is unpickled beyond tensors and plain values.

    Raises:
        ConfigError: it is missing, or holds none.
    """
    try:
        content = _read(path)
    except FileNotFoundError as error:
        raise refused(path, "there is no such file", STATE_FORM, "Correct the path") from error
    except OSError as error:
        raise refused(path, f"it cannot be read ({reason(error)})", STATE_FORM, "Correct the path") from error
    except pickle.UnpicklingError as error:
        raise refused(
            path,
            "it holds other things than tensors and plain values, such as a pickled module",
            f"{STATE_FORM}. Whole modules run code when they are read, so they are not",
            "Write `torch.save(model.state_dict(), FILE)` where the model was made; of a file that you trust, "
            '`torch.save(torch.load(FILE, weights_only=False)["state_dict"], NEW_FILE)` makes one',
        ) from error
    except Exception as error:  # torch.load and safetensors raise many kinds
        raise refused(path, "it is damaged, or no file of weights", STATE_FORM, "Name another file") from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and not _is_state(content) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not _is_state(content):
        what = (
            f"a dictionary with {some(list(map(str, content)))}"
            if isinstance(content, Mapping)
            else type(content).__name__
        )
        raise refused(
            path,
            f"it holds {what}",
            f"{STATE_FORM}, or one under {', '.join(WRAPPERS)}",
            "Save the state dictionary alone",
        )
    return dict(content)


def unwrapped(state: dict[str, Tensor], known: Set[str]) -> dict[str, Tensor]:
    """Return a state without the beginnings that wrappers gave to all of its names, until some name is a known one."""
    for prefix in WRAPPER_PREFIXES:
        if state and all(name.startswith(prefix) for name in state) and not state.keys() & known:
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def unlike_keys(missing: Sequence[str], extra: Sequence[str]) -> str:
    """Return the keys that a state lacks, and those that it has beyond its network's, in words."""
    return ", ".join(
        f"{counted(len(names), f'{what} key')} ({some(names)})"
        for names, what in ((missing, "missing"), (extra, "unknown"))
        if names
    )


def some(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    return ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def shape_text(shape: Sequence[int]) -> str:
    """Return a tensor's shape in words."""
    return "x".join(map(str, shape)) or "a number"


def refused(path: Path, problem: str, allowed: str, do: str) -> ConfigError:
    """Return the error of a file."""
    return ConfigError(problem, where=str(path), allowed=allowed, do=do)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load

        return load(read_regular(path))
    with (
        open_regular(path) as file,
        torch.serialization.safe_globals([Namespace]),  # options beside the state
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of pickles that other programs wrote, which are refused or read all the same
        return torch.load(file, map_location="cpu", weights_only=True)


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )
