"""Space file of an opened network: which function makes it, its weights, and the choices that are left open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.errors import SpaceError, did_you_mean, reason
from hwnas.io.regular import resolve_path
from hwnas.opened.build import Choices, OpenedBuild
from hwnas.opened.channel_scores import IMPORTANCES, read_scores
from hwnas.opened.source import FUNCTION_FORM, NetworkSource, weights_digest
from hwnas.space import FunctionSpace
from hwnas.space.values import known_keys, name_of, options_of, space_error
from hwnas.tasks import DEFAULT_TASK, Task, task_of
from hwnas.user_code import check_reference, named, read_source

NETWORK_KEYS = ("name", "source", "network", "weights", "input", "importance", "task", "choices")


def parse_opened(raw: Mapping[str, Any], *, where: str, base: Path, task: Task | None = None) -> FunctionSpace:
    """Return the space of a network that a mapping names; the network's file is run, the network not yet built.

    Args:
        raw: `network: FILE.py:FUNCTION`, and `weights`, `input`, `importance`, `name`, `task`, `choices` as they are
            needed.
        where: source of the mapping, for errors.
        base: folder that paths in it begin at, beside the current one.
        task: takes the place of the space's own.

    Raises:
        ConfigError, SpaceError: a key or a file is not as it should be.
    """
    known_keys(raw, NETWORK_KEYS, where)
    source = source_of(raw["network"], raw.get("weights"), raw.get("input"), where=where, base=base)
    if "importance" in raw:
        source = _judged(source, raw["importance"], where, base)
    if task is None:
        task = task_of(raw["task"], base=base, where=f"{where}: task") if "task" in raw else DEFAULT_TASK
    return FunctionSpace(
        name_of(raw.get("name", source.function), where),
        OpenedBuild(source, _choices(raw["choices"], where) if "choices" in raw else None),
        source=str(raw.get("source", source.where)),
        task=task,
    )


def source_of(network: Any, weights: Any, shape: Any, *, where: str, base: Path) -> NetworkSource:
    """Return the source of a network that `FILE.py:FUNCTION`, a file of weights and a shape name.

    Raises:
        ConfigError, SpaceError: there is no such function or file, or the shape is none.
    """
    key = f"{where}: network"
    if not isinstance(network, str) or not network.rpartition(":")[0].endswith(".py"):
        without_code = str(network).endswith((".onnx", ".tflite", ".pt2", ".pt", ".pth", ".safetensors"))
        do = (
            "Name the function that makes the module: of a file without code nothing can be cut" if without_code else ""
        )
        raise space_error(
            f"`network` is {network!r}", where, f"`network: FILE.py:FUNCTION`. {FUNCTION_FORM}", do or "Correct it"
        )
    _name, function, file = check_reference(network, base=base, where=key)
    assert file is not None
    named(f"{file.absolute()}:{function}", base=base, where=key)
    if shape is not None and not (
        isinstance(shape, list | tuple) and shape and all(isinstance(n, int) and 0 < n < 10**6 for n in shape)
    ):
        raise space_error(
            f"`input` is {shape!r}", where, "Whole numbers without the batch axis: `input: [3, 32, 32]`", "Correct it"
        )
    path = None if weights is None else resolve_path(str(weights), base).absolute()
    try:
        digest = weights_digest(path)
    except OSError as error:
        raise SpaceError(
            f"the weights cannot be read ({reason(error)})",
            where=f"{where}: weights {weights}",
            allowed=f"A state dictionary in a file that PyTorch or safetensors wrote. Looked for {path}",
            do="Correct the path",
        ) from error
    return NetworkSource(read_source(file), function, path, digest, None if shape is None else tuple(shape))


def _judged(source: NetworkSource, importance: Any, where: str, base: Path) -> NetworkSource:
    """Return the source with the importance of channels that a space names: a way, or a file of scores."""
    if importance in IMPORTANCES:
        return replace(source, importance=importance)
    if not isinstance(importance, str) or not importance.endswith(".npz"):
        raise space_error(
            f"`importance` is {importance!r}", where, did_you_mean(str(importance), IMPORTANCES), "Name one of them"
        )
    scores = read_scores(resolve_path(importance, base))
    return replace(source, importance=scores.kind, scores=scores)


def _choices(raw: Any, where: str) -> Choices:
    if not isinstance(raw, Mapping):
        raise space_error("`choices` is no mapping", where, "Write `choices: {name: [option, option]}`", "Correct it")
    return tuple((str(name), options_of(options, f"{where}: choices", str(name))) for name, options in raw.items())


def content_of(
    space: FunctionSpace, network: str, weights: str | None, importance: str | None = None
) -> dict[str, Any]:
    """Return the content of a space's file, with paths as they are to be written there."""
    build = space.build
    assert isinstance(build, OpenedBuild)
    decisions, optional = build.kept
    choices: dict[str, list[Any]] = {decision.name: list(decision.options) for decision in decisions}
    choices |= {f"{slot}.depth": [0, 1] for slot in optional}
    content: dict[str, Any] = {"name": space.name, "source": space.source, "network": network}
    if weights is not None:
        content["weights"] = weights
    if importance is not None:
        content["importance"] = importance
    return {**content, "input": list(build.network.shape), "choices": choices}
