"""Operators of a space that an int8 file computes in floats, since the runtime has no integer kernel for them."""

from __future__ import annotations

from hwnas.export import format_name_of
from hwnas.ops import Operator, Shape
from hwnas.tasks.ends import is_plain
from hwnas.words import listed
from hwnas.workspace.workspace import Workspace


def float_notices(run: Workspace, setup: str) -> list[str]:
    """Return a notice on the operators that stay in floats in a set-up's int8 files, with the calls that do."""
    config = run.experiment.setups[setup]
    if config.precision != "int8":
        return []
    written = format_name_of(config.runtime)
    kinds = {operator.kind: (operator, shape) for operator, shape in run.codebook.links if is_plain(shape)}
    calls = {kind: float_calls(*link, written) for kind, link in kinds.items()}
    parts = [f"{listed(names)} of `{kind}`" for kind, names in calls.items() if names]
    if not parts:
        return []
    return [
        f"`{setup}` has no int8 kernel for {'; '.join(parts)}: they stay in fp32, with conversions around them, in "
        "timed and simulated networks alike"
    ]


def float_calls(operator: Operator, shape: Shape, file_format: str) -> list[str]:
    """Return the calls of an operator that an int8 file of a format computes in floats."""
    import torch

    from hwnas.export.fold import fold_
    from hwnas.export.quantize import integer_friendly_
    from hwnas.export.simulation.simulated import FLOATS
    from hwnas.export.simulation.tape import Tape

    module, inputs, tape = fold_(integer_friendly_(operator.module())), torch.zeros(1, *shape), Tape()
    with torch.no_grad():
        tape.begin(inputs)
        with tape:
            module(inputs)
    return sorted({call.name for call in tape.calls} & FLOATS[file_format])
