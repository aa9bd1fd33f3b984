"""Identities of channels through tensor operations: one rule per operation; without a rule the order stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hwnas.supernet.slicing.axes import Axis, Label, Labels, fix, inert, joined, regrouped, size_of, unite


class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Mode in which every tensor's axes are labelled from those of the tensors that it is computed from.

    With `joins`, channels that are concatenated keep their labels; without, their order stays.
    """

    def __init__(self, *, joins: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.joins = joins
        self._held: dict[int, tuple[Tensor, Labels]] = {}

    def label(self, tensor: Tensor, labels: Labels) -> None:
        """Set the labels of a tensor; the tensor is kept, so that no other one gets its `id`."""
        self._held[id(tensor)] = tensor, labels

    def knows(self, tensor: Tensor) -> bool:
        """Return whether a tensor has labels."""
        return id(tensor) in self._held

    def labels(self, tensor: Tensor) -> Labels:
        """Return the labels of a tensor; those of an unknown tensor, such as a constant, have an order that stays."""
        return self._held[id(tensor)][1] if self.knows(tensor) else inert(tensor.shape)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        out = _as_the_first(name, args)
        if out is None:
            out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        if not tensors:
            return out
        rule = CHANNEL_RULES.get(name) or (_pointwise if torch.Tag.pointwise in func.tags else None)
        labels = rule(self, list(args), tensors[0]) if rule is not None else None
        if labels is None or tuple(map(size_of, labels)) != tuple(tensors[0].shape):
            labels = inert(tensors[0].shape)
            for leaf in tree_leaves((args, kwargs)):
                if isinstance(leaf, Tensor):
                    for label in self.labels(leaf):
                        fix(label, f"`{name}` is not understood")
        self.label(tensors[0], labels)
        for tensor in tensors[1:]:  # statistics and indices, whose order stays
            self.label(tensor, inert(tensor.shape))
        return out


def _as_the_first(name: str, args: Any) -> Any:
    """Return the result of an operation that is like its first argument; torch's rules on `meta` take a hundred times
    as long."""
    plain = name.removesuffix("_")
    if plain in NORMS:
        return (torch.empty_like(args[0]), *(torch.empty(0, device="meta") for _ in range(2)))
    if plain not in UNARY and not (plain in BINARY and isinstance(args[1], Tensor) and _alike(*args[:2])):
        return None
    return args[0] if plain != name else torch.empty_like(args[0])


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype


NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training")
UNARY = ("relu", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "sigmoid")
BINARY = ("add", "mul")


Rule = Callable[[Following, list[Any], Tensor], Labels | None]
"""Labels of an operation's result from its arguments; None if the arguments are not understood."""


def _pointwise(following: Following, args: list[Any], out: Tensor) -> Labels:
    return _broadcast(*(following.labels(arg) for arg in tree_leaves(args) if isinstance(arg, Tensor)))


def _broadcast(*several: Labels) -> Labels:
    """Return the labels of a broadcast: axes are matched from the last one; those of length 1 are repeated."""
    axes = max(map(len, several), default=0)
    merged: list[Label] = [()] * axes
    for labels in several:
        for axis, label in enumerate(labels, axes - len(labels)):
            if label and merged[axis]:
                unite(merged[axis], label)
            merged[axis] = merged[axis] or label
    return tuple(merged)


def _convolution(following: Following, args: list[Any], out: Tensor) -> Labels | None:
    images, weight = following.labels(args[0]), following.labels(args[1])
    groups = args[8]
    for label in (*images[2:], *weight[2:]):
        fix(label, "a kernel slides along it")
    if args[6]:  # transposed: the weight is (in, out / groups, ...)
        if groups > 1:
            return None
        unite(images[1], weight[0])
        made = weight[1]
    else:
        entering = regrouped([images[1]], (groups, args[1].shape[1]))
        leaving = regrouped([weight[0]], (groups, args[1].shape[0] // groups))
        if entering is None or leaving is None:
            return None
        unite(entering[0], leaving[0])
        unite(entering[1], weight[1])
        made = weight[0]
    if args[2] is not None:
        unite(made, following.labels(args[2])[0])
    return images[0], made, *inert(out.shape[2:])


def _channel_norm(following: Following, args: list[Any], out: Tensor) -> Labels:
    """Return the labels of a norm over channels; running statistics count where they are labelled: a supernet's are
    not, as no two networks share them."""
    labels = following.labels(args[0])
    statistics = [value for value in args[3:5] if isinstance(value, Tensor) and following.knows(value)]
    for value in [*args[1:3], *statistics]:
        if value is not None:
            unite(labels[1], following.labels(value)[0])
    return labels


def _group_norm(following: Following, args: list[Any], out: Tensor) -> Labels | None:
    return _channel_norm(following, args, out) if args[6] == 1 else None


def _layer_norm(following: Following, args: list[Any], out: Tensor) -> Labels:
    labels = following.labels(args[0])
    for value in args[2:4]:
        if value is not None:
            _broadcast(labels, following.labels(value))
    return labels


def _product(following: Following, args: list[Any], out: Tensor) -> Labels:
    """Return the labels of a matrix product; a batch axis, if there is one, is the first of both."""
    one, other = (following.labels(arg) for arg in args[:2])
    unite(one[-1], other[-2])
    return *_broadcast(one[:-2], other[:-2]), one[-2], other[-1]


def _product_and_sum(following: Following, args: list[Any], out: Tensor) -> Labels:
    return _broadcast(following.labels(args[0]), _product(following, args[1:], out))


def _attention(following: Following, args: list[Any], out: Tensor) -> Labels:
    query, key, value = (following.labels(arg) for arg in args[:3])
    unite(query[-1], key[-1])
    unite(key[-2], value[-2])
    return *_broadcast(query[:-2], key[:-2], value[:-2]), query[-2], value[-1]


def _view(following: Following, args: list[Any], out: Tensor) -> Labels | None:
    return regrouped(following.labels(args[0]), out.shape)


def _permuted(following: Following, args: list[Any], out: Tensor) -> Labels:
    labels = following.labels(args[0])
    return tuple(labels[axis] for axis in args[1])


def _transposed(following: Following, args: list[Any], out: Tensor) -> Labels:
    labels = list(following.labels(args[0]))
    one, other = args[1:3] if len(args) > 2 else (0, -1)
    labels[one], labels[other] = labels[other], labels[one]
    return tuple(labels)


def _expanded(following: Following, args: list[Any], out: Tensor) -> Labels:
    """Return the labels of an expanded tensor: repeated members are all equal, so they fit any order."""
    labels = _broadcast(following.labels(args[0]), ((),) * out.ndim)
    anyhow = [((Axis(), size),) if size > 1 else () for size in out.shape]
    return tuple(label or free for label, free in zip(labels, anyhow, strict=True))


def _same(following: Following, args: list[Any], out: Tensor) -> Labels:
    return following.labels(args[0])


def _reduced(following: Following, args: list[Any], out: Tensor) -> Labels:
    """Return the labels of a sum, mean or extreme, which does not depend on the order of its members."""
    labels = following.labels(args[0])
    dims = args[1] if len(args) > 1 and args[1] not in (None, []) else range(len(labels))
    over = {axis % len(labels) for axis in ([dims] if isinstance(dims, int) else dims)}
    kept = [() if axis in over else label for axis, label in enumerate(labels)]
    return tuple(kept) if out.ndim == len(labels) else tuple(k for axis, k in enumerate(kept) if axis not in over)


def _normed(following: Following, args: list[Any], out: Tensor) -> Labels:
    """Return the labels of a vector norm, whose axes are its third argument."""
    return _reduced(following, [args[0], *args[2:3]], out)


def _rolled(following: Following, args: list[Any], out: Tensor) -> Labels:
    labels = following.labels(args[0])
    for axis in args[2] if len(args) > 2 and args[2] else range(out.ndim):
        fix(labels[axis], "it is rolled")
    return labels


def _pooled(following: Following, args: list[Any], out: Tensor, *, axes: int = 2) -> Labels:
    labels = following.labels(args[0])
    for label in labels[-axes:]:
        fix(label, "a window slides along it")
    return *labels[:-axes], *inert(out.shape[-axes:])


def _padded(following: Following, args: list[Any], out: Tensor) -> Labels:
    return _fixed_where_it_changes(following.labels(args[0]), out, "it is padded")


def _cut(following: Following, args: list[Any], out: Tensor) -> Labels | None:
    """Return the labels of a slice; one of full length changes nothing."""
    if len(args) > 4 and args[4] != 1:
        fix(following.labels(args[0])[args[1]], "every so many of its members are taken")
    return _fixed_where_it_changes(following.labels(args[0]), out, "a part of it is taken")


def _selected(following: Following, args: list[Any], out: Tensor) -> Labels:
    """Return the labels of one member of an axis."""
    labels = list(following.labels(args[0]))
    fix(labels.pop(args[1]), "one member of it is taken")
    return tuple(labels)


def _indexed(following: Following, args: list[Any], out: Tensor) -> Labels | None:
    """Return the labels of members of one axis, by a tensor of their numbers."""
    labels = following.labels(args[0])
    by = [(axis, index) for axis, index in enumerate(args[1]) if index is not None]
    if len(by) != 1:
        return None
    ((axis, index),) = by
    fix(labels[axis], "members of it are taken by number")
    return *labels[:axis], *inert(index.shape), *labels[axis + 1 :]


def _concatenated(following: Following, args: list[Any], out: Tensor) -> Labels:
    several = [following.labels(tensor) for tensor in args[0]]
    along = (args[1] if len(args) > 1 else 0) % out.ndim
    if following.joins:
        if len(several) == 1:
            return several[0]
        made = joined([labels[along] for labels in several])
    else:
        for labels in several:
            fix(labels[along], "something is joined to it")
        made = inert(out.shape)[along]
    kept = _broadcast(*((*labels[:along], (), *labels[along + 1 :]) for labels in several))
    return *kept[:along], made, *kept[along + 1 :]


def _fixed_where_it_changes(labels: Labels, out: Tensor, why: str) -> Labels:
    result = list(labels)
    for axis, (label, size) in enumerate(zip(labels, out.shape, strict=True)):
        if size_of(label) != size:
            fix(label, why)
            result[axis] = inert([size])[0]
    return tuple(result)


def _over(names: Sequence[str], rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names, rule)


CHANNEL_RULES: Mapping[str, Rule] = {  # an operation of ATen -> its rule; pointwise operations are known by their tag
    "convolution": _convolution,
    "native_group_norm": _group_norm,
    "native_layer_norm": _layer_norm,
    "addmm": _product_and_sum,
    "baddbmm": _product_and_sum,
    "cat": _concatenated,
    "constant_pad_nd": _padded,
    "expand": _expanded,
    "index": _indexed,
    "linalg_vector_norm": _normed,
    "permute": _permuted,
    "roll": _rolled,
    "select": _selected,
    "slice": _cut,
    **_over(["mm", "bmm"], _product),
    **_over(["t", "transpose"], _transposed),
    **_over(["view", "_unsafe_view", "reshape", "unsqueeze", "squeeze"], _view),
    **_over(["clone", "detach", "alias", "_to_copy", "lift_fresh", "_softmax", "_safe_softmax", "_log_softmax"], _same),
    **_over(["mean", "sum", "amax", "amin"], _reduced),
    **_over(NORMS, _channel_norm),
    **_over(["hardswish", "hardswish_"], _pointwise),
    **_over(
        [
            "avg_pool2d",
            "max_pool2d_with_indices",
            "_adaptive_avg_pool2d",
            "adaptive_max_pool2d",
            "upsample_nearest2d",
            "upsample_bilinear2d",
        ],
        _pooled,
    ),
    **_over(["upsample_nearest1d", "upsample_linear1d"], partial(_pooled, axes=1)),
    **_over(
        [
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_fused_attention_overrideable",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention",
        ],
        _attention,
    ),
}
