"""Places of weights in another project's state dictionary, and what is done to them on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from torch import Tensor

from hwnas.errors import ConfigError

Size = tuple[int, ...]
EPSILON = 1e-5
"""Number that PyTorch adds to variances, and every normalisation of hwnas with it."""


@dataclass(frozen=True)
class TensorSource:
    """The tensor of a state dictionary that a shared weight is made of."""

    name: str
    """In the form of `plain_name`."""
    read: Callable[[Tensor], Tensor] = lambda value: value
    cut: frozenset[int] = frozenset()
    """Axes along which the file may hold more, of which the leading members are taken."""


def plain_name(name: str) -> str:
    """Return a name as all versions of a project would write it: wrappers that repeat a name left out.

    >>> plain_name("blocks.3.mobile_inverted_conv.depth_conv.conv.conv.weight")
    'blocks.3.conv.depth_conv.conv.weight'
    """
    return re.sub(r"(?<![^.])(\w+)(\.\1)+(?![^.])", r"\1", name.replace(".mobile_inverted_conv.", ".conv."))


def sources_by_rules(
    weights: Mapping[str, Tensor], rules: Mapping[str, str], *, blocks: int, epsilon: float = EPSILON
) -> dict[str, TensorSource]:
    """Return the sources of weights whose names differ by a beginning alone.

    Args:
        weights: shared weights by name, `slot/operator/parameter`, slots in their order.
        rules: by the beginning of a name behind its slot, that of the name in the file; `{block}` is replaced by the
            number of the slot among the slots of blocks.
        blocks: the number of slots before the first block.
        epsilon: what the project's normalisations add to variances.

    Raises:
        ConfigError: a weight begins in no such way.
    """
    slots = list(dict.fromkeys(name.partition("/")[0] for name in weights))
    sources: dict[str, TensorSource] = {}
    for name, value in weights.items():
        slot, _, rest = name.partition("/")
        begin = next((begin for begin in rules if rest.startswith(begin)), None)
        if begin is None:
            unlike(rest)
        number = slots.index(slot) - blocks
        after = rest.removeprefix(begin).replace("norm/", "bn.").replace("/", ".")
        after = re.sub(r"\.weight\.(\dto\d)$", r".\1_matrix", after)
        read = _scaled(EPSILON / epsilon) if _is_normalized(name, weights) else _shaped(value.shape)
        sources[name] = TensorSource(plain_name(rules[begin].format(block=number) + after), read)
    return sources


def unlike(operator: str) -> NoReturn:
    """Raise the error of a space with weights that the networks of a project do not have."""
    raise ConfigError(
        f"the networks of this project have no `{operator}`",
        where="train.format",
        allowed="Weights of a project fill the networks of its own space",
        do="Use that project's space, or another format",
    )


def _is_normalized(name: str, weights: Mapping[str, Tensor]) -> bool:
    layer = name.removesuffix("conv/weight")
    return layer != name and f"{layer}norm/weight" in weights


def _shaped(size: Size) -> Callable[[Tensor], Tensor]:
    """A 1x1 convolution after pooling is a linear layer here."""
    return lambda value: value.flatten(1) if value.ndim == 4 and len(size) == 2 else value


def _scaled(ratio: float) -> Callable[[Tensor], Tensor]:
    """Of a layer before a normalisation: variances scale with the square of its weights, so a normalisation that adds
    `ratio` times as much to them computes the same."""
    return lambda value: value * ratio**0.5 if ratio != 1 else value
