"""Loading a published state dictionary into a supernet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from torch import Tensor

from hwnas.errors import ConfigError
from hwnas.supernet.published import PublishedSupernet
from hwnas.supernet.published.sources import TensorSource, plain_name
from hwnas.supernet.slicing.kernel_transform import center_crop
from hwnas.supernet.state_file import read_state, refused, shape_text, some, unlike_keys, unwrapped
from hwnas.supernet.weights import Supernet

_STATISTICS = r".*\.(running_mean|running_var|num_batches_tracked)"
"""Of the largest network; each network has its own recomputed."""
DO = "Name the file of this space, or the space of this file"


def load_published(supernet: Supernet, form: PublishedSupernet, path: Path) -> None:
    """Fill a supernet with the weights of a file.

    Raises:
        ConfigError: it is no state dictionary, or that of another network; keys and sizes are named.
    """
    weights = supernet.state_dict()
    sources = form.sources(weights)
    state = _plain(read_state(path), {source.name for source in sources.values()})
    unused = re.compile("|".join(filter(None, (_STATISTICS, form.unused))))
    _check_keys(state, sources, unused, form, path)
    taken = {name: _fitted(source, state[source.name], weights[name]) for name, source in sources.items()}
    if wrong := [name for name, value in taken.items() if value.shape != weights[name].shape]:
        raise _other_size(supernet.space_name, wrong, sources, state, weights, form, path)
    if broken := [sources[name].name for name, value in taken.items() if not value.isfinite().all()]:
        raise refused(path, f"`{broken[0]}` is not finite", "Weights are finite numbers", "Fetch the file again")
    supernet.load_state_dict(taken)


def _plain(state: Mapping[str, Tensor], known: Set[str]) -> dict[str, Tensor]:
    """Return a state by plain names; of two tensors with one plain name the second keeps the one in the file."""
    plain: dict[str, Tensor] = {}
    for name, value in state.items():
        plain[name if plain_name(name) in plain else plain_name(name)] = value
    return unwrapped(plain, known)


def _check_keys(
    state: Mapping[str, Tensor],
    sources: Mapping[str, TensorSource],
    unused: re.Pattern[str],
    form: PublishedSupernet,
    path: Path,
) -> None:
    wanted = dict.fromkeys(source.name for source in sources.values())
    missing = [name for name in wanted if name not in state]
    extra = [name for name in state if name not in wanted and not unused.fullmatch(name)]
    if missing or extra:
        raise refused(
            path,
            f"the weights are of another network: {unlike_keys(missing, extra)}{_like(state, form)}",
            f"Files of this format are of {', '.join(form.spaces)}. This space wants keys such as {some(list(wanted))}",
            DO,
        )


def _taken(source: TensorSource, value: Tensor, target: Tensor) -> Tensor:
    """Return the weight that a tensor of the file makes; as it is where that does not fit."""
    value = source.read(value.to(target.dtype))
    if value.ndim != target.ndim:
        return value
    size = tuple(min(n, target.shape[axis]) if axis in source.cut else n for axis, n in enumerate(value.shape))
    return center_crop(value, size, leading=value.ndim).contiguous()


def _fitted(source: TensorSource, value: Tensor, target: Tensor) -> Tensor:
    """Return the weight that a tensor of the file makes; the tensor where it has other axes than the project's."""
    try:
        return _taken(source, value, target)
    except (IndexError, RuntimeError, TypeError):
        return value


def _other_size(
    space: str,
    wrong: Sequence[str],
    sources: Mapping[str, TensorSource],
    state: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    form: PublishedSupernet,
    path: Path,
) -> ConfigError:
    first = sources[wrong[0]].name
    return refused(
        path,
        f"{len(wrong)} of {len(weights)} weights are of other sizes, first `{first}`: {shape_text(state[first].shape)} "
        f"in the file, where space `{space}` has {shape_text(weights[wrong[0]].shape)}{_like(state, form)}",
        f"Files of this format are of {', '.join(form.spaces)}; with another number of classes only the last layer "
        "differs",
        DO,
    )


def _like(state: Mapping[str, Tensor], form: PublishedSupernet) -> str:
    """Return, in words, the space that a file is of, as far as a few of its weights tell; empty if they do not."""
    for space, lengths in form.spaces.items():
        if all(
            name in state and n == max(state[name].shape[:1] + state[name].shape[-1:], default=0)
            for name, n in lengths.items()
        ):
            return f". The file is of `{space}`"
    return ""
