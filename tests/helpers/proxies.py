"""Training-free proxies that other processes can import."""

from __future__ import annotations

import time
from functools import partial

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree
from hwnas.network import lower
from tests.helpers.spaces import SMALL

SPACE = SMALL["widths and strides"]
LOWER = partial(lower, SPACE)


def slow(subject: ProxyInput) -> float:
    time.sleep(0.2)
    return float(len(subject.network.operators))


def of(measure: object, name: str = "tried") -> TrainingFree:
    return TrainingFree(name, Definition(measure, batch=0), LOWER, seed=0)  # type: ignore[arg-type]
