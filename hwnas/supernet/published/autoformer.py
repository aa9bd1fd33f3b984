"""AutoFormer's supernets, tiny, small and base (Chen et al., ICCV 2021, microsoft/Cream).

Rows of queries, keys and values take turns in one matrix, so that fewer heads are its leading rows; their biases lie in
one vector, one after the other (`joint_bias`). Tokens are wider in a file than in any network of its space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from hwnas.supernet.published import PublishedSupernet
from hwnas.supernet.published.sources import TensorSource, unlike

_WIDE = frozenset({0, 1})
"""Axes of tokens or of hidden units, which are wider in the file."""
_ROWS = ("query", "key", "value")
_LAYER = {
    "attention_norm/weight": "attn_layer_norm.weight",
    "attention_norm/bias": "attn_layer_norm.bias",
    "attention/project/weight": "attn.proj.weight",
    "attention/project/bias": "attn.proj.bias",
    "mlp_norm/weight": "ffn_layer_norm.weight",
    "mlp_norm/bias": "ffn_layer_norm.bias",
    "expand/weight": "fc1.weight",
    "expand/bias": "fc1.bias",
    "reduce/weight": "fc2.weight",
    "reduce/bias": "fc2.bias",
}
_TABLES = {
    f"attention/relative_{of}/{axis}": f"attn.rel_pos_embed_{of[0]}.embeddings_table_{axis[0]}"
    for of in ("key", "value")
    for axis in ("vertical", "horizontal")
}
_END_SOURCES = {
    "patchembed/conv/weight": TensorSource("patch_embed_super.proj.weight", cut=frozenset({0})),
    "patchembed/conv/bias": TensorSource("patch_embed_super.proj.bias", cut=_WIDE),
    "patchembed/class_token": TensorSource("cls_token", lambda value: value.flatten(), _WIDE),
    "patchembed/position": TensorSource("pos_embed", lambda value: value.flatten(0, 1).T, frozenset({0})),
    "tokenclassifier/norm/weight": TensorSource("norm.weight", cut=_WIDE),
    "tokenclassifier/norm/bias": TensorSource("norm.bias", cut=_WIDE),
    "tokenclassifier/linear/weight": TensorSource("head.weight", cut=frozenset({1})),
    "tokenclassifier/linear/bias": TensorSource("head.bias"),
}


def sources(weights: Mapping[str, Tensor]) -> dict[str, TensorSource]:
    """Return the sources of the supernet's weights."""
    slots = list(dict.fromkeys(name.partition("/")[0] for name in weights))
    made: dict[str, TensorSource] = {}
    for name in weights:
        slot, _, rest = name.partition("/")
        if rest in _END_SOURCES:
            made[name] = _END_SOURCES[rest]
        elif rest.startswith("transformer/"):
            made[name] = _layer(f"blocks.{slots.index(slot) - 1}.", rest.removeprefix("transformer/"))
        else:
            unlike(rest)
    return made


def _layer(block: str, name: str) -> TensorSource:
    if name in _LAYER:
        return TensorSource(
            block + _LAYER[name], cut=frozenset({0, 1}) if "attention/project" not in name else frozenset({0})
        )
    if name in _TABLES:
        return TensorSource(block + _TABLES[name], lambda value: value.T)
    for number, rows in enumerate(_ROWS):
        if name == f"attention/{rows}/weight":
            return TensorSource(f"{block}attn.qkv.weight", _every_third(number), frozenset({1}))
        if name == f"attention/{rows}/bias":
            return TensorSource(f"{block}attn.qkv.bias", _third if number == 0 else _whole)
    return unlike(f"transformer/{name}")


def _every_third(first: int) -> Callable[[Tensor], Tensor]:
    return lambda value: value[first::3]


def _third(value: Tensor) -> Tensor:
    return value[: len(value) // 3]


def _whole(value: Tensor) -> Tensor:
    return value


AUTOFORMER_SUPERNETS = PublishedSupernet(
    sources,
    {
        "autoformer_tiny": {"cls_token": 256, "blocks.0.attn.qkv.weight": 768},
        "autoformer_small": {"cls_token": 448, "blocks.0.attn.qkv.weight": 1344},
        "autoformer_base": {"cls_token": 640, "blocks.0.attn.qkv.weight": 1920},
    },
    joint_bias=True,
)
