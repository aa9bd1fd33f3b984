"""The network of one architecture: a chain of operators, lowered once; modules and costs are read off it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from hwnas.errors import SpaceError
from hwnas.ops import OPERATORS, Operator, Shape
from hwnas.ops.make import operator_of
from hwnas.ops.operator import new_module
from hwnas.ops.plugins import operators_with
from hwnas.registry import member
from hwnas.rows import html_table
from hwnas.space import AnySpace, Architecture, FunctionSpace, Layer, Space
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.tasks.ends import channels_of, shape_text, specs_of
from hwnas.traced.call import call
from hwnas.traced.together import together
from hwnas.words import brief, counted

if TYPE_CHECKING:
    from torch import nn

    from hwnas.ops.costs import Costs


@brief
@dataclass(frozen=True)
class Network:
    """A chain of operators at one input shape.

    Args:
        operators: the chain, from input to output.
        slots: each operator's place in the supernet, which names its shared weights.
        input_shape: without the batch: (channels, height, width) for images.

    Example:
        >>> from hwnas.ops.classifier import Classifier
        >>> from hwnas.ops.conv import Conv
        >>> network = Network((Conv(1, 8, stride=2), Classifier(8, 10)), ("stem", "head"), (1, 8, 8))
        >>> network.shapes
        ((1, 8, 8), (8, 4, 4))
    """

    operators: tuple[Operator, ...]
    slots: tuple[str, ...]
    input_shape: Shape
    kind: Task = field(default=DEFAULT_TASK, compare=False)
    """Task without shapes."""

    def _repr_html_(self) -> str:
        shape = shape_text(self.input_shape)
        rows = [
            {
                "slot": slot,
                "operator": operator.describe(),
                "parameters": part.params,
                "MACs": part.macs,
                "output": shape_text(part.output_shape),
            }
            for slot, operator, part in zip(self.slots, self.operators, self.costs, strict=True)
        ]
        return html_table(f"Network of {counted(len(rows), 'operator')}, input {shape}", rows, most=len(rows))

    @cached_property
    def task(self) -> Task:
        """Task with the shapes of its inputs and outputs."""
        return self.kind.at(self.input_shape, self.operators[-1].out_channels)

    @cached_property
    def costs(self) -> tuple[Costs, ...]:
        """The costs of every operator at the shape that enters it."""
        from hwnas.ops.costs import operator_costs

        result, shape = [], self.input_shape
        for operator in self.operators:
            result.append(operator_costs(operator, shape))
            shape = result[-1].output_shape
        return tuple(result)

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The input shape of every operator."""
        return (self.input_shape, *(part.output_shape for part in self.costs[:-1]))

    @property
    def links(self) -> Iterator[tuple[Operator, Shape]]:
        """Operators with their input shapes, as looked up in a latency table."""
        return zip(self.operators, self.shapes, strict=True)


def lower(space: AnySpace, architecture: Architecture) -> Network:
    """The network of an architecture; the same architecture always gives the same network.

    Args:
        space: the architecture's space.
        architecture: a value for every active choice.

    Returns:
        The chain of operators.

    Raises:
        SpaceError: the architecture does not fit the space, or an operator refuses its knobs.

    Example:
        >>> from hwnas import read_space
        >>> from hwnas.io.resources import find_file
        >>> space = read_space(find_file("digits", "search_spaces"))
        >>> lower(space, space.smallest()).input_shape
        (1, 8, 8)
    """
    if architecture.space != space.name:
        raise SpaceError(
            f"the architecture is of space `{architecture.space}`",
            where=f"space `{space.name}`",
            allowed="An architecture is lowered by its own space",
            do="Name the space that it came from",
        )
    if isinstance(space, FunctionSpace):
        return _called(space, architecture)
    blueprint = space.blueprint(architecture)
    shape = space.shape(blueprint.input)
    channels, operators = channels_of(shape), list[Operator]()
    for layer in blueprint.layers:
        made = _MADE.get(layer)
        operator = made.get(channels) if made is not None else None
        operators.append(operator if operator is not None else _made(space, layer, channels))
        channels = operators[-1].out_channels
    return Network(tuple(operators), tuple(layer.slot for layer in blueprint.layers), shape, space.task)


_MADE: WeakKeyDictionary[Layer, dict[Any, Operator]] = WeakKeyDictionary()
"""By layer and input channels, the operators that were made: kept as long as the space keeps the layer."""


def _made(space: Space, layer: Layer, channels: Any) -> Operator:
    where, knobs = f"space `{space.name}`: `{layer.slot}`", {"in_channels": channels, **layer.knobs}
    operator = make_operator(layer.op, knobs, where=where, operators=known_operators(space))
    _MADE.setdefault(layer, {})[channels] = operator
    return operator


@lru_cache(maxsize=10_000)
def _called(space: FunctionSpace, architecture: Architecture) -> Network:
    """Return the network that the function builds for an architecture; cached, because calling and tracing are slow."""
    shape, chain = call(space, architecture)
    return Network(tuple(chain.values()), tuple(chain), shape, space.task)


def bound_task(space: AnySpace) -> Task:
    """Return the task of a space with the shapes of its smallest network; the ranks are those of all its networks."""
    if isinstance(space, Space):
        return space.task.at(first_shape(space), space.width)
    return lower(space, space.smallest()).task


def first_shape(space: AnySpace) -> Shape:
    """Return the input shape of a space's networks at the first options; named inputs keep their names."""
    if isinstance(space, Space):
        return space.input_shapes({name: options[0] for name, options in space.shared.items()})[0]
    return lower(space, space.smallest()).input_shape


def known_operators(*spaces: AnySpace) -> Mapping[str, str]:
    """The table of all operators that these spaces can name: the built-in ones and those of plugins.

    Raises:
        ConfigError: a plugin is at fault.
    """
    return operators_with(tuple(dict.fromkeys(plugin for space in spaces for plugin in space.plugins)))


def make_operator(
    kind: str, knobs: Mapping[str, Any], *, where: str, operators: Mapping[str, str] = OPERATORS
) -> Operator:
    """Return the operator of a kind with these knobs; the table of `known_operators` holds a user's own kinds as well.

    Raises:
        SpaceError: unknown or missing knob, or the operator refuses its knobs.
        ConfigError: the kind is not in the table.
    """
    return operator_of(member(operators, kind, what="operator", where=where), knobs, where=where)


def build(network: Network) -> nn.Sequential:
    """A new stand-alone module, one child for each slot.

    Args:
        network: as `lower` returns it.

    Returns:
        The module, with weights as PyTorch initialises them. It takes (batch, *input_shape), of several inputs each as
        an argument.

    Raises:
        SpaceError: the `module` of an operator raises.

    Example:
        >>> import torch
        >>> from hwnas import read_space
        >>> from hwnas.io.resources import find_file
        >>> space = read_space(find_file("digits", "search_spaces"))
        >>> network = lower(space, space.smallest())
        >>> build(network)(torch.zeros(2, *network.input_shape)).shape
        torch.Size([2, 10])
    """
    from torch import nn

    with together():
        children = OrderedDict(
            (slot, new_module(op)) for slot, op in zip(network.slots, network.operators, strict=True)
        )
    if len(specs_of(network.input_shape)) == 1:
        return nn.Sequential(children)
    from hwnas.ops.several import SeveralInputs

    return SeveralInputs(children)


def costs(network: Network) -> Costs:
    """Parameters and MACs are sums over the operators, activation bytes their maximum.

    Args:
        network: as `lower` returns it.

    Returns:
        Parameters, multiply-accumulates and bytes of float32 activations for one sample.

    Raises:
        SpaceError: an operator cannot be built or does not run.

    Example:
        >>> from hwnas import read_space
        >>> from hwnas.io.resources import find_file
        >>> space = read_space(find_file("digits", "search_spaces"))
        >>> costs(lower(space, space.smallest())).params
        1070
    """
    from hwnas.ops.costs import Costs

    parts = network.costs
    return Costs(
        params=sum([part.params for part in parts]),
        macs=sum([part.macs for part in parts]),
        activation_bytes=max([part.activation_bytes for part in parts]),
        output_shape=parts[-1].output_shape,
    )
