"""`macs`: the number of multiply-adds of one inference.

Definition: multiply-adds of the network that is built, at its own resolution, as `hwnas cost` counts them. The
literature has it as `flops` (Ning et al., Evaluating Efficient Performance Estimators, 2021).
Input: none. Normalisation and initialisation: of no importance.
"""

from __future__ import annotations

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.network import costs


def macs(subject: ProxyInput) -> float:
    """Return the sum over the network's operators."""
    return float(costs(subject.network).macs)


MACS = Definition(macs, batch=0, draws=False)
