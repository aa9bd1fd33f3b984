"""Features: inputs of a predictor for each network of a population."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwnas.errors import PredictionError
from hwnas.population import Codebook, Codes

Floats: TypeAlias = NDArray[np.float64]
Table: TypeAlias = NDArray[np.float32]

COSTS = ("costs/log params", "costs/log macs", "costs/params", "costs/macs")
SCALING_NETWORKS = 512
"""Networks of the space by whose spread columns are made comparable."""
RARE = 0.1
"""A column that varies less than this share of its range is seldom other than usual: it is not blown up further."""


@final
@dataclass(frozen=True, eq=False)
class Features:
    """Columns in groups: choices, traits of operators (`Operator.traits`), costs, and scores that are handed in.

    Equal networks have equal features. Columns are centred and divided by their spread over random networks, so that
    those of a group are comparable.
    """

    codebook: Codebook
    names: tuple[str, ...]
    """(columns,) each as `group/name`."""
    traits: tuple[str, ...]
    scores: tuple[Floats, ...]
    """For each score its sorted known values, among which it is ranked."""
    center: Floats
    scale: Floats
    _met: list[Floats] = field(default_factory=list)
    """One array: the sums of each link, of the links seen so far."""

    @property
    def groups(self) -> NDArray[np.intp]:
        """(columns,) the number of each column's group."""
        known = list(dict.fromkeys(map(_group, self.names)))
        return np.array([known.index(_group(name)) for name in self.names], dtype=np.intp)

    def __call__(self, codes: Codes, scores: ArrayLike | None = None) -> Table:
        """(networks, columns) features.

        Args:
            codes: (networks, choices), as of the codebook.
            scores: (networks, scores) what else is known of them, such as training-free scores; NaN where it is not.

        Raises:
            PredictionError: there are other scores than the features were made with.
        """
        raw = self._raw(codes, scores)
        raw -= self.center
        raw /= self.scale
        return raw.astype(np.float32)

    def _raw(self, codes: Codes, scores: ArrayLike | None) -> Floats:
        codes = self.codebook.canonical(codes)
        table = np.empty((len(codes), 0)) if scores is None else np.asarray(scores, dtype=np.float64)
        if table.shape != (len(codes), len(self.scores)):
            raise PredictionError(
                f"scores of shape {table.shape} are given for {len(codes)} networks",
                where="features",
                allowed=f"They were made with {len(self.scores)} scores of each network",
                do="Hand in the same scores, NaN where one is not known",
            )
        sums = self.codebook.total(codes, self._told(codes))
        parts = [_choices(self.codebook, codes), np.log(sums[:, :2] + 1), sums]
        parts += [_ranked(column, known) for column, known in zip(table.T, self.scores, strict=True)]
        return np.hstack(parts)

    def _told(self, codes: Codes) -> Floats:
        """(links, 2 + traits) parameters, multiply-adds and traits of each link that is known by now."""
        from hwnas.ops.costs import operator_sums

        self.codebook.meet(codes)
        column = {name: index for index, name in enumerate(self.traits)}
        links, stored = self.codebook.links, self._met.pop() if self._met else np.empty((0, 2 + len(column)))
        rows = np.zeros((len(links) - len(stored), 2 + len(column)))
        for row, (operator, shape) in zip(rows, links[len(stored) :], strict=True):
            row[:2] = operator_sums(operator, shape)
            for name, value in operator.traits.items():
                if name in column:
                    row[2 + column[name]] = value
        self._met.append(np.concatenate([stored, rows]) if len(rows) else stored)
        return self._met[0]


def features_of(codebook: Codebook, scores: ArrayLike | None = None, *, seed: int = 0) -> Features:
    """The features of a space's networks.

    Args:
        codebook: of the space.
        scores: (any number of networks, scores) known values, NaN where there is none; scores are given by their ranks
            among them.
        seed: of the random networks by which columns are scaled.
    """
    reference = codebook.draw(SCALING_NETWORKS, np.random.default_rng(seed))
    codebook.meet(reference)
    seen = dict.fromkeys(name for operator, _ in codebook.links for name in operator.traits)
    traits = tuple(sorted(seen, key=_group))
    values = np.empty((0, 0)) if scores is None else np.asarray(scores, dtype=np.float64)
    known = tuple(np.sort(column[np.isfinite(column)]) for column in values.T)
    choices = [f"choices/{c.name}={option}" for c in codebook.choices for option in c.options]
    score_names = [f"scores/{what} {number}" for number in range(len(known)) for what in ("rank", "missing")]
    names = (*choices, *COSTS, *traits, *score_names)
    plain = Features(codebook, names, traits, known, np.zeros(len(names)), np.ones(len(names)))
    raw = plain._raw(reference, np.full((len(reference), len(known)), np.nan))
    center, scale = raw.mean(axis=0), np.maximum(raw.std(axis=0), RARE * np.ptp(raw, axis=0))
    center[len(names) - len(score_names) :], scale[scale == 0] = 0.0, 1.0
    return replace(plain, center=center, scale=scale)


def _group(name: str) -> str:
    return name.partition("/")[0]


def _choices(codebook: Codebook, codes: Codes) -> Floats:
    """Return one column for each option of each choice, all 0 where the choice is not active."""
    sizes = [len(choice.options) for choice in codebook.choices]
    column = np.repeat(np.arange(len(sizes)), sizes)
    option = np.concatenate([np.empty(0, np.intp), *(np.arange(size) for size in sizes)])
    taken: Floats = ((codes[:, column] == option) & codebook.active(codes)[:, column]).astype(np.float64)
    return taken


def _ranked(column: Floats, known: Floats) -> Floats:
    """(networks, 2) Gaussian score of the rank among known values, 0 where there is none, and whether there is none."""
    from scipy.special import ndtri

    missing = ~np.isfinite(column)
    below = np.searchsorted(known, column, "left") + np.searchsorted(known, column, "right")
    scores = ndtri(np.clip((below + 1) / (2 * len(known) + 2), 1e-6, 1 - 1e-6))
    return np.column_stack([np.where(missing, 0.0, scores), missing])
