"""Files that take raw numbers: the data before the steps that move into them, and the module with the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hwnas.errors import ConfigError
from hwnas.tasks.ends import Shape, specs_of
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.commands.settled import Settled
    from hwnas.data import Dataset
    from hwnas.data.dataset import Split

SPECTROGRAM = "log_mel"


def takes_raw(run: Workspace) -> bool:
    """Return whether files of a run take raw numbers."""
    return run.experiment.export.input == "raw"


def exported_data(run: Workspace) -> Dataset:
    """Return the data as files take it before their own steps: of spectrograms that move into files, the sounds."""
    from hwnas.data import load_data

    spec = run.experiment.data
    names = [step["step"] for step in run.dataset.raw.steps]
    if not takes_raw(run) or SPECTROGRAM not in names or not isinstance(spec, Mapping):
        return run.dataset
    sounds = {name: value for name, value in spec.items() if name != SPECTROGRAM}
    return load_data(sounds, seed=run.experiment.seed, base=run.paths.base, task=run.task)


def divided_preprocessing(run: Workspace, data: Dataset, shape: Shape) -> dict[str, Any]:
    """Return what a manifest says of the preprocessing; with raw inputs, the steps in the files under `in_file`."""
    entry = run.dataset.preprocessing_at(shape)
    if not takes_raw(run):
        return entry
    parts = entry.get("inputs", {"": entry})
    divided = {name: _divided(part, len(data.raw.steps)) for name, part in parts.items()}
    return {"inputs": divided} if "inputs" in entry else divided[""]


def _divided(entry: dict[str, Any], done: int) -> dict[str, Any]:
    from hwnas.data.facts import described
    from hwnas.export.ends.raw_input import divided_steps

    before, inside = divided_steps(entry["steps"], done)
    value = "pixel" if "pixels" in entry else "value"
    form = f"{described(before, value) or 'as they are'}; in the file: {described(inside, value) or 'nothing'}"
    return {**entry, "form": form, "steps": before, "in_file": inside}


def with_raw_input(run: Workspace, settled: Settled, data: Dataset) -> Settled:
    """Return a network with the steps of its inputs in its module, and the raw numbers that it takes.

    Raises:
        ConfigError: a spectrogram is resized behind its computation.
    """
    import torch
    from torch.utils._pytree import tree_map

    from hwnas.export.ends.raw_input import RawInput, front_of

    entry = divided_preprocessing(run, data, settled.network.input_shape)
    specs = specs_of(settled.network.input_shape)
    parts = entry.get("inputs", {specs[0].name: entry})
    inside = [parts[spec.name]["in_file"] for spec in specs]
    sounds = data is not run.dataset
    if sounds and any(step["step"] == "resize" for step in entry["steps"]):
        raise ConfigError(
            "raw inputs are asked for, and spectrograms are resized to the network's input",
            where="export.input",
            allowed="A spectrogram that files compute has the size that networks take",
            do="Set `export.input: normalised`, or give `data.log_mel` and `input` of the space one size",
        )
    shape = data.shape if sounds else settled.network.input_shape

    def taken(split: Split, count: int | None) -> Any:
        numbers = tree_map(_float, split.inputs.take(split.indices[:count]))
        return tree_map(torch.Tensor.numpy, numbers if sounds else settled.task.fitted(numbers, shape))

    fronts = [
        front_of(steps, spec.shape[0], len(spec.shape)) for steps, spec in zip(inside, specs_of(shape), strict=True)
    ]
    return replace(
        settled,
        module=RawInput(fronts, settled.module).eval(),
        calibration=taken(data.train, run.experiment.export.calibration_samples),
        fed=taken(data.test, None),
        input_shape=shape,
    )


def _float(tensor: Any) -> Any:
    import torch

    return tensor if tensor.dtype == torch.int64 else tensor.float()
