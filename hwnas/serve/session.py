"""The network of a server: a model file in its runtime, which answers the contents of requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.errors import DataError, RunError
from hwnas.runtimes import Loaded, open_runtime
from hwnas.serve.bundle import ServedModel
from hwnas.serve.decode import Array, decode

Content = bytes | memoryview
Answers = list[Array | DataError]


@dataclass(frozen=True)
class Session:
    """A model file that is loaded; one call at a time."""

    model: ServedModel
    loaded: Loaded

    @staticmethod
    def open(model: ServedModel) -> Session:
        """Load the file and call it once, so that no request pays for the first call.

        Raises:
            ExportError: the runtime cannot take the file.
            RunError: the file answers in another shape than its plan says.
            MissingExtra: the runtime is not installed.
        """
        runtime = open_runtime(model.runtime, threads=model.threads, precision=model.precision, batch=model.batch)
        loaded = runtime.load(model.path)
        answered = np.asarray(loaded.run(np.zeros((1, *model.input_shape), np.float32)))
        if answered.shape[1:] != model.answer_shape:
            raise RunError(
                f"the file answers in shape {answered.shape[1:]}",
                where=str(model.path),
                allowed=f"Its plan says {model.answer_shape}",
                do="Export the plan again",
            )
        return Session(model, loaded)

    def answer(self, contents: Sequence[Content]) -> tuple[Answers, int]:
        """Return the answer of each request, or its error, and the microseconds that all took together."""
        begun = time.perf_counter_ns()
        answers: Answers = []
        samples: list[Array] = []
        for content in contents:
            try:
                samples.append(decode(self.model, content))
                answers.append(samples[-1])
            except DataError as error:
                answers.append(error)
        if samples:
            outputs = iter(np.asarray(self.loaded.run(np.stack(samples))))
            answers = [one if isinstance(one, DataError) else next(outputs) for one in answers]
        return answers, (time.perf_counter_ns() - begun) // 1000
