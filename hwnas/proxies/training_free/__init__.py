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
    "jacob_cov": "hwnas.proxies.training_free.jacob_cov:JACOB_COV",
    "naswot": "hwnas.proxies.training_free.naswot:NASWOT",
    "zen": "hwnas.proxies.training_free.zen:ZEN",
    "zico": "hwnas.proxies.training_free.zico:ZICO",
    "meco": "hwnas.proxies.training_free.meco:MECO",
    "swap": "hwnas.proxies.training_free.swap:SWAP",
    "expressivity": "hwnas.proxies.training_free.expressivity:EXPRESSIVITY",
    "progressivity": "hwnas.proxies.training_free.progressivity:PROGRESSIVITY",
    "trainability": "hwnas.proxies.training_free.trainability:TRAINABILITY",
    "linear_regions": "hwnas.proxies.training_free.linear_regions:LINEAR_REGIONS",
    "ntk": "hwnas.proxies.training_free.ntk:NTK",
}

__all__ = ["TRAINING_FREE"]
