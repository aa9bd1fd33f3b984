"""A tree of modules as source: an expression that constructs it, and classes for those that torch.nn has not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword

import torch
from torch import Tensor, nn

from hwnas.export.ends.raw_input import RawInput
from hwnas.export.plain.forwards import Call, forward_graph, forward_source
from hwnas.export.plain.layers import Uncovered, is_layer, layer_source
from hwnas.ops.several import NamedOutputs, SeveralInputs
from hwnas.traced.graph import has_hooks

LINE_WIDTH = 110
"""Characters of a line."""
GROUP = "Group"
TAKEN = (GROUP, "Parts", "OrderedDict", "Path", "chain", "build", "load", "nn", "torch", "functional")
"""Names that a file has besides those of its classes."""


@dataclass(frozen=True)
class Expression:
    """A call that constructs a module.

    Args:
        head: the name that is called, or a whole expression where there are no arguments.
        arguments: each with its label, such as `conv=`.
        brackets: what they stand in.
    """

    head: str
    arguments: tuple[tuple[str, Expression], ...] = ()
    brackets: tuple[str, str] = ("(", ")")

    @property
    def flat(self) -> str:
        """The expression in one line."""
        if not self.arguments:
            return self.head
        inside = ", ".join(f"{label}{value.flat}" for label, value in self.arguments)
        return f"{self.head}{self.brackets[0]}{inside}{self.brackets[1]}"

    def lines(self, indent: int, before: int = 0) -> list[str]:
        """Return its lines, the first without the indentation and what comes `before` it."""
        if not self.arguments or indent + before + len(self.flat) < LINE_WIDTH:
            return [self.flat]
        result, inner = [f"{self.head}{self.brackets[0]}"], " " * (indent + 4)
        for label, value in self.arguments:
            first, *rest = value.lines(indent + 4, len(label))
            result += [f"{inner}{label}{first}", *rest]
            result[-1] += ","
        return [*result, " " * indent + self.brackets[1]]


class TreeWriter:
    """Writer of expressions, and of the classes that they name.

    Args:
        calls: arguments of the first call of each module.
        join: as `hwnas.export.plain.tidy.tidied` takes it.
    """

    def __init__(self, calls: Mapping[nn.Module, Call], *, join: bool = True) -> None:
        self._calls, self._join = calls, join
        self._bodies: dict[tuple[str, str], str] = {}
        self.has_groups = False

    @property
    def classes(self) -> list[tuple[str, str]]:
        """Names of classes, each with the source of its `forward`."""
        return [(name, body) for (_, body), name in self._bodies.items()]

    def expression(self, module: nn.Module) -> Expression:
        """Return the expression that constructs a module.

        Raises:
            Uncovered: there is none.
        """
        if has_hooks(module):
            raise Uncovered(f"{type(module).__name__} has hooks, which do more than its forward")
        if is_layer(module):
            return Expression(layer_source(module))
        children = {name: self.expression(child) for name, child in module.named_children()}
        numbered, kind = list(children) == [str(number) for number in range(len(children))], type(module)
        if kind is nn.Sequential or (kind is SeveralInputs and len(children) == 1):
            arguments = [("", value) for value in children.values()] if numbered else _named(children)
            return _called("nn.Sequential" if numbered else "chain", arguments)
        if kind is nn.ModuleList and numbered:
            inside = Expression("", tuple(("", value) for value in children.values()), ("[", "]"))
            return Expression("nn.ModuleList", (("", inside),)) if children else Expression("nn.ModuleList()")
        return _called(self._class_of(module), [*_named(children), *_tensors(module)])

    def _class_of(self, module: nn.Module) -> str:
        if module not in self._calls:
            self.has_groups = True
            return GROUP
        body = self._forward(module)
        wanted = re.sub(r"\W", "", type(module).__name__.lstrip("_")) or "Block"
        if (known := self._bodies.get((wanted, body))) is not None:
            return known
        taken, name, number = {*TAKEN, *self._bodies.values()}, wanted, 2
        while name in taken:
            name, number = f"{wanted}{number}", number + 1
        self._bodies[wanted, body] = name
        return name

    def _forward(self, module: nn.Module) -> str:
        names = [name for name, _ in module.named_children()]
        if type(module) is SeveralInputs:
            first, *others = (f"self.{name}" if name.isidentifier() else f"getattr(self, {name!r})" for name in names)
            steps = "".join(f"\n    x = {name}(x)" for name in others)
            return f"def forward(self, *inputs):\n    x = {first}(*inputs){steps}\n    return x"
        if type(module) is NamedOutputs:
            return "def forward(self, *inputs):\n    return self.body(*inputs)"
        if type(module) is RawInput and len(list(module.fronts)) > 1:
            values = "(front(values) for front, values in zip(self.fronts, inputs))"
            return f"def forward(self, *inputs):\n    return self.body(*{values})"
        return forward_source(forward_graph(module, self._calls[module]), join=self._join)


def _called(name: str, arguments: Sequence[tuple[str, Expression]]) -> Expression:
    return Expression(name, tuple(arguments)) if arguments else Expression(f"{name}()")


def _named(children: Mapping[str, Expression]) -> list[tuple[str, Expression]]:
    """Return arguments by name; those whose names are no names in Python stand in a dictionary."""
    plain = {name: value for name, value in children.items() if _is_name(name)}
    others = tuple((f"{name!r}: ", value) for name, value in children.items() if not _is_name(name))
    if others and plain:  # in their order
        others, plain = tuple((f"{name!r}: ", value) for name, value in children.items()), {}
    result = [(f"{name}=", value) for name, value in plain.items()]
    return [*result, *([("**", Expression("", others, ("{", "}")))] if others else [])]


def _is_name(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name) and name not in ("self", "tensors")


def _tensors(module: nn.Module) -> list[tuple[str, Expression]]:
    """Return the argument that gives a module its own parameters and buffers."""
    own: dict[str, Tensor | None] = {**module._parameters, **module._buffers}
    inside = []
    for name, tensor in own.items():
        if tensor is None:
            raise Uncovered(f"`{name}` of {type(module).__name__} is None")
        dtype = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
        empty = f"torch.empty({tuple(tensor.shape)}{dtype})"
        text = f"nn.Parameter({empty})" if name in module._parameters else empty
        inside.append((f"{name!r}: ", Expression(text)))
    return [("tensors=", Expression("", tuple(inside), ("{", "}")))] if inside else []
