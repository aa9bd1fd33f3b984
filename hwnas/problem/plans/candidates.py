"""All plans of two fronts over one link: enumerated by their mean latency, and those worth a prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from hwnas.collaborate.cascades import Answers, Pair
from hwnas.collaborate.codecs import BoundaryCodec, InputCodec, Precision, has_zstd, input_codecs
from hwnas.collaborate.cuts import ChainCosts, PartTime, enumerate_cuts, part_time
from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.collaborate.plan import Candidate, PlanAccuracy
from hwnas.collaborate.predict import Load, mean_ms
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.latency.posterior import Floats
from hwnas.network import Network
from hwnas.pareto import Objective, front
from hwnas.problem.plans.cascade_drafts import CascadeDraft
from hwnas.problem.plans.drafts import Draft, Promise, boundary_bytes, network_answer_bytes
from hwnas.problem.plans.samples import HeldOutSamples
from hwnas.problem.plans.sides import Side
from hwnas.search.fronts import FrontPoint
from hwnas.space import Architecture
from hwnas.tasks.ends import elements_of

BOUNDARIES: tuple[Precision, ...] = ("fp32", "fp16", "int8")
MEAN_MS, BYTES, CLOUD_MS = (Objective(name, "min") for name in ("mean_ms", "bytes", "cloud_ms"))
"""Respects, beside accuracy, in which a candidate may be worth a prediction; the last one under a load."""


@dataclass
class Enumeration:
    """Candidates of a run, with what was left out and why.

    Args:
        edge: the edge's side.
        cloud: the cloud's side.
        draws: states of the link.
        samples: held-out samples; None where the run has no data or no weights.
        promise: of cascades.
        load: of the cloud.
        cut_only: networks that are on neither side as they are whole, by key.
    """

    edge: Side
    cloud: Side
    draws: LinkDraws
    samples: HeldOutSamples | None
    promise: Promise = field(default_factory=Promise)
    load: Load = field(default_factory=Load)
    cut_only: Mapping[str, FrontPoint] = field(default_factory=dict)
    enumerated: int = 0
    notes: list[str] = field(default_factory=list)

    # --- whole networks ---

    def candidates(self) -> list[Candidate]:
        """Return the candidates that are worth a prediction: each edge network alone, each cloud network alone, and of
        splits, compressed inputs and cascades those that no other beats in accuracy, mean latency and bytes."""
        alone = [self._edge_only(point) for point in self.edge.points.values()]
        raw, coded = self._cloud_only()
        drafts, cascades = [*coded, *self._splits()], list(self.cascades())
        self.enumerated = len(alone) + len(raw) + len(drafts) + len(cascades) + self._skipped_cuts
        by_codec: dict[str | None, list[Candidate]] = {}
        for draft in drafts:  # whole networks' accuracies bound those of all codecs: only within one do they compare
            by_codec.setdefault(draft.candidate.codec, []).append(draft.candidate)
        worth = [one for some in by_codec.values() for one in self._worth(some)]
        judged = [draft.judge() for draft in drafts if any(draft.candidate is one for one in worth)]
        return [*alone, *raw, *self._worth([*judged, *cascades])]

    _skipped_cuts: int = 0

    def _edge_only(self, point: FrontPoint) -> Candidate:
        architecture = point.architecture
        network = self._network(architecture)
        return Candidate(
            "edge_only",
            self.accuracy(self.edge, point),
            edge=architecture.key,
            head=self._time(self.edge, point, 0, len(network.operators)),
            escalated=0.0,
            head_mj=self.edge.head_mj(network, len(network.operators)),
            origins={"latency": self.edge.latency_origin},
        )

    def _cloud_only(self) -> tuple[list[Candidate], list[Draft]]:
        raw, coded = list[Candidate](), list[Draft]()
        for point in self.cloud.points.values():
            for codec in self._input_codecs():
                candidate = self._sent_input(point, codec)
                if codec.kind == "raw":
                    raw.append(candidate)
                else:
                    coded.append(Draft(candidate, partial(self._judged_input, candidate, point, codec)))
        return raw, coded

    def _judged_input(self, candidate: Candidate, point: FrontPoint, codec: InputCodec) -> Candidate:
        if self.samples is None or codec.is_lossless:
            return candidate
        answers = self.samples.compressed(self.cloud, point.architecture, codec)
        return replace(candidate, accuracy=self._judged(answers))

    def _input_codecs(self) -> list[InputCodec]:
        if self.samples is None:
            self._note("inputs are taken as one byte a number, and not compressed: the run has no samples to compress")
            return [InputCodec("raw")]
        return input_codecs(self.samples.raw_shape, self.samples.raw_dtype)

    def _sent_input(self, point: FrontPoint, codec: InputCodec) -> Candidate:
        network = self._network(point.architecture)
        accuracy, encode = self.accuracy(self.cloud, point), 0.0
        if self.samples is None:
            count = elements_of(network.input_shape)
            shape: tuple[int, ...] = (count,)
            dtype, sizes = "uint8", np.array([count])
        else:
            shape, dtype = self.samples.raw_shape, self.samples.raw_dtype
            coded = self.samples.coded(codec)
            sizes, encode = coded.sizes, coded.encode_ms
        form = codec.format(shape, dtype)
        return Candidate(
            "cloud_only",
            accuracy,
            cloud=point.architecture.key,
            codec=codec.name,
            tail=self._time(self.cloud, point, 0, len(network.operators)),
            encode_ms=encode,
            sent_bytes=np.array([form.body_bytes(int(size)) for size in sizes], dtype=float),
            answer_bytes=network_answer_bytes(network),
            head_mj=0.0 if self.edge.energy is not None else None,
            origins={
                "latency": self.cloud.latency_origin,
                "bytes": "exact" if self.samples is not None else "estimated, one byte a number",
                "encode": "measured on this machine, not on the edge",
            },
        )

    # --- cuts ---

    def _splits(self) -> Iterator[Draft]:
        if self.edge.model is None or self.cloud.model is None:
            self._note("networks are not cut: the latencies of a tier are published, of whole networks alone")
            return
        points = {**self.cut_only, **self.cloud.points, **self.edge.points}
        for key, point in points.items():
            side = self.edge if key in self.edge.points else self.cloud
            yield from self._cuts_of(side, point)

    def _cuts_of(self, side: Side, point: FrontPoint) -> Iterator[Draft]:
        """Yield the cuts of a network that no other of its cuts beats, with each codec."""
        assert self.edge.model is not None
        assert self.cloud.model is not None
        network = self._network(point.architecture)
        if len(network.operators) < 2:
            self._note("a network of one operator has no cut")
            return
        costs = ChainCosts.of(network, self.edge.model, self.cloud.model)
        codecs = [(precision, packed) for packed in self._packs() for precision in BOUNDARIES]
        sizes = np.column_stack([self._boundary_bytes(side, point, network, BoundaryCodec(*codec)) for codec in codecs])
        answer = network_answer_bytes(network)
        table = enumerate_cuts(costs, sizes + HTTP_BYTES, answer + HTTP_BYTES, self.draws)
        for column, (precision, packed) in enumerate(codecs):
            rows = [
                {
                    "mean_ms": float(table.ms[cut, column]),
                    "bytes": float(sizes[cut, column]),
                    "cloud_ms": float(costs.tail_ms[cut]),
                }
                for cut in range(1, costs.cuts)
            ]
            best = front(rows, self._respects)
            self._skipped_cuts += len(rows) - len(best)
            for index in best:
                codec = BoundaryCodec(precision, packed)
                whole = self._split(side, point, network, index + 1, codec)
                whole = replace(whole, sent_bytes=sizes[index + 1, column : column + 1])
                yield Draft(whole, partial(self._judged_split, whole, side, point, codec))

    def _packs(self) -> list[bool]:
        if self.samples is None or not has_zstd():
            if self.samples is not None:
                self._note('boundaries are not packed by zstd: `pip install "hwnas[zstd]"` lets plans use it')
            return [False]
        return [False, True]

    def _boundary_bytes(self, side: Side, point: FrontPoint, network: Network, codec: BoundaryCodec) -> Floats:
        packed = None
        if codec.packed:
            assert self.samples is not None
            packed = self.samples.packed_bytes(side, point.architecture, codec.precision)
        return boundary_bytes(network, codec, packed)

    def _split(self, side: Side, point: FrontPoint, network: Network, cut: int, codec: BoundaryCodec) -> Candidate:
        """Return a cut network with the accuracy of the whole one."""
        shape, accuracy = network.shapes[cut], self.accuracy(side, point)
        if codec.precision != "fp32" and self.samples is None:
            origin = f"estimated, as if {codec.precision} changed no answer: {accuracy.origin}"
            accuracy = replace(accuracy, origin=origin)
        return Candidate(
            "split",
            accuracy,
            edge=point.architecture.key,
            cloud=point.architecture.key,
            cut=cut,
            codec=codec.name,
            head=self._time(self.edge, point, 0, cut),
            tail=self._time(self.cloud, point, cut, len(network.operators)),
            answer_bytes=network_answer_bytes(network),
            head_mj=self.edge.head_mj(network, cut),
            origins={
                "latency": f"head {self.edge.latency_origin}; tail {self.cloud.latency_origin}",
                "bytes": "measured on samples" if codec.packed else "exact",
                "encode": "measured on this machine, not on the edge",
            },
            extras={"boundary": list(shape)},
        )

    def _judged_split(self, whole: Candidate, side: Side, point: FrontPoint, codec: BoundaryCodec) -> Candidate:
        """Return a cut network with the accuracy, the sizes and the time of encoding that its samples show."""
        if self.samples is None or whole.cut is None:
            return whole
        codec = self.samples.fitted_codec(side, point.architecture, whole.cut, codec)
        judged = self.samples.cut(side, point.architecture, whole.cut, codec)
        form = codec.format(self._network(point.architecture).shapes[whole.cut])
        extras = {"scale": codec.scale, "zero_point": codec.zero_point} if codec.precision == "int8" else {}
        return replace(
            whole,
            accuracy=self._judged(judged.answers),
            encode_ms=judged.encode_ms,
            sent_bytes=np.array([form.body_bytes(int(size)) for size in judged.sent_bytes], dtype=float),
            extras={**whole.extras, **extras},
        )

    # --- cascades ---

    def cascades(self) -> Iterator[Candidate]:
        """Yield the cascades of all pairs of an edge's and a cloud's network, one for each rule."""
        if self.edge.front.tier.quality.goal == "min":
            self._note("there are no cascades: they are judged by a quality of which more is better")
            return
        if self.samples is None:
            self._note("there are no cascades: they are judged on held-out samples, by networks with weights")
            return
        own = {key: self.samples.whole(self.edge, point.architecture) for key, point in self.edge.points.items()}
        other = {key: self.samples.whole(self.cloud, point.architecture) for key, point in self.cloud.points.items()}
        rules = next(iter(own.values())).confidences
        if not rules:
            self._note("there are no cascades: the task has no deferral score")
            return
        inputs = {key: self._best_input(key) for key in other}
        pairs = self.further_pairs()
        for edge_key, edge in own.items():
            alone = self._edge_only(self.edge.points[edge_key])
            pairs += [
                (Pair(edge, cloud, self.samples.parts), alone, inputs[key])
                for key, cloud in other.items()
                if key != edge_key
            ]
        drafts = [CascadeDraft(*pair, rule) for pair in pairs for rule in pair[0].confidences]
        tested = self._worth_testing(drafts)
        latency = f"edge {self.edge.latency_origin}; cloud {self.cloud.latency_origin}"
        for draft in drafts:
            if cascade := draft.judged(self.promise.shared(len(tested)), draft in tested, latency):
                yield cascade

    def _worth_testing(self, drafts: Sequence[CascadeDraft]) -> set[CascadeDraft]:
        """Return the cascades that no other beats on the samples that the search saw, in which the calibration samples
        have no part: the fewer share delta, the more each is certified."""
        expected = [(draft, one) for draft in drafts if (one := draft.expected(self.promise.epsilon)) is not None]
        return {expected[n][0] for n in front([self._quick(one) for _, one in expected], self._all_respects)}

    def further_pairs(self) -> list[tuple[Pair, Candidate, Candidate]]:
        """Return pairs that are not two networks of the fronts: with the plan that answers on the edge alone, and the
        one that always sends."""
        return []

    def _best_input(self, key: str) -> Candidate:
        """Return the cloud-only plan of a network with the lossless input that arrives first."""
        point = self.cloud.points[key]
        ways = [self._sent_input(point, codec) for codec in self._input_codecs() if codec.is_lossless]
        return min(ways, key=self._mean_ms)

    # --- parts ---

    def _worth(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates of each kind that no other of the kind beats; a promise counts as a kind of its own."""
        kinds: dict[Any, list[Candidate]] = {}
        for one in candidates:
            certified = one.cascade is not None and one.cascade.guarantee is not None
            kinds.setdefault((one.kind, certified), []).append(one)
        every = kinds.values()
        return [some[n] for some in every for n in front([self._quick(one) for one in some], self._all_respects)]

    @property
    def _respects(self) -> tuple[Objective, ...]:
        return (MEAN_MS, BYTES, CLOUD_MS) if self.load.rate_hz else (MEAN_MS, BYTES)

    @property
    def _all_respects(self) -> tuple[Objective, ...]:
        return (Objective("accuracy", self.edge.front.tier.quality.goal), *self._respects)

    def _quick(self, candidate: Candidate) -> Mapping[str, float]:
        mean, cloud = self._mean_ms(candidate), candidate.escalated * candidate.tail.ms
        return {"accuracy": candidate.accuracy.value, "mean_ms": mean, "bytes": candidate.bytes, "cloud_ms": cloud}

    def _mean_ms(self, candidate: Candidate) -> float:
        return float(np.mean(mean_ms(candidate, self.draws)))

    def _time(self, side: Side, point: FrontPoint, begin: int, end: int) -> PartTime:
        if side.model is None:
            return PartTime(point.scores[side.latency_metric], 0.0, 0.0)
        return part_time(side.model, self._network(point.architecture), begin, end)

    def _network(self, architecture: Architecture) -> Network:
        return self.edge.run.network(architecture)

    def accuracy(self, side: Side, point: FrontPoint) -> PlanAccuracy:
        """Return a network's accuracy: on held-out samples if there are some, else as its search has it."""
        if self.samples is not None:
            return self._judged(self.samples.whole(side, point.architecture))
        metric = side.front.tier.quality.metric
        estimate = point.estimates.get(metric)
        if estimate is not None:
            return PlanAccuracy(estimate.value, estimate.error, f"{side.front.source.origin}, shrunken estimate")
        return PlanAccuracy(point.scores[metric], point.errors.get(metric), side.front.source.origin)

    def _judged(self, answers: Answers) -> PlanAccuracy:
        assert self.samples is not None
        scores = answers.scores[self.samples.parts.judging]
        error = float(scores.std() / max(len(scores), 1) ** 0.5)
        origin = f"measured on {len(scores):,} held-out samples: {answers.origin}"
        return PlanAccuracy(float(scores.mean()), error, origin)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
