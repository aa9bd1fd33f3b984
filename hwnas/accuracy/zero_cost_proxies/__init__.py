"""Training-free proxies: a number for an untrained network. A new one is one file and one row here."""

from hwnas.registry import Family, InstanceOf

TRAINING_FREE = Family(
    "zero_cost_proxies",
    {  # name after the @ of `score@NAME` -> its definition; imported on use
        "params": "hwnas.accuracy.zero_cost_proxies.params:PARAMS",
        "macs": "hwnas.accuracy.zero_cost_proxies.macs:MACS",
        "grad_norm": "hwnas.accuracy.zero_cost_proxies.grad_norm:GRAD_NORM",
        "snip": "hwnas.accuracy.zero_cost_proxies.snip:SNIP",
        "grasp": "hwnas.accuracy.zero_cost_proxies.grasp:GRASP",
        "fisher": "hwnas.accuracy.zero_cost_proxies.fisher:FISHER",
        "l2_norm": "hwnas.accuracy.zero_cost_proxies.l2_norm:L2_NORM",
        "synflow": "hwnas.accuracy.zero_cost_proxies.synflow:SYNFLOW",
        "jacob_cov": "hwnas.accuracy.zero_cost_proxies.jacob_cov:JACOB_COV",
        "naswot": "hwnas.accuracy.zero_cost_proxies.naswot:NASWOT",
        "zen": "hwnas.accuracy.zero_cost_proxies.zen:ZEN",
        "zico": "hwnas.accuracy.zero_cost_proxies.zico:ZICO",
        "meco": "hwnas.accuracy.zero_cost_proxies.meco:MECO",
        "swap": "hwnas.accuracy.zero_cost_proxies.swap:SWAP",
        "expressivity": "hwnas.accuracy.zero_cost_proxies.expressivity:EXPRESSIVITY",
        "progressivity": "hwnas.accuracy.zero_cost_proxies.progressivity:PROGRESSIVITY",
        "trainability": "hwnas.accuracy.zero_cost_proxies.trainability:TRAINABILITY",
        "linear_regions": "hwnas.accuracy.zero_cost_proxies.linear_regions:LINEAR_REGIONS",
        "ntk": "hwnas.accuracy.zero_cost_proxies.ntk:NTK",
    },
    InstanceOf("hwnas.accuracy.zero_cost_proxies.definition:Definition"),
)

__all__ = ["TRAINING_FREE"]
