"""Common part of notations of lists by key: an entry of a list decides one choice, or repeats a fixed decision."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.errors import SpaceError, did_you_mean
from hwnas.space import Architecture, Choice, Knob, Space, Stage, Value

FACTS = frozenset({"params", "macs", "flops"})
"""Keys that projects write beside an architecture; their values follow from it and are not read."""


@dataclass(frozen=True)
class Entry:
    """One entry of a list."""

    choice: str
    """The choice that it decides, by name; the name of none where only one option is allowed."""
    meanings: Mapping[Value, Value]
    """Meaning of each value, small to large; of values that stand for one option the first is written."""

    @classmethod
    def of(cls, choice: str, knob: Knob) -> Entry:
        """An entry that holds the options themselves."""
        return cls(choice, dict(zip(knob.options, knob.options, strict=True)))

    @classmethod
    def index(cls, choice: str, options: Sequence[Value]) -> Entry:
        """An entry that holds an option's place, from 0; options may repeat."""
        return cls(choice, dict(enumerate(options)))


@dataclass(frozen=True)
class Lists:
    """The form of a space's architectures: `{key: [entry, ...]}`."""

    entries: Mapping[str, Sequence[Entry]]
    scalars: frozenset[str]
    """Keys that hold their one entry as it is; a list of one is read as well."""
    optional: int = 0
    """So many entries at the end of each list may be left out; they then mean the largest."""

    def read(self, space: Space, raw: Any, where: str) -> Architecture:
        """The architecture of a mapping in this form."""
        if not isinstance(raw, Mapping):
            raise _error(f"`{type(raw).__name__}` is no architecture", where, self._form())
        for key in raw:
            if key not in self.entries and key not in FACTS:
                raise _error(f"unknown key `{key}`", where, did_you_mean(str(key), self.entries))
        decided: dict[str, Value] = {}
        wrong: dict[str, SpaceError] = {}
        for key, entries in self.entries.items():
            for index, (entry, value) in enumerate(zip(entries, self._held(raw, key, where), strict=True)):
                if _plain(value) and value in entry.meanings:
                    decided[entry.choice] = entry.meanings[value]
                else:
                    at = f"`{key}`" if key in self.scalars else f"`{key}`, entry {index + 1}"
                    wrong[entry.choice] = _error(
                        f"`{_shown(value)}` is no option of {at}",
                        where,
                        f"Options: {', '.join(map(_shown, entry.meanings))}",
                    )

        def pick(choice: Choice) -> Value:
            if choice.name in wrong:  # of a layer that is there: what the others hold means nothing
                raise wrong[choice.name]
            return decided[choice.name]

        architecture = space.sample(pick)
        open_choices = {choice.name for choice in space.choices}
        for name, error in wrong.items():
            if name not in open_choices and _is_there(name, space, architecture):
                raise error
        return architecture

    def write(self, space: Space, architecture: Architecture) -> dict[str, Any]:
        """The architecture in this form; an entry of a layer that is not there holds its smallest value."""
        picks = dict(architecture.picks)

        def written(entry: Entry) -> Value:
            option = picks.get(entry.choice, next(iter(entry.meanings.values())))
            return next(value for value, meant in entry.meanings.items() if meant == option)

        lists = {key: [written(entry) for entry in entries] for key, entries in self.entries.items()}
        return {key: values[0] if key in self.scalars else values for key, values in lists.items()}

    def _held(self, raw: Mapping[str, Any], key: str, where: str) -> Sequence[Any]:
        """A value for each entry of a key."""
        entries = self.entries[key]
        largest = [list(entry.meanings)[-1] for entry in entries]
        if key not in raw:
            if all(len(entry.meanings) == 1 for entry in entries):
                return largest
            raise _error(f"the key `{key}` is missing", where, self._form())
        values = raw[key] if isinstance(raw[key], list) else [raw[key]] * len(entries)  # one value stands for all
        least = len(entries) if key in self.scalars else len(entries) - self.optional
        if not least <= len(values) <= len(entries):
            allowed = " or ".join(map(str, sorted({least, len(entries)})))
            raise _error(f"`{key}` holds {entries_of(values)}", where, f"It holds {allowed} for this space")
        return [*values, *largest[len(values) :]]

    def _form(self) -> str:
        return f"The form is {{{', '.join(k if k in self.scalars else f'{k}: [...]' for k in self.entries)}}}"


def covering(space: Space, lists: Lists) -> Lists:
    """The lists, if they decide every choice of the space.

    Raises:
        SpaceError: the space has a choice that its notation does not cover.
    """
    known = {entry.choice for entries in lists.entries.values() for entry in entries}
    for choice in space.choices:
        if choice.name not in known:
            raise SpaceError(
                f"the choice `{choice.name}` has no place in the notation `{space.notation}`",
                where=f"space `{space.name}`",
                allowed=f"It decides {', '.join(sorted(known)[:6])} and the like",
                do="Make it no choice, or remove `notation` from the space",
            )
    return lists


def layer_entries(stage: Stage, knob: str) -> list[Entry]:
    """An entry for the knob of every layer that a stage can have."""
    layers = range(1, max(map(int, stage.depth.options)) + 1 if knob in stage.knobs else 1)
    return [Entry.of(f"{stage.name}.{layer}.{knob}", stage.knobs[knob]) for layer in layers]


def stage_entries(stages: Sequence[Stage], knob: str) -> list[Entry]:
    """An entry for the knob of every stage that has it and decides it once."""
    return [Entry.of(f"{stage.name}.{knob}", stage.knobs[knob]) for stage in stages if knob in stage.per_stage]


def entries_of(held: Sequence[Any]) -> str:
    """Return the number of entries, in words."""
    return f"{len(held)} {'entry' if len(held) == 1 else 'entries'}"


def _shown(value: Any) -> str:
    """Return the value as JSON writes it, so that a word in quotes differs from a number."""
    return json.dumps(value)


def _is_there(name: str, space: Space, architecture: Architecture) -> bool:
    """Return whether the layer of `stage.layer.knob` is in the network; a choice of a stage or the input always is."""
    stage, _, rest = name.partition(".")
    layer = rest.partition(".")[0]
    slots = {layer.slot for layer in space.blueprint(architecture).layers}
    return not layer.isdigit() or f"{stage}_{layer}" in slots


def _plain(value: Any) -> bool:
    """Return whether it is a number or a word: JSON's true is not 1, and a list cannot be looked up."""
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _error(problem: str, where: str, allowed: str) -> SpaceError:
    return SpaceError(problem, where=where, allowed=allowed, do="Correct the architecture, or name the space it is of")
