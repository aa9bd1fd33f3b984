"""Supernets of each space that tests know, and networks and images to try them on."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import torch
from torch import Tensor

from hwnas.network import Network, lower, make_operator
from hwnas.ops import OPERATORS
from hwnas.space import AnySpace, FunctionSpace
from hwnas.space.function import Choose
from hwnas.supernet import Supernet
from tests.helpers.operators import EXAMPLES, input_of
from tests.helpers.spaces import SMALL
from tests.helpers.tiny import SPACES as SHIPPED
from tests.helpers.tiny import tiny


def space_of_operators(kind: str, line: int) -> AnySpace:
    """Networks of a single operator: those that differ in sizes alone."""
    operators = [make_operator(kind, knobs, where="test") for knobs in EXAMPLES[kind][line]]

    def build(choose: Choose) -> Any:
        operator = operators[choose("operator", range(len(operators)))]
        return input_of(operator), {"only": operator}

    return FunctionSpace(f"{kind}_{line}", build)


OPERATOR_LINES = [(kind, line) for kind in OPERATORS for line in range(len(EXAMPLES[kind]))]
SPACES = [*SHIPPED, *SMALL, *(f"operator {kind} {line}" for kind, line in OPERATOR_LINES)]
ALIKE = {"autoformer_base", "autoformer_small", "ofa_mobilenet_v3_w1.2"}
"""But for widths as others that are tried; tests/test_every_space.py tries them as well."""


@cache
def opened(name: str) -> tuple[AnySpace, Supernet]:
    """A space and a supernet of it, which no test may change; norms have weights that tell channels apart."""
    if name in SMALL:
        space: AnySpace = SMALL[name]
    elif name.startswith("operator "):
        _, kind, line = name.split()
        space = space_of_operators(kind, int(line))
    else:
        space = tiny(name)
    supernet = Supernet(space)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in supernet.parameters():
            if value.ndim == 1:
                value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return space, supernet


def some_networks(space: AnySpace, count: int = 4) -> list[Network]:
    rng = random.Random(1)
    drawn = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(count - 2))]
    return [lower(space, architecture) for architecture in drawn]


def some_images(network: Network, count: int = 4) -> Tensor:
    return torch.randn(count, *network.input_shape, generator=torch.Generator().manual_seed(2))


def seeded(call: Any, *args: Any) -> Tensor:
    """The call under a fixed generator, so that dropout drops the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return call(*args)  # type: ignore[no-any-return]
