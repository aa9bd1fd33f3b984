"""Opening of a user's trained network as a space."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, reason
from hwnas.io.atomic import write_file
from hwnas.io.yaml import dump_yaml
from hwnas.opened.build import OpenedBuild
from hwnas.opened.source import NetworkSource, module_of
from hwnas.opened.space_file import content_of, source_of
from hwnas.space import FunctionSpace
from hwnas.space.values import NAME, parse_shape
from hwnas.words import brief, counted
from hwnas.workspace.progress import Reporter, default_reporter

ROUNDING_ERROR = 1e-5
"""Largest difference of the largest network's outputs that is not worth a word."""
MOST_CLOSED = 8


@brief
@dataclass(frozen=True)
class OpenedSpace:
    """Result of opening a network.

    Args:
        space: the file that was written; a space for every command.
        weights: the file beside it with the network's weights.
        operators: number of operators of the largest network, which is the given one.
        optional_blocks: number of those that a network may leave out.
        choices: number of open decisions.
        elastic_share: share of the channels of its layers whose number is open, classes aside.
        closed: for each group of channels whose number stays, the layer that makes it and the reason.
        max_difference: largest difference between outputs of the largest network and the given one, relative to the
            largest output where that is above 1.

    Example:
        >>> OpenedSpace("net.yaml", "net.safetensors", 12, 4, 9, 0.9, (), 0.0).operators
        12
    """

    space: str
    weights: str
    operators: int
    optional_blocks: int
    choices: int
    elastic_share: float
    closed: tuple[dict[str, str], ...]
    max_difference: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the result as lines for a terminal."""
        blocks = counted(self.optional_blocks, "block")
        shut = [f"  {one['layer']}: {one['reason']}" for one in self.closed[:MOST_CLOSED]]
        if len(self.closed) > MOST_CLOSED:
            shut.append(f"  and {len(self.closed) - MOST_CLOSED} more; --json lists all")
        return [
            f"{counted(self.operators, 'operator')}, {blocks} may be left out, {counted(self.choices, 'choice')}",
            f"{self.elastic_share:.0%} of the channels are open" + ("; closed:" if shut else ""),
            *shut,
            f"the largest network differs from yours by {self.max_difference:.1e} at most",
            f"wrote {self.space} and {self.weights}; see it with: hwnas show {self.space}",
        ]


def open_network(
    network: str,
    *,
    weights: Path | None = None,
    input_shape: str | None = None,
    out: Path | None = None,
    reporter: Reporter | None = None,
) -> OpenedSpace:
    """Open a trained network as a space of narrower and shallower ones, and write the space with its weights.

    Args:
        network: `file.py:function`; the function returns a torch.nn.Module, or the module and its input shape.
        weights: its state dictionary; those that the function returns if left out.
        input_shape: shape of one input, such as `3,32,32`, if the function states none.
        out: the space's file; `FUNCTION.yaml` if left out. Its weights are written beside it.
        reporter: receives messages; silent if left out.

    Returns:
        The files, and what is open in the space.

    Raises:
        ConfigError, SpaceError: the network cannot be opened, or the weights do not fit.

    Example:
        >>> from hwnas import pipeline
        >>> opened = pipeline.open_network("my_net.py:model")
        >>> opened.operators, opened.max_difference < 1e-5
        (6, True)
    """
    shape = None if input_shape is None else parse_shape(input_shape, "--input", where="hwnas open")
    source = source_of(network, weights, shape, where="hwnas open", base=Path.cwd())
    name = (out.stem if out is not None else source.function).lower().replace("-", "_")
    if not NAME.fullmatch(name) or (out is not None and out.suffix not in (".yaml", ".yml")):
        raise ConfigError(
            f"`{out or source.function}` is no name of a space's file",
            where="hwnas open: -o",
            allowed="Lower-case letters, digits and `_`, a letter first, and `.yaml`",
            do="Write `-o my_space.yaml`",
        )
    out = out or Path(f"{name}.yaml")
    build = OpenedBuild(source, None)
    opened = build.network
    default_reporter(reporter).info(f"opened {source.where} at input {'x'.join(map(str, opened.shape))}")
    space = FunctionSpace(name, build, source=f"opened from {source.file.path.name}:{source.function}")
    file = _write(space, source, out)
    if opened.max_difference > ROUNDING_ERROR:
        default_reporter(reporter).info(f"the largest network differs from yours by {opened.max_difference:.1e}")
    decisions, optional = build.kept
    return OpenedSpace(
        str(out),
        str(file),
        len(opened.links),
        len(optional),
        len(decisions) + len(optional),
        round(opened.elastic_share, 4),
        tuple({"layer": layer, "reason": why} for layer, why in opened.closed.items()),
        opened.max_difference,
    )


def _write(space: FunctionSpace, source: NetworkSource, out: Path) -> Path:
    """Write the space's file, and the weights beside it."""
    from hwnas.supernet.weights_file import write_weights

    module, _ = module_of(source)
    state = {name: value.detach().clone() for name, value in module.state_dict().items()}
    file = out.with_suffix(".safetensors")
    network = os.path.relpath(source.file.path, out.parent.resolve())
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_weights(state, file)
        write_file(out, dump_yaml(content_of(space, f"{network}:{source.function}", file.name)))
    except OSError as error:
        raise ConfigError(
            f"the space cannot be written ({reason(error)})",
            where=str(out),
            allowed="The folder must be writable and the disk not full",
            do="Name another file with `-o`",
        ) from error
    return file
