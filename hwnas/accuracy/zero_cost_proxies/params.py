"""`params`: the number of parameters.

Definition: parameters of the network that is built, normalisation included. Larger networks of a space tend to be more
accurate, so it is the score that others have to beat (White et al., A Deeper Look at Zero-Cost Proxies, 2022).
Input: none. Normalisation and initialisation: of no importance.
"""

from __future__ import annotations

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.network import costs


def params(subject: ProxyInput) -> float:
    """Return the sum over the network's operators."""
    return float(costs(subject.network).params)


PARAMS = Definition(params, batch=0, draws=False)
