"""Order of the channels of a network of the user's: found once on training data, kept in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import Experiment
from hwnas.errors import ConfigError, SpaceError, TrainingError, raised
from hwnas.opened.build import OpenedBuild
from hwnas.opened.channel_scores import ChannelScores, read_scores
from hwnas.space import AnySpace, FunctionSpace
from hwnas.workspace.progress import Reporter, default_reporter

if TYPE_CHECKING:
    from hwnas.data import Dataset, Split

IMPORTANCE_SAMPLES = 512
BATCH_SIZE = 32
FEWEST_SAMPLES = 64


def stored_order(space: AnySpace, file: Path) -> AnySpace:
    """Return the space with the order of channels that a run's file keeps, if it is there."""
    build = _build(space)
    if build is None or build.source.scores is not None or build.source.importance in (None, "l1"):
        return space
    with suppress(SpaceError):
        scores = read_scores(file)
        if scores.kind == build.source.importance:
            return _sorted(space, build, scores)
    return space


def order_channels(
    space: AnySpace, experiment: Experiment, data: Callable[[], Dataset], reporter: Reporter | None
) -> AnySpace:
    """Return the space of a run with its channels sorted by their importance on training data, where they are to be.

    Raises:
        ConfigError: the run has no data or too little, though an importance is named that needs some.
        TrainingError: the network does not run on them.
    """
    build = _build(space)
    if build is None or build.source.scores is not None or build.source.importance in (None, "l1"):
        return space
    if experiment.data is None:
        raise ConfigError(
            f"`importance: {build.source.importance}` looks at data, but none is named",
            where=f"experiment `{experiment.name}`: space",
            allowed="`l1` looks at weights alone",
            do="Add `data`, or write `importance: l1`",
        )
    kind = build.source.importance
    if (count := len(train := data().train)) < FEWEST_SAMPLES:
        raise ConfigError(
            f"`importance: {kind}` looks at training samples, and there are {count}",
            where=f"experiment `{experiment.name}`: data",
            allowed=f"{FEWEST_SAMPLES} or more, of all kinds that the network meets",
            do="Give more data, or write `importance: l1`",
        )
    default_reporter(reporter).info(f"sorting channels by `{kind}` on {IMPORTANCE_SAMPLES} training samples")
    return _sorted(space, build, _scored(space, train, build, kind, experiment.seed))


def _scored(space: AnySpace, train: Split, build: OpenedBuild, kind: str, seed: int) -> ChannelScores:
    import torch

    from hwnas.data.batches import batches
    from hwnas.network import lower
    from hwnas.opened.importance import scores_on_data
    from hwnas.opened.source import module_of

    network = build.network
    module, shape = module_of(build.source)
    groups = [channels.group for channels in network.groups.values() if channels.closed is None]
    generator = torch.Generator().manual_seed(seed)
    drawn = islice(batches(train, BATCH_SIZE, generator=generator), max(1, IMPORTANCE_SAMPLES // BATCH_SIZE))
    task = train.fit(lower(space, space.largest()).task)
    try:
        return scores_on_data(module, shape, groups, kind, drawn, task)
    except Exception as error:  # of the user's module
        raise TrainingError(
            f"the importance of channels cannot be found on training data ({raised(error)})",
            where=f"{build.source.where}: importance {kind}",
            allowed="The network runs on the data, and its loss has gradients",
            do="Correct the module or the data, or write `importance: l1` in the space",
        ) from error


def _build(space: AnySpace) -> OpenedBuild | None:
    build = space.build if isinstance(space, FunctionSpace) else None
    return build if isinstance(build, OpenedBuild) else None


def _sorted(space: AnySpace, build: OpenedBuild, scores: ChannelScores) -> AnySpace:
    source = replace(build.source, importance=scores.kind, scores=scores)
    assert isinstance(space, FunctionSpace)
    return replace(space, build=replace(build, source=source))
