"""The search problem of a pair: networks of one space, each as fast as its best cut over the pair's link makes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.codecs import BoundaryCodec, InputCodec
from hwnas.collaborate.cuts import part_time
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.collaborate.plan import Candidate, PlanAccuracy
from hwnas.collaborate.population_cuts import CutSetting, PopulationCuts, population_cuts
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.config.links import PairConfig
from hwnas.pareto import Limit, Tier
from hwnas.population import Codes
from hwnas.problem.cost_models import CostModels
from hwnas.problem.plans.drafts import NUMBER_BYTES, network_answer_bytes
from hwnas.problem.population_costs import cost_functions
from hwnas.search.surrogate.candidates import PerNetwork
from hwnas.space import Architecture
from hwnas.tasks.ends import elements_of, is_plain
from hwnas.workspace.links import link_of
from hwnas.workspace.workspace import Workspace

DRAWS = 400
"""States of the link over which latencies of requests are computed: the 99 % quantile lies among four of them."""


@dataclass(frozen=True, eq=False)
class PairProblem:
    """A pair of a run: the latency of each network's requests with its best cut, and the plan that this is.

    Args:
        run: the run.
        name: of the pair.
        cost_models: tables and models, by set-up.
    """

    run: Workspace
    name: str
    cost_models: Mapping[str, CostModels]

    @property
    def config(self) -> PairConfig:
        """The pair in the experiment."""
        return self.run.experiment.pairs[self.name]

    @property
    def tier(self) -> Tier:
        """Objectives: accuracy, and the latency of a request."""
        return self.run.objectives.tier(self.name)

    @property
    def metric(self) -> str:
        """Metric of that latency, such as `request_ms@site:p95`."""
        return self.tier.costs[0].metric

    @property
    def sides(self) -> tuple[CostModels, CostModels]:
        """Costs on the edge's set-up and on the cloud's."""
        tiers = self.run.experiment.tiers
        return self.cost_models[tiers[self.config.edge].setup], self.cost_models[tiers[self.config.cloud].setup]

    @cached_property
    def link(self) -> LinkModel:
        """The link."""
        return pair_link(self.run, self.name)

    @cached_property
    def digest(self) -> str:
        """Eight digits of all that the latencies follow from."""
        sides = [costs.digest for costs in self.sides]
        limits = [str(limit) for limits in self._limits for _, limit in limits]
        parts = [sides, limits, self.link.describe(), self.config.boundary, self._setting.input_bytes, DRAWS]
        return hashlib.sha256(json.dumps([*parts, self.run.experiment.seed]).encode()).hexdigest()[:8]

    def request_ms(self, codes: Codes) -> NDArray[np.float64]:
        """Return (networks,) latencies of a request with each network's best cut; infinity where none is allowed."""
        least: NDArray[np.float64] = self.cuts(codes).ms.min(axis=1)
        return least

    def cascade_ms(self, cascade: Candidate) -> float:
        """Return the latency of a cascade's requests, of which the edge answers some: the same quantile over the same
        states of the link."""
        content = np.asarray(float(cascade.sent_bytes.mean()) + HTTP_BYTES)
        ways = self._draws.transfer(content, np.asarray(float(cascade.answer_bytes + HTTP_BYTES))).total
        escalated_ms, quantile = cascade.encode_ms + ways + cascade.tail.ms, self.config.quantile
        if quantile is None:
            return float(cascade.head.ms + cascade.escalated * escalated_ms.mean())
        late = (1 - quantile) / cascade.escalated if cascade.escalated else 1.0
        return float(cascade.head.ms + (0.0 if late >= 1 else np.quantile(escalated_ms, 1 - late)))

    def score(self, architecture: Architecture) -> float:
        """Return the latency of a request of one network."""
        return float(self.request_ms(self.run.codebook.encode([architecture]))[0])

    def cuts(self, codes: Codes) -> PopulationCuts:
        """Return the latencies of all cuts; infinity where a network that runs whole breaks that tier's limits."""
        edge, cloud = (costs.model for costs in self.sides)
        cuts = population_cuts(self.run.codebook, codes, edge, cloud, self._draws, self._setting)
        on_edge, in_cloud = self.whole(codes)
        ends, last = cuts.operators == cuts.operators[:, -1:], cuts.operators.shape[1] - 1
        ends &= np.arange(last + 1) != last  # an empty slot at the end is no cut: all is done
        refused = ends | ((cuts.operators == 0) & ~in_cloud[:, None])
        refused[:, last] |= ~on_edge
        return PopulationCuts(np.where(refused, np.inf, cuts.ms), cuts.operators)

    def whole(self, codes: Codes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return (networks,) true if a network holds the limits of the edge's tier, and of the cloud's."""
        edge, cloud = (_within(limits, codes) for limits in self._limits)
        return edge, cloud

    def candidate(self, architecture: Architecture, accuracy: PlanAccuracy) -> Candidate:
        """Return a network with its best cut as a plan to be predicted."""
        network, cuts = self.run.network(architecture), self.cuts(self.run.codebook.encode([architecture]))
        count, cut = len(network.operators), int(cuts.operators[0, cuts.best[0]])
        edge, cloud = (costs.model for costs in self.sides)
        key, answer = architecture.key, network_answer_bytes(network)
        head, tail = part_time(edge, network, 0, cut), part_time(cloud, network, cut, count)
        if cut == count:
            latency = {"latency": f"predicted from {edge.origin}"}
            return Candidate("edge_only", accuracy, edge=key, head=head, escalated=0.0, origins=latency)
        if cut == 0:
            sent = np.array([float(self._setting.input_bytes)])
            latency = {"latency": f"predicted from {cloud.origin}"}
            return Candidate(
                "cloud_only",
                accuracy,
                cloud=key,
                codec="raw",
                tail=tail,
                sent_bytes=sent,
                answer_bytes=answer,
                origins=latency,
            )
        latency = {"latency": f"head predicted from {edge.origin}; tail predicted from {cloud.origin}"}
        body = float(self._setting.boundary_bytes(network.shapes[cut]))
        return Candidate(
            "split",
            accuracy,
            edge=key,
            cloud=key,
            cut=cut,
            codec=self.config.boundary,
            head=head,
            tail=tail,
            sent_bytes=np.array([body]),
            answer_bytes=answer,
            origins=latency,
            extras={"boundary": list(network.shapes[cut])},
        )

    # --- parts ---

    @cached_property
    def _draws(self) -> LinkDraws:
        return self.link.quick_draws(self.run.experiment.seed, DRAWS)

    @cached_property
    def _setting(self) -> CutSetting:
        smallest, codec = self.run.network(self.run.space.smallest()), BoundaryCodec(self.config.boundary)
        number = NUMBER_BYTES[codec.precision]
        return CutSetting(
            lambda shape: codec.format(shape).body_bytes(elements_of(shape) * number),
            _input_bytes(self.run),
            network_answer_bytes(smallest),
            self.config.quantile,
        )

    @cached_property
    def _limits(self) -> tuple[list[tuple[PerNetwork, Limit]], ...]:
        """Limits of the edge's tier and of the cloud's, those on accuracy left out, with what they limit."""
        both = []
        for tier in (self.config.edge, self.config.cloud):
            known, quality = cost_functions(self.run, tier, self.cost_models), self.tier.quality.metric
            limits = self.run.objectives.tier(tier).limits
            both.append([(known[limit.metric], limit) for limit in limits if limit.metric != quality])
        return tuple(both)


def pair_link(run: Workspace, name: str) -> LinkModel:
    """Return the link of a pair.

    Raises:
        ConfigError: there is no such link, or it cannot be read.
    """
    where = f"experiment `{run.experiment.name}`: pairs.{name}.link"
    return link_of(run.experiment.pairs[name].link, run.experiment, run.base, where=where)


def _input_bytes(run: Workspace) -> int:
    """Return the bytes of a request's body with a sample as it is stored; without data, of the largest network's input
    with one byte a number."""
    if run.experiment.data is None or not is_plain(run.dataset.train.inputs.shape):
        count = elements_of(run.network(run.space.largest()).input_shape)
        return InputCodec("raw").format((count,), "uint8").body_bytes(count)
    split = run.dataset.train
    sample = split.inputs.take(split.indices[:1])[0].numpy()
    return InputCodec("raw").format(sample.shape, str(sample.dtype)).body_bytes(sample.nbytes)


def _within(limits: Sequence[tuple[PerNetwork, Limit]], codes: Codes) -> NDArray[np.bool_]:
    """Return (networks,) true if a network holds all limits; one without a number holds none."""
    inside = np.ones(len(codes), dtype=np.bool_)
    for values, limit in limits:
        known = np.asarray(values(codes), dtype=np.float64)
        inside &= known <= limit.bound if limit.side == "most" else known >= limit.bound
    return inside
