"""hwnas finds neural networks that are Pareto-best on the hardware they will run on.

The names below are imported when they are first used, so that `import hwnas` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.errors import HwnasError as HwnasError
    from hwnas.network import Network as Network
    from hwnas.network import build as build
    from hwnas.network import costs as costs
    from hwnas.network import lower as lower
    from hwnas.network import operators_of as operators_of
    from hwnas.ops import OPERATORS as OPERATORS
    from hwnas.ops import Operator as Operator
    from hwnas.pareto import Limit as Limit
    from hwnas.pareto import Objective as Objective
    from hwnas.pareto import Tier as Tier
    from hwnas.pareto import front as front
    from hwnas.pareto import hypervolume as hypervolume
    from hwnas.pareto import picks as picks
    from hwnas.space import Architecture as Architecture
    from hwnas.space import Choice as Choice
    from hwnas.space import FunctionSpace as FunctionSpace
    from hwnas.space import Space as Space
    from hwnas.space import parse_space as parse_space
    from hwnas.space import read_space as read_space
    from hwnas.space_checks import check_space as check_space

__version__ = "0.1.0"

_FACE = {  # name -> the module it is imported from; the block above says the same to type checkers
    "Architecture": "hwnas.space",
    "Choice": "hwnas.space",
    "FunctionSpace": "hwnas.space",
    "HwnasError": "hwnas.errors",
    "Limit": "hwnas.pareto",
    "Network": "hwnas.network",
    "OPERATORS": "hwnas.ops",
    "Objective": "hwnas.pareto",
    "Operator": "hwnas.ops",
    "Space": "hwnas.space",
    "Tier": "hwnas.pareto",
    "build": "hwnas.network",
    "check_space": "hwnas.space_checks",
    "costs": "hwnas.network",
    "front": "hwnas.pareto",
    "hypervolume": "hwnas.pareto",
    "lower": "hwnas.network",
    "operators_of": "hwnas.network",
    "parse_space": "hwnas.space",
    "picks": "hwnas.pareto",
    "read_space": "hwnas.space",
}

_UPPER = {"open_run": "hwnas.results"}
"""The same of modules that import the version from here, which type checkers must not see in a circle."""


__all__ = [*_FACE]


def __getattr__(name: str) -> Any:
    if name not in _FACE and name not in _UPPER:
        raise AttributeError(f"module `hwnas` has no `{name}`")
    value = globals()[name] = getattr(importlib.import_module(_FACE.get(name) or _UPPER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE, *_UPPER})
