"""Weights of a trained supernet as one file, which goes with an experiment in place of its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError
from hwnas.io.checkpoint_files import checkpoints
from hwnas.io.regular import read_regular
from hwnas.supernet.published import PublishedSupernet
from hwnas.supernet.published.load import load_published
from hwnas.supernet.training import checkpoint
from hwnas.supernet.training.recipe import Recipe, make_optimizer
from hwnas.supernet.training.resume import Identity, check_supernet, differences
from hwnas.supernet.weights import Supernet
from hwnas.supernet.weights_file import metadata, read_weights, write_weights

HEAD_KEYS = ("identity", "history")
"""Entries of the file's head, in JSON: the training that the weights are of, and the records of its epochs."""


def save_trained(folder: Path, path: Path) -> None:
    """Write the weights of the last checkpoint of a folder, the moving average if there is one.

    Raises:
        RunError: there is no checkpoint, it is damaged, or the file cannot be written.
    """
    content = checkpoint.load(checkpoints(folder)[-1])
    state = content.get("average", content["weights"])
    write_weights(state, path, {key: json.dumps(content[key], sort_keys=True) for key in HEAD_KEYS})


def adopt_published(supernet: Supernet, form: PublishedSupernet, identity: Identity, path: Path, folder: Path) -> None:
    """Write another project's weights into a folder as the checkpoint before the first epoch.

    Raises:
        ConfigError: they are no state dictionary of this project's supernet of the space.
    """
    load_published(supernet, form, path)
    content = {"identity": identity, "weights": supernet.state_dict(), "optimizer": {}, "history": []}
    checkpoint.save(folder, 0, content)


def adopt(supernet: Supernet, recipe: Recipe, identity: Identity, path: Path, folder: Path) -> None:
    """Write a file's weights into a folder as the last checkpoint of their training.

    Raises:
        ConfigError: they are of another training than `identity` says.
        RunError: the file is damaged, or does not fit the supernet.
    """
    state, head = read_weights(path), metadata(read_regular(path))
    if lacking := [key for key in HEAD_KEYS if key not in head]:
        raise ConfigError(
            f"the weights do not say of which training they are (`{lacking[0]}` is missing)",
            where=str(path),
            allowed="Weights of a supernet are written by `hwnas train --save`, with the recipe that made them",
            do="Write them so, or leave `train.weights` out to train",
        )
    trained, history = (json.loads(head[key]) for key in HEAD_KEYS)
    if changed := differences(trained, json.loads(json.dumps(identity)), path):
        raise ConfigError(
            f"the weights are of another training ({'; '.join(changed)})",
            where=str(path),
            allowed="Weights are taken for the space, the data, the seed and the recipe that they were trained with",
            do="Restore these, or leave `train.weights` out to train",
        )
    content: dict[str, Any] = {
        "identity": identity,
        "weights": state,
        "optimizer": make_optimizer(supernet, recipe).state_dict(),
        "history": history,
        **({"average": state} if recipe.ema_decay else {}),
    }
    check_supernet(supernet, identity, content, path)
    checkpoint.save(folder, len(history), content)
