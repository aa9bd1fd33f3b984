"""A space file: a list is a choice, a scalar is a decision already made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import did_you_mean
from hwnas.io.yaml import read_yaml
from hwnas.space.architecture import Value
from hwnas.space.canonical import Canonical
from hwnas.space.inputs import AXIS, SHORT_FORM, read_input
from hwnas.space.space import Space
from hwnas.space.stage import Block, Knob, Stage
from hwnas.space.values import known_keys, name_of, options_of, refuse_unordered, space_error, told, whole
from hwnas.tasks import WIDTH_KEYS, Task, task_of
from hwnas.user_code import named, plugin_files

_SPACE_KEYS = ("name", "source", "plugins", "notation", "canonical", "task", "input", "choices", "blocks", "stages")
_STAGE_KEYS = ("name", "op", "depth", "width", "stride", "per")
MOST_LAYERS = 10_000
"""Most layers of the largest network: more would be a typing error, and take minutes to refuse."""


def read_space(path: Path, *, task: Task | None = None) -> Space:
    """Return the space in a YAML file.

    Args:
        path: the file.
        task: takes the place of the space's own, which is not looked at then.

    Returns:
        The space; `check_space` checks that its networks can be built.

    Raises:
        SpaceError: with the file, the stage and the knob in question.
        ConfigError: the file is missing or is not YAML.

    Example:
        >>> from hwnas.io.resources import find_file
        >>> space = read_space(find_file("digits", "search_spaces"))
        >>> space.name, len(space.stages)
        ('digits', 4)
    """
    return parse_space(read_yaml(path), where=str(path), base=path.parent, task=task)


def parse_space(raw: Mapping[str, Any], *, where: str, base: Path | None = None, task: Task | None = None) -> Space:
    """Return the space that a mapping describes.

    Args:
        raw: content of a space's YAML file.
        where: source of the mapping, for errors.
        base: folder that paths in the mapping begin at; the current one if left out.
        task: takes the place of the space's own, which is not looked at then.

    Returns:
        The space; `check_space` checks that its networks can be built.

    Raises:
        SpaceError: a key or a value is missing, unknown or not allowed.
        ConfigError: a file that the mapping names cannot be read.

    Example:
        >>> stages = [{"name": "stem", "op": "conv", "width": [4, 16]}, {"name": "head", "op": "classifier"}]
        >>> raw = {"name": "few", "input": {"channels": 1, "resolution": 8}, "classes": 10, "stages": stages}
        >>> parse_space(raw, where="example").count
        2
    """
    known_keys(raw, (*_SPACE_KEYS, *WIDTH_KEYS), where)
    width_key = _width_key(raw, where)
    needed = ("name", "input", width_key, "stages")
    if missing := [key for key in needed if key not in raw]:
        key = "` or `".join(WIDTH_KEYS) if missing[0] == width_key else missing[0]
        allowed = "A space needs name, input, classes or outputs, stages"
        raise space_error(f"the key `{key}` is missing", where, allowed, "Add it")
    if task is None:
        task = task_of(raw.get("task", WIDTH_KEYS[width_key]), base=base or Path(), where=f"{where}: task")
    name = name_of(raw["name"], where)
    reader = _Reader(where, _shared(raw.get("choices", {}), where))
    sizes, tensors = read_input(raw["input"], reader.knob, where)
    blocks = reader.blocks(raw.get("blocks", {}))
    if not isinstance(raw["stages"], Sequence) or isinstance(raw["stages"], str) or not raw["stages"]:
        raise space_error("`stages` is no list of stages", where, "A space has at least one stage", "List the stages")
    _refuse_too_many(len(raw["stages"]), "stages", where)
    stages = tuple(reader.stage(stage, blocks, index) for index, stage in enumerate(raw["stages"], 1))
    _refuse_too_many(sum(max(map(int, stage.depth.options)) for stage in stages), "layers", where)
    names = [stage.name for stage in stages]
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise space_error(f"two stages are named `{twice[0]}`", where, "Stage names are unique", "Rename one")
    if taken := sorted({spec.name for spec in tensors} & set(names)):
        raise space_error(
            f"an input and a stage are named `{taken[0]}`", where, "Their choices would have one name", "Rename one"
        )
    if stages[-1].width is not None:
        raise space_error(
            f"the last stage `{names[-1]}` has a width",
            where,
            f"The last stage is as wide as `{width_key}` says",
            "Remove its `width`",
        )
    _refuse_idle_choices(stages, sizes.values(), where)
    if unused := sorted(set(reader.shared) - reader.used):
        raise space_error(
            f"the choice `{unused[0]}` is used nowhere",
            f"{where}: choices",
            "A choice that decides nothing would make equal networks look different",
            f"Use `${unused[0]}` or remove it",
        )
    return Space(
        name=name,
        input=sizes,
        tensors=tensors,
        width=whole(raw[width_key], where, width_key),
        stages=stages,
        shared=reader.shared,
        source=str(raw.get("source", "")),
        notation=name_of(raw["notation"], where) if "notation" in raw else "",
        plugins=plugin_files(raw.get("plugins", []), base=base or Path(), where=where),
        task=task,
        canonical=_canonical(raw["canonical"], base, where) if "canonical" in raw else None,
    )


def _canonical(raw: Any, base: Path | None, where: str) -> Canonical:
    function: Canonical = named(str(raw), base=base or Path(), where=f"{where}: canonical")
    return function


@dataclass
class _Reader:
    where: str
    shared: dict[str, tuple[Value, ...]]

    def __post_init__(self) -> None:
        self.used: set[str] = set()

    def blocks(self, raw: Any) -> dict[str, Block]:
        where = f"{self.where}: blocks"
        if not isinstance(raw, Mapping):
            raise space_error(
                "`blocks` is no mapping", self.where, "Write `blocks: {label: {op: mbconv, kernel: 3}}`", "Correct it"
            )
        blocks: dict[str, Block] = {}
        for label, spec in raw.items():
            if not isinstance(spec, Mapping) or not isinstance(spec.get("op"), str):
                raise space_error(
                    f"block `{label}` names no operator", where, "A block is `{op: NAME, knob: value}`", "Add `op`"
                )
            knobs = {k: self.knob(v, f"{where}: {label}", k, sharable=False) for k, v in spec.items() if k != "op"}
            _refuse_derived(knobs, f"{where}: {label}")
            blocks[name_of(label, where)] = Block(label, spec["op"], knobs)
        same = {(b.op, tuple(sorted(b.knobs.items()))): b.label for b in blocks.values()}
        if len(same) < len(blocks):
            raise space_error(
                "two blocks are the same", where, "Blocks differ, or equal networks would count twice", "Remove one"
            )
        return blocks

    def stage(self, raw: Any, blocks: Mapping[str, Block], index: int) -> Stage:
        if not isinstance(raw, Mapping) or not {"name", "op"} <= set(raw):
            raise space_error(
                f"stage {index} has no `name` or no `op`",
                self.where,
                "A stage is `{name: s1, op: mbconv, ...}`",
                "Add it",
            )
        where = f"{self.where}: stage `{name_of(raw['name'], f'{self.where}: stage {index}')}`"
        knobs = {k: self.knob(v, where, k) for k, v in raw.items() if k not in _STAGE_KEYS}
        ops = self._ops(raw["op"], blocks, where)
        _refuse_derived(knobs, where)
        _refuse_twice_set({*knobs, *({"stride"} & set(raw))}, ops, where)
        stride, depth = raw.get("stride"), self.knob(raw.get("depth", 1), where, "depth", least=0)
        if (most := max(int(option) for option in depth.options)) > MOST_LAYERS:
            raise space_error(f"`depth` is {most}", where, f"A stage has {MOST_LAYERS:,} layers at most", "Correct it")
        return Stage(
            name=raw["name"],
            blocks=ops,
            depth=depth,
            width=self.knob(raw["width"], where, "width", least=1) if "width" in raw else None,
            stride=None if stride is None else whole(stride, where, "stride"),
            knobs=knobs,
            per_stage=_per_stage(raw.get("per", "layer"), knobs, where),
        )

    def _ops(self, raw: Any, blocks: Mapping[str, Block], where: str) -> tuple[Block, ...]:
        labels = options_of(raw, where, "op")
        return tuple(blocks.get(str(label), Block(str(label), str(label))) for label in labels)

    def knob(self, raw: Any, where: str, name: str, *, least: int | None = None, sharable: bool = True) -> Knob:
        """Return a knob's options; with `least`, whole numbers from there on."""
        if isinstance(raw, str) and raw.startswith("$"):
            if not sharable or raw[1:] not in self.shared:
                raise space_error(
                    f"knob `{name}` refers to `{raw}`",
                    where,
                    did_you_mean(raw[1:], self.shared) if sharable else "A block's own knobs cannot be shared choices",
                    "Declare it under `choices:`" if sharable else "Write the options out",
                )
            self.used.add(raw[1:])
            knob = Knob(self.shared[raw[1:]], raw[1:])
        else:
            knob = Knob(options_of(raw, where, name))
        if least is not None:
            for option in knob.options:
                whole(option, where, name, least)
            refuse_unordered(knob.options, where, name)
        return knob


def _width_key(raw: Mapping[str, Any], where: str) -> str:
    """Return the key that gives the width of the last stage: `classes` or `outputs`."""
    named = [key for key in WIDTH_KEYS if key in raw]
    if len(named) > 1:
        raise space_error(
            "`classes` and `outputs` are both there",
            where,
            "One of them is the width of the last stage",
            "Remove one of them",
        )
    return named[0] if named else next(iter(WIDTH_KEYS))


def _shared(raw: Any, where: str) -> dict[str, tuple[Value, ...]]:
    if not isinstance(raw, Mapping):
        raise space_error("`choices` is no mapping", where, "Write `choices: {name: [option, option]}`", "Correct it")
    for name in raw:
        if name_of(name, f"{where}: choices") in SHORT_FORM or AXIS.fullmatch(name):
            raise space_error(f"a shared choice is named `{name}`", where, "That name is the input's own", "Rename it")
    shared = {name: options_of(options, f"{where}: choices", name) for name, options in raw.items()}
    for name, options in shared.items():
        if circle := [option for option in options if isinstance(option, str) and option.startswith("$")]:
            raise space_error(
                f"the choice `{name}` refers to `{circle[0]}`",
                f"{where}: choices",
                "Choices hold options, never each other",
                "Write the options out",
            )
    return shared


def _refuse_too_many(count: int, what: str, where: str) -> None:
    if count > MOST_LAYERS:
        raise space_error(
            f"the largest network has {count:,} {what}", where, f"It has {MOST_LAYERS:,} layers at most", "Correct it"
        )


def _refuse_derived(knobs: Mapping[str, Knob], where: str) -> None:
    for name, do in (("in_channels", "Remove it"), ("out_channels", "Write `width` in the stage")):
        if name in knobs:
            raise space_error(
                f"`{name}` is set", where, "It follows from the widths of this stage and the one before", do
            )


def _refuse_twice_set(knobs: set[str], blocks: Sequence[Block], where: str) -> None:
    for block in blocks:
        if twice := sorted(knobs & set(block.knobs)):
            raise space_error(
                f"`{twice[0]}` is set by the stage and by its block `{block.label}`",
                where,
                "A knob is set in one place",
                "Remove one of them",
            )


def _refuse_idle_choices(stages: Sequence[Stage], sizes: Iterable[Knob], where: str) -> None:
    """Refuse stages that are always empty, and choices that an empty stage would leave without effect."""
    present = [knob for stage in stages if not stage.may_be_empty for knob in stage.stage_knobs.values()]
    always = {knob.shared for knob in (*sizes, *present, *(stage.depth for stage in stages))}
    for stage in stages:
        at = f"{where}: stage `{stage.name}`"
        if stage.depth.options == (0,):
            raise space_error(
                "the stage never has a layer", at, "A depth above 0 is among the options", "Remove the stage"
            )
        if not stage.may_be_empty:
            continue
        if stage is stages[-1]:
            raise space_error("the last stage may be empty", at, "It gives the outputs", "Leave 0 out of its `depth`")
        for name, knob in stage.stage_knobs.items():
            if len(knob.options) > 1 and (knob.shared is None or knob.shared not in always):
                raise space_error(
                    f"`{name}` is open once for a stage that may be empty",
                    at,
                    "Without layers it would decide nothing, and equal networks would look different",
                    f"Decide `{name}`, or share a choice with a stage that is never empty",
                )


def _per_stage(raw: Any, knobs: Mapping[str, Knob], where: str) -> frozenset[str]:
    if raw in ("layer", "stage"):
        return frozenset(knobs) if raw == "stage" else frozenset()
    if isinstance(raw, Mapping):
        for knob, per in raw.items():
            if knob not in knobs or per not in ("layer", "stage"):
                raise space_error(
                    f"`per: {{{knob}: {per}}}` names no knob or no level",
                    where,
                    did_you_mean(str(knob), knobs),
                    "Write `per: {KNOB: stage}` or `per: {KNOB: layer}`",
                )
        return frozenset(knob for knob, per in raw.items() if per == "stage")
    raise space_error(
        f"`per: {told(raw)}` is not understood",
        where,
        "`per` is layer, stage, or {KNOB: layer | stage}",
        "Correct it",
    )
