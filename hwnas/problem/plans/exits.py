"""Exits at cuts of a run's networks: trained on frozen features, and paired with the rest of the same network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwnas.collaborate.cascades import Answers, Pair
from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.collaborate.cuts import PartTime
from hwnas.collaborate.learned.exits import exit_features, exit_logits, fit_exit
from hwnas.collaborate.plan import Candidate
from hwnas.latency.posterior import Floats
from hwnas.network import Network
from hwnas.problem.plans.candidates import Enumeration
from hwnas.problem.plans.samples import HeldOutSamples
from hwnas.problem.plans.sides import Side
from hwnas.search.fronts import FrontPoint
from hwnas.tasks.classification import Classification
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST_CUTS = 10
"""Cuts of a network that get an exit, evenly spread."""
TRAINING_SAMPLES = 10_000
FEATURE_BATCH = 512
CODEC = BoundaryCodec("int8")


@dataclass
class ExitEnumeration(Enumeration):
    """Candidates of a run, exits at cuts among them."""

    def further_pairs(self) -> list[tuple[Pair, Candidate, Candidate]]:
        """Return the exits of the network of each front that answers most validation samples right."""
        if self.samples is None or self.edge.model is None or self.cloud.model is None:
            return []
        best_points = {}
        for side in (self.cloud, self.edge):
            best = max(side.points.values(), key=lambda point: self._setting_score(side, point))
            best_points[best.architecture.key] = side, best
        return [one for side, point in best_points.values() for one in self._exits_of(side, point)]

    def _setting_score(self, side: Side, point: FrontPoint) -> float:
        assert self.samples is not None
        answers = self.samples.whole(side, point.architecture)
        return float(answers.scores[self.samples.parts.setting].mean())

    def _exits_of(self, side: Side, point: FrontPoint) -> Iterator[tuple[Pair, Candidate, Candidate]]:
        assert self.samples is not None
        network, samples = self._network(point.architecture), self.samples
        last = self._time(self.edge, point, len(network.operators) - 1, len(network.operators))
        for cut, answers in exit_answers(samples, side, point).items():
            codec = samples.fitted_codec(side, point.architecture, cut, CODEC)
            split = self._split(side, point, network, cut, codec)
            split = self._judged_split(split, side, point, codec)
            parts = split.head, last
            ms, doubt, noise = (sum(getattr(part, name) for part in parts) for name in PartTime._fields)
            head = PartTime(ms, doubt, noise)
            facts = {"operators": cut, "time": "estimated, that of the network's last operator"}
            rest = samples.cut(side, point.architecture, cut, codec).answers
            alone = replace(split, head=head, head_mj=None)
            yield Pair(answers, rest, samples.parts), alone, replace(split, extras={**split.extras, "exit": facts})


def trained_exit(run: Workspace, network: Network, head: nn.Module) -> Floats:
    """Return the weights of an exit on what a network's head gives, fitted as planning fits them."""
    import torch

    train, features = run.dataset.train.first(TRAINING_SAMPLES), list[Floats]()
    with torch.no_grad():
        for some in torch.split(train.every(), FEATURE_BATCH):
            features.append(exit_features(head(network.task.fitted(some, network.input_shape)).numpy()))
    return fit_exit(np.concatenate(features), train.targets.numpy(), network.costs[-1].output_shape[0])


def exit_answers(samples: HeldOutSamples, side: Side, point: FrontPoint) -> dict[int, Answers]:
    """Return the answers of exits, by the operators before them; the network's weights and statistics stay as they
    are."""
    network = samples.run.network(point.architecture)
    cuts = len(network.operators) - 1
    if cuts < 1 or not isinstance(network.task, Classification):
        return {}
    train = samples.run.dataset.train.first(TRAINING_SAMPLES)
    chosen = sorted({round(at) for at in np.linspace(1, cuts, min(cuts, MOST_CUTS))})
    trained, unseen = (_features(samples, side, point, chosen, some) for some in (train.every(), samples.inputs))
    found = {}
    for cut in chosen:
        weights = fit_exit(trained[cut], train.targets.numpy(), network.costs[-1].output_shape[0])
        logits = exit_logits(weights, unseen[cut]).astype(np.float32)
        origin = f"an exit after operator {cut}, PyTorch in fp32, trained on {len(train):,} samples"
        found[cut] = samples.judged(network, logits, origin)
    return found


def _features(
    samples: HeldOutSamples, side: Side, point: FrontPoint, cuts: Sequence[int], inputs: Tensor
) -> dict[int, Floats]:
    """Return the features at each cut, computed in one pass."""
    import torch

    found: dict[int, list[Floats]] = {cut: [] for cut in cuts}
    for some in torch.split(inputs, FEATURE_BATCH):
        for cut, boundary in enumerate(samples.boundaries(side, point.architecture, some)):
            if cut in found:
                found[cut].append(exit_features(boundary.numpy()))
    return {cut: np.concatenate(parts) for cut, parts in found.items()}
