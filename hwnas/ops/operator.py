"""Base class of operators: one frozen dataclass with one method. Everything else is derived from its module."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.errors import SpaceError, did_you_mean
from hwnas.tasks.ends import Shape as Shape
from hwnas.user_code import SourceFile, calling, load_source, source_of

if TYPE_CHECKING:
    from torch import nn

UPSAMPLING_MODES = ("nearest", "linear")
WIDTH_KNOBS = ("in_channels", "out_channels")
"""Knobs that say how wide an operator is, not what it does."""


@dataclass(frozen=True)
class Operator(ABC):
    """One link of a network's chain, and the unit that is timed.

    A subclass adds its knobs as fields and implements `module`; it is final. Shapes, MACs, parameters,
    activation bytes, shared weights, artifacts and the row in a latency table follow from that module.

    Args:
        in_channels: size of the input's first axis after the batch. An operator that takes several inputs of a network
            has a field of tuples here, with a size for each, and its module an argument for each.
        out_channels: size of the output's first axis after the batch.

    Example:
        >>> from dataclasses import dataclass
        >>> from torch import nn
        >>> @dataclass(frozen=True)
        ... class Pointwise(Operator):
        ...     bias: bool = True
        ...     def module(self):
        ...         return nn.Conv2d(self.in_channels, self.out_channels, 1, bias=self.bias)
        >>> Pointwise(8, 16).describe()
        'pointwise {"in_channels": 8, "out_channels": 16, "bias": true}'
    """

    keeps_shape: ClassVar[bool] = False
    """True if the output always has the shape of the input, so that the module need not run to find out."""

    leading_axes: ClassVar[int] = 2
    """Axes of a parameter of which a smaller operator has the leading members; of all others it has the centre."""

    in_channels: int
    out_channels: int

    @abstractmethod
    def module(self) -> nn.Module:
        """A new, ordinary module; its parameter names do not depend on sizes, so that weights can be shared."""

    @classmethod
    def holders(cls, operators: Sequence[Operator]) -> Iterable[Operator]:
        """Return enough of these operators to hold each of their parameters at its largest: here, all of them.

        A kind with more forms than parameters can name a few: a supernet builds these only.
        """
        return operators

    @property
    def kind(self) -> str:
        """The operator's name in YAML, tables and weight names: the class name in lower case."""
        return type(self).__name__.lower()

    @property
    def knobs(self) -> dict[str, Any]:
        """Field values by name, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def summands(self) -> Iterable[Operator]:
        """Operators for the same input whose parameters and multiply-adds sum up to this one's: itself.

        A kind with many forms made of few parts can name the parts, so that not all forms are run to be counted.
        """
        return (self,)

    @property
    def traits(self) -> Mapping[str, float]:
        """Features that a predictor of accuracy sums over a network's operators, as `group/name`: here, their knobs.

        A kind with structure inside, such as a cell, adds more. Equal networks must have equal sums.
        """
        knobs = {n: v for n, v in self.knobs.items() if n not in WIDTH_KNOBS and isinstance(v, (bool, int, float, str))}
        names = [self.kind, *(f"{self.kind} {name}={value}" for name, value in knobs.items())]
        return dict.fromkeys((f"operators/{name}" for name in names), 1.0)

    def cut_indices(self) -> Mapping[str, Mapping[int, Any]]:
        """Return which places of the largest parameters are taken, as tensors of whole numbers, by parameter and axis;
        empty where the leading ones are, as usual."""
        return {}

    def scope(self, slot: str) -> str:
        """Return the scope of its weights in the supernet: operators of one scope share parameters of one name."""
        return f"{slot}/{self.kind}"

    def describe(self) -> str:
        """Return one line that identifies the operator: `mbconv {"in_channels": 16, ...}`."""
        return f"{self.kind} {json.dumps(self.knobs)}"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Of a class in a user's file, another process loads the file: its module cannot be imported by name."""
        source = source_of(type(self))
        if source is None:
            return super().__reduce_ex__(protocol)
        return _of_file, (source, type(self).__qualname__, self.knobs)


def _of_file(source: SourceFile, name: str, knobs: dict[str, Any]) -> Operator:
    operator: Operator = getattr(load_source(source), name)(**knobs)
    return operator


def new_module(operator: Operator) -> nn.Module:
    """Return a new module of an operator.

    Raises:
        SpaceError: its `module` raises.
    """
    name, form = f"{operator.kind}.module", "It returns a new torch.nn.Module, whatever the knobs"
    with calling(type(operator).module, SpaceError, name=name, options=operator.knobs, allowed=form):
        return operator.module()


def check_whole(operator: Operator, **least: int) -> None:
    """Raise SpaceError if knobs are not whole numbers, or smaller than this."""
    for name, smallest in least.items():
        value = getattr(operator, name)
        if not isinstance(value, int) or value < smallest:
            raise SpaceError(
                f"`{name}` is {value!r}",
                where=operator.kind,
                allowed=f"`{name}` is a whole number from {smallest} on",
                do="Correct it",
            )


def check_upsampling(operator: Operator) -> None:
    """Raise SpaceError if the operator's `scale` or `mode` is not one that `Upsample` knows."""
    check_whole(operator, scale=1)
    mode = operator.knobs["mode"]
    if mode not in UPSAMPLING_MODES:
        raise SpaceError(
            f"unknown mode `{mode}`",
            where=f"{operator.kind}: `mode`",
            allowed=did_you_mean(str(mode), UPSAMPLING_MODES),
            do="Use a known mode",
        )


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value` that is not more than 10 % below it (MobileNet's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
