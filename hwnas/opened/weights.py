"""Weights of the user's network, from a file that PyTorch or safetensors wrote."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from hwnas.supernet.state_file import read_state, refused, shape_text, some, unlike_keys, unwrapped


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a file into a module; nothing is unpickled beyond tensors and plain values.

    Raises:
        ConfigError: it is missing, no state dictionary, one of another network, or not finite.
    """
    own = module.state_dict()
    state = unwrapped(read_state(path), own.keys())
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # files of early versions have none
    missing = [name for name in own if name not in state and name not in counters]
    extra = [name for name in state if name not in own]
    if missing or extra:
        raise refused(
            path,
            f"the weights are of another network: {unlike_keys(missing, extra)}",
            f"The keys of the network that the function returns, such as {some(list(own))}",
            "Name the file of this network, or correct the function",
        )
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise refused(
                path,
                f"`{name}` is {shape_text(value.shape)} in the file",
                f"The network that the function returns has {shape_text(own[name].shape)} there; with another number "
                "of classes only the last layer differs",
                "Correct the function, such as its number of classes, or name the file of this network",
            )
        if not value.isfinite().all():
            raise refused(
                path,
                f"`{name}` holds values that are not finite",
                "Weights of a training that did not diverge",
                "Name the file of an earlier epoch, or train again at a smaller rate",
            )
    module.load_state_dict({**own, **state})
