"""Tiers that list precisions: what their searches propose, and how that is scored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwnas.accuracy import Accuracy
from hwnas.export import format_name_of, format_of
from hwnas.pareto import Tier
from hwnas.problem.fronts.origins import setup_of_point
from hwnas.search.fronts import FrontPoint
from hwnas.search.genome import SearchSpace
from hwnas.search.precision import PrecisionSpace, stored_as
from hwnas.search.precision.assignment import is_mixed
from hwnas.search.score_store import ScoreStore
from hwnas.space import Architecture
from hwnas.workspace.measuring.setups import exporter_for, has_signed_activations, int8_scheme, with_activations
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hwnas.accuracy.int8_accuracy import Int8Accuracy
    from hwnas.network import Network
    from hwnas.tasks.metrics.sums import Sums
    from hwnas.workspace.training.supernets import Trained


def search_space(run: Workspace, tier: str) -> SearchSpace:
    """Return what a tier's search proposes: architectures, or architectures in precisions.

    Raises:
        ConfigError: a choice of the space is called as the gene of the precision.
    """
    precisions = run.experiment.tiers[tier].precisions
    return run.space if precisions is None else PrecisionSpace(run.space, precisions)


def candidates_in(space: SearchSpace, architectures: Iterable[Architecture]) -> tuple[Architecture, ...]:
    """Return architectures as candidates of a search: where it chooses precisions, each in all of them."""
    if not isinstance(space, PrecisionSpace):
        return tuple(architectures)
    return tuple(candidate for one in architectures for candidate in space.candidates(one))


def tier_accuracy(run: Workspace, tier: str, trained: Trained | None, accuracy: Accuracy) -> Accuracy:
    """Return the accuracy of what a tier's search proposes; `accuracy` is that of architectures."""
    precisions = run.experiment.tiers[tier].precisions
    if precisions is None:
        return accuracy
    from hwnas.accuracy.by_precision import AccuracyByPrecision
    from hwnas.accuracy.inherited import InheritedAccuracy
    from hwnas.accuracy.int8_accuracy import Int8Accuracy

    assert isinstance(accuracy, InheritedAccuracy)
    setup, samples = run.experiment.setups[run.experiment.tiers[tier].setup], run.experiment.export.calibration_samples
    int8 = Int8Accuracy(accuracy, format_name_of(setup.runtime), samples)
    if "int8" in precisions and (every := run.experiment.accuracy.file_every) is not None:
        int8 = _checked_by_files(run, tier, int8, every)
    return AccuracyByPrecision({one: int8 if one == "int8" else accuracy for one in precisions}, accuracy)


def _checked_by_files(run: Workspace, tier: str, int8: Int8Accuracy, every: int) -> Int8Accuracy:
    """Return the accuracy in int8 with the real file of one network in so many, run at the desk."""
    from hwnas.accuracy.file_checks import FileChecks
    from hwnas.problem.precision.files import file_statistics

    setup = run.experiment.setups[run.experiment.setups_of(tier)["int8"]]
    activations = "signed" if has_signed_activations(setup) else ""
    if setup.host:
        setup = setup.model_copy(update={"host": None, "accelerator": "cpu", "device": None, "cores": None})

    def file_sums(module: nn.Module, network: Network, ranges: Tensor) -> Sums:
        made = exporter_for(format_of(setup.runtime), setup.batch, "int8", calibration=ranges.numpy())
        exporter = with_activations(made, activations)
        split = int8.fp32.split
        return file_statistics(module, network, split.fit(network.task), split, exporter, setup)

    def earlier() -> list[float]:
        scores = ScoreStore.open(run.folder / "scores.jsonl").scores
        own = [score for score in scores if score.producer == made.producer]
        return [one.value - one.simulated for one in own if one.value is not None and one.simulated is not None]

    made = replace(int8, checks=FileChecks(every, file_sums, earlier))
    return made


def with_paired_counts(
    points: Sequence[FrontPoint], tier: Tier, accuracy: Accuracy, store: ScoreStore
) -> list[FrontPoint]:
    """Return the points with the stored counts of samples on which they differ from themselves in fp32."""
    from hwnas.accuracy.by_precision import producers_of

    counted = []
    for point in points:
        architecture, producer = stored_as(point.candidate, producers_of(accuracy))
        score = store.get(architecture, tier.quality.metric, producer)
        counted.append(point if score is None or score.paired is None else replace(point, paired=score.paired))
    return counted


def quantization_entry(run: Workspace, tier: str, point: FrontPoint, calibration: NDArray[Any]) -> dict[str, Any]:
    """Return what a manifest tells of the integers of a network in int8; nothing of others.

    Args:
        run: the run.
        tier: whose front the network is of.
        point: the network.
        calibration: training inputs that the ranges of activations are taken from.
    """
    entry: dict[str, Any] = {} if point.paired is None else {"paired": point.paired.entry}
    if point.precision == "int8" or is_mixed(point.precision):
        digest = hashlib.sha256(np.ascontiguousarray(calibration).tobytes()).hexdigest()[:8]
        scheme = int8_scheme(run.experiment.setups[setup_of_point(run, tier, point)])
        entry["quantization"] = {"scheme": scheme, "calibration": f"{len(calibration)}x:{digest}"}
    return entry
