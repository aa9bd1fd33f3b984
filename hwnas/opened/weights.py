"""Weights of the user's network, from a file that PyTorch or safetensors wrote."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.errors import ConfigError, reason
from hwnas.io.regular import open_regular, read_regular
from hwnas.words import counted

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights", "ema")
"""Keys under which training scripts keep the state beside other things."""
WRAPPER_PREFIXES = ("module.", "model.", "_orig_mod.")
"""Beginnings of names that wrappers of a module leave behind."""
STATE_FORM = "A state dictionary, names to tensors, that `torch.save(model.state_dict(), FILE)` or safetensors wrote"
MOST_NAMES = 5


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a file into a module; nothing is unpickled beyond tensors and plain values.

    Raises:
        ConfigError: it is missing, no state dictionary, or one of another network.
    """
    state = read_state(path)
    own = module.state_dict()
    for prefix in WRAPPER_PREFIXES:
        if state and all(name.startswith(prefix) for name in state) and not own.keys() & state.keys():
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # files of early versions have none
    missing = [name for name in own if name not in state and name not in counters]
    extra = [name for name in state if name not in own]
    if missing or extra:
        lines = [
            f"{counted(len(names), f'{what} key')} ({_some(names)})"
            for names, what in ((missing, "missing"), (extra, "unknown"))
            if names
        ]
        raise _refused(
            path,
            f"the weights are of another network: {', '.join(lines)}",
            f"The keys of the network that the function returns, such as {_some(list(own))}",
            "Name the file of this network, or correct the function",
        )
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise _refused(
                path,
                f"`{name}` is {_shape(value)} in the file",
                f"The network that the function returns has {_shape(own[name])} there; with another number of classes "
                "only the last layer differs",
                "Correct the function, such as its number of classes, or name the file of this network",
            )
    module.load_state_dict({**own, **state})


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dictionary in a file, out of what a training script wrote around it.

    Raises:
        ConfigError: it is missing, or holds none.
    """
    try:
        content = _read(path)
    except FileNotFoundError as error:
        raise _refused(path, "there is no such file", STATE_FORM, "Correct the path") from error
    except OSError as error:
        raise _refused(path, f"it cannot be read ({reason(error)})", STATE_FORM, "Correct the path") from error
    except pickle.UnpicklingError as error:
        raise _refused(
            path,
            "it holds other things than tensors and plain values, such as a pickled module",
            f"{STATE_FORM}. Whole modules run code when they are read, so they are not",
            "Write `torch.save(model.state_dict(), FILE)` where the model was made",
        ) from error
    except Exception as error:  # torch.load and safetensors raise many kinds
        raise _refused(path, "it is damaged, or no file of weights", STATE_FORM, "Name another file") from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and not _is_state(content) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not _is_state(content):
        what = (
            f"a dictionary with {_some(list(map(str, content)))}"
            if isinstance(content, Mapping)
            else type(content).__name__
        )
        raise _refused(
            path,
            f"it holds {what}",
            f"{STATE_FORM}, or one under {', '.join(WRAPPERS)}",
            "Save the state dictionary alone",
        )
    return dict(content)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load

        return load(read_regular(path))
    with open_regular(path) as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _is_state(content: Any) -> bool:
    return isinstance(content, Mapping) and bool(content) and all(isinstance(v, Tensor) for v in content.values())


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"


def _refused(path: Path, problem: str, allowed: str, do: str) -> ConfigError:
    return ConfigError(problem, where=str(path), allowed=allowed, do=do)
