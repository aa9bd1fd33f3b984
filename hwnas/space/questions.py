"""Questions of a walk over a space, worked out once: who decides each knob of each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hwnas.space.architecture import Choice, Value
from hwnas.space.stage import Knob, Layer, Stage

CACHED_LAYERS = 4096
"""Layers of one place that are kept for the next architecture that has them."""


@dataclass(frozen=True)
class Question:
    """Who decides a knob: an open choice, a choice that others share, or nobody, because it has one option."""

    knob: str
    choice: Choice | None
    shared: str | None
    value: Value
    """Value of the knob where no open choice decides it."""


@dataclass(frozen=True)
class Place:
    """One layer of a stage: its questions by block, and the layers that were made of their answers."""

    slot: str
    op: Question
    kinds: Mapping[Value, str]
    """The operator of each block."""
    questions: Mapping[Value, tuple[Question, ...]]
    once: tuple[str, ...]
    """The knobs that are decided for the whole stage."""
    stride: int | None
    made: dict[tuple[Value | tuple[Value, ...], ...], Layer] = field(default_factory=dict, compare=False)

    def layer(self, label: Value, once: tuple[Value, ...], own: tuple[Value, ...]) -> Layer:
        """Return the layer that these answers make; equal answers get the same object."""
        made = self.made.get((label, once, own))
        if made is None:
            knobs = dict(zip(self.once, once, strict=True))
            knobs |= {question.knob: value for question, value in zip(self.questions[label], own, strict=True)}
            if self.stride is not None:
                knobs["stride"] = self.stride
            if len(self.made) >= CACHED_LAYERS:
                self.made.clear()
            made = self.made[label, once, own] = Layer(self.slot, self.kinds[label], knobs)
        return made


@dataclass(frozen=True)
class StageQuestions:
    """Questions asked once for a stage, then those for each of its layers."""

    once: tuple[Question, ...]
    depth: Question
    layers: tuple[Place, ...]


@dataclass(frozen=True)
class Questions:
    """The whole walk, in order."""

    input: tuple[Question, ...]
    stages: tuple[StageQuestions, ...]

    @classmethod
    def of(
        cls, sizes: Mapping[str, Knob], stages: Sequence[Stage], width: int, choices: Mapping[str, Choice]
    ) -> Questions:
        """Return the walk of a space with these sizes of the input, and open choices by name.

        The last stage is `width` wide.
        """

        def question(name: str, knob: Knob, key: str = "") -> Question:
            choice = choices.get(name) if knob.shared is None else None
            return Question(key or name.rpartition(".")[2], choice, knob.shared, knob.options[0])

        def place(stage: Stage, index: int, once: tuple[str, ...]) -> Place:
            slot = f"{stage.name}.{index}"
            own = [
                question(f"{slot}.{name}", knob) for name, knob in stage.knobs.items() if name not in stage.per_stage
            ]
            return Place(
                slot=f"{stage.name}_{index}",
                op=question(f"{slot}.op", Knob(tuple(block.label for block in stage.blocks))),
                kinds={block.label: block.op for block in stage.blocks},
                questions={
                    block.label: (*(question(f"{slot}.{block.label}.{n}", k) for n, k in block.knobs.items()), *own)
                    for block in stage.blocks
                },
                once=once,
                stride=stage.stride if index == 1 else None,
            )

        def stage_questions(stage: Stage) -> StageQuestions:
            once = [question(f"{stage.name}.{name}", stage.knobs[name]) for name in sorted(stage.per_stage)]
            if stage.width is not None:
                once.append(question(f"{stage.name}.width", stage.width, "out_channels"))
            elif stage is stages[-1]:
                once.append(Question("out_channels", None, None, width))
            names = tuple(one.knob for one in once)
            places = (place(stage, index, names) for index in range(1, max(map(int, stage.depth.options)) + 1))
            return StageQuestions(tuple(once), question(f"{stage.name}.depth", stage.depth), tuple(places))

        return cls(
            tuple(question(name, knob, name) for name, knob in sizes.items()), tuple(map(stage_questions, stages))
        )
