"""Accuracy that is learned from the accuracies of a finished run, for all other networks of its space."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from hwnas.accuracy.source import AccuracyContext
from hwnas.errors import ConfigError, HwnasError, RunError
from hwnas.io.regular import resolve_path
from hwnas.population import Codebook, codebook_of
from hwnas.predictors import Features, Predictor, features_of
from hwnas.quantities import Metric
from hwnas.search.score_store import Score, ScoreStore
from hwnas.space import Architecture


@final
@dataclass(frozen=True)
class PredictedAccuracy:
    """Top-1 accuracy, 0 to 1, as a predictor expects it; nothing is trained and no image is looked at."""

    predictor: Predictor
    features: Features
    codebook: Codebook
    producer: str
    """Description of the accuracies that were learned from: equal accuracies of equal networks predict the same."""

    def __call__(self, architecture: Architecture) -> float:
        mean, _ = self.predictor.predict(self.features(self.codebook.encode([architecture])))
        return float(np.clip(mean[0], 0.0, 1.0))


def predicted(ingredients: AccuracyContext) -> PredictedAccuracy:
    """Return a predictor fitted to the store that the experiment names.

    Raises:
        ConfigError: no file is named, it is not there, or it does not hold accuracies of one origin for the space.
        PredictionError: nothing can be learned from them.
    """
    path, metric = _file(ingredients), ingredients.settings.column
    scores = _of_one_origin(ScoreStore.open(path).scores, ingredients.space.name, metric, path)
    codebook = codebook_of(ingredients.space)
    features = features_of(codebook)
    table = features(codebook.encode([score.architecture for score in scores]))
    try:
        predictor = Predictor.fit(table, np.array([score.value for score in scores], dtype=float), features.groups)
    except HwnasError as error:
        raise type(error)(error.met, where=str(path), allowed=error.allowed, do=error.do) from error
    learned = json.dumps([(score.architecture.key, score.value) for score in scores])
    digest = hashlib.sha256(learned.encode()).hexdigest()[:12]
    origin = f"{scores[0].metric} of {len(scores)} networks {digest} by {scores[0].producer}"
    return PredictedAccuracy(predictor, features, codebook, f"predicted {predictor.name} from {origin}")


def _file(ingredients: AccuracyContext) -> Path:
    path = resolve_path(ingredients.settings.file, ingredients.base)
    if not ingredients.settings.file or not path.is_file():
        raise ConfigError(
            f"there is no file `{ingredients.settings.file}`" if ingredients.settings.file else "`file` is missing",
            where="accuracy",
            allowed="`source: predicted` learns from the store of a run: `file: runs/NAME/scores.jsonl`",
            do="Name one",
        )
    return path


def _of_one_origin(scores: Iterable[Score], space: str, metric: str, path: Path) -> list[Score]:
    """Return the accuracies of the space's networks, which must have one origin, or they would not compare."""
    by_origin: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        wanted = score.metric == metric if metric else Metric.parse(score.metric).quantity == "top1"
        if wanted and score.architecture.space == space and score.value is not None:
            by_origin.setdefault((score.metric, score.producer), []).append(score)
    if len(by_origin) != 1:
        listed = "; ".join(f"{len(rows)} of `{name}` by {producer}" for (name, producer), rows in by_origin.items())
        raise RunError(
            f"the store holds accuracies of {len(by_origin)} origins"
            if by_origin
            else "the store holds no such accuracy",
            where=str(path),
            allowed=f"Accuracies of one metric and origin for space `{space}` are learned from, not {listed or 'none'}",
            do="Name the metric as `column`, or another store",
        )
    return next(iter(by_origin.values()))
