"""Small spaces that tests share: each turns one kind of decision around, and can be enumerated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.space import AnySpace, Architecture, Choice, FunctionSpace, Space, Value, parse_space
from hwnas.space.function import Choose

HEAD = {"name": "head", "op": "classifier"}
INPUT = {"channels": 3, "resolution": 8}


def space_of(*stages: dict[str, Any], head: dict[str, Any] = HEAD, **more: Any) -> Space:
    raw = {"name": "small", "input": INPUT, "classes": 4, "stages": [*stages, head], **more}
    return parse_space(raw, where="small.yaml")


def mb(name: str = "s1", **knobs: Any) -> dict[str, Any]:
    return {"name": name, "op": "mbconv", "width": 8, "kernel": 3, "expand": 2, **knobs}


def vit(**knobs: Any) -> Space:
    """Four patches and a class token, one width for all stages."""
    embed = {"name": "embed", "op": "patchembed", "width": "$dim", "patch": 4, "grid": 2}
    layers = {"name": "s1", "op": "transformer", "width": "$dim", "heads": [1, 2], "head_width": 4, **knobs}
    head = {"name": "head", "op": "tokenclassifier", "pool": "mean"}
    return space_of(embed, layers, head=head, choices={"dim": [8, 12]})


def flat(picks: Mapping[str, Value]) -> Mapping[str, Value]:
    """As if the kernel of the second stage mattered to deep networks only."""
    return {**picks, "k": 3} if picks["n"] == 1 else picks


SMALL: dict[str, Space] = {
    "one network": space_of(mb()),
    "per layer": space_of(mb(depth=[1, 2], kernel=[3, 5], expand=[1, 2])),
    "per stage": space_of(mb(depth=[1, 3], kernel=[3, 5], expand=[1, 2], per={"kernel": "stage"})),
    "widths and strides": space_of(
        mb(depth=[1, 2], width=[8, 16], stride=2), mb("s2", width=[8, 24], stride=2, se=[False, True])
    ),
    "resolutions": space_of(mb(depth=[1, 2], kernel=[3, 5]), input={"channels": 1, "resolution": [4, 6, 8]}),
    "shared knob": space_of(mb(kernel="$k", depth=[1, 2]), mb("s2", kernel="$k"), choices={"k": [3, 5, 7]}),
    "shared depth": space_of(
        mb(kernel=[3, 5], depth="$d"), mb("s2", kernel=[3, 5, 7], depth="$d"), choices={"d": [1, 2]}
    ),
    "blocks": space_of(
        {"name": "s1", "op": ["thin", "wide", "conv"], "width": 8, "depth": [1, 2]},
        blocks={
            "thin": {"op": "mbconv", "kernel": 3, "expand": [1, 2]},
            "wide": {"op": "mbconv", "kernel": [5, 7], "expand": [2, 4]},
        },
    ),
    "empty stages": space_of(
        mb(width="$w", stride=2),
        mb("s2", width="$w", depth=[0, 1, 2], kernel=[3, 5]),
        mb("s3", width=16, depth=[0, 1], stride=2, expand=[2, 4]),
        choices={"w": [8, 16]},
    ),
    "transformers": vit(depth=[1, 2], mlp_ratio=[1, 1.5], relative=1),
    "canonical": space_of(
        mb(depth="$n", expand=[1, 2]),
        mb("s2", kernel="$k", se=[False, True]),
        choices={"n": [1, 2], "k": [3, 5]},
        canonical="tests.helpers.spaces:flat",
    ),
    "two operators": space_of(
        {"name": "stem", "op": "conv", "width": [8, 16]},
        {"name": "s1", "op": ["conv", "bottleneck"], "width": 16, "depth": [1, 2, 3], "kernel": [1, 3], "per": "stage"},
        input={"channels": 1, "resolution": "$r"},
        choices={"r": [6, 8]},
    ),
}


def enumerate_architectures(space: Space) -> Iterator[Architecture]:
    """All architectures, by brute force: every answer to every question that the walk asks."""
    yield from dict.fromkeys(_enumerate(space))


def _enumerate(space: Space) -> Iterator[Architecture]:
    todo: list[dict[str, Value]] = [{}]
    while todo:
        known = todo.pop()
        asked: list[Choice] = []

        def answer(choice: Choice, known: dict[str, Value] = known, asked: list[Choice] = asked) -> Value:
            if choice.name not in known:
                asked.append(choice)
            return known.get(choice.name, choice.options[0])

        architecture = space.sample(answer)
        if asked:
            todo += [{**known, asked[0].name: option} for option in asked[0].options]
        else:
            yield architecture


def two_paths(choose: Choose) -> Any:
    """Deep networks choose a kernel twice, flat ones a width once."""
    if choose("deep", [False, True]):
        convs = {f"conv{i}": Conv(1 if i == 1 else 8, 8, choose(f"kernel{i}", [1, 3])) for i in (1, 2)}
        return (1, 8, 8), {**convs, "head": Classifier(8, 10)}
    width = choose("width", [8, 16])
    return (1, 8, 8), {"conv1": Conv(1, width), "head": Classifier(width, 10)}


SPACES: dict[str, AnySpace] = {
    **SMALL,
    "shapes that follow a knob": space_of(
        {"name": "s1", "op": "conv", "width": 8, "kernel": [1, 2], "depth": [1, 3], "per": "stage"}, mb("s2", stride=2)
    ),
    "one choice for depth and knob": space_of(
        mb(kernel=[3, 5], depth="$n", expand="$n"), mb("s2", se=[False, True]), choices={"n": [1, 2]}
    ),
    "deeper by a shared choice, then wider": space_of(
        mb(depth="$n"), mb("s2", width="$w", depth="$n"), choices={"n": [1, 3], "w": [8, 16]}
    ),
    "function": FunctionSpace("two_paths", two_paths),
}
