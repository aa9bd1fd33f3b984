"""Training-free proxies: a number for an untrained network. A new one is one file and one row here."""

from collections.abc import Mapping

TRAINING_FREE: Mapping[str, str] = {  # name after the @ of `score@NAME` -> its definition; imported on use
    "params": "hwnas.proxies.training_free.params:PARAMS",
    "macs": "hwnas.proxies.training_free.macs:MACS",
    "grad_norm": "hwnas.proxies.training_free.grad_norm:GRAD_NORM",
    "snip": "hwnas.proxies.training_free.snip:SNIP",
    "grasp": "hwnas.proxies.training_free.grasp:GRASP",
    "fisher": "hwnas.proxies.training_free.fisher:FISHER",
    "l2_norm": "hwnas.proxies.training_free.l2_norm:L2_NORM",
    "synflow": "hwnas.proxies.training_free.synflow:SYNFLOW",
}

__all__ = ["TRAINING_FREE"]
