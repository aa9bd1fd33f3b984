"""Cuts of a network between two machines: enumeration, codecs, bodies, queues, break-even points."""

from __future__ import annotations

import json
import math
import random
import time
from bisect import insort
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas import read_space
from hwnas.collaborate.breakeven import BreakEven, energy_bytes, price_per_gb
from hwnas.collaborate.codecs import BoundaryCodec, InputCodec, has_zstd, input_codecs
from hwnas.collaborate.cuts import ChainCosts, PartTime, enumerate_cuts, part_time
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.presets import PRESETS
from hwnas.collaborate.plan import Candidate, PlanAccuracy
from hwnas.collaborate.population_cuts import CutSetting, population_cuts
from hwnas.collaborate.predict import Load
from hwnas.collaborate.queueing import BatchQueue, Queue, most_clients
from hwnas.collaborate.wire import HTTP_BYTES, TensorFormat, answer_bytes
from hwnas.io.resources import find_file
from hwnas.latency.model import LatencyModel
from hwnas.measure.table import read_table
from hwnas.network import lower
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.population import codebook_of
from hwnas.population.codebook import EMPTY_SLOT
from hwnas.tasks.ends import elements_of
from tests.helpers.links import brute_force, constant_link, random_chain, recorded_link, slow_transfer_ms

LINKS = [
    constant_link(1000, 1000, 0.5, "warm"),
    constant_link(34, 137, 12),
    constant_link(10.6, 27.1, 85),
    constant_link(10.6, 27.1, 85, "cold"),
    constant_link(0.5, 2.4, 200),
    constant_link(165, 1634, 20, "warm"),
    recorded_link(0),
    recorded_link(1),
]
ELEMENT_BYTES = (4, 2, 1)
DIGITS_TABLE = "xeon_onnxruntime_fp32_1t"


def sizes_of(costs: ChainCosts) -> np.ndarray:
    """Bytes of boundaries in three precisions; the input is sent in bytes, which is the last codec."""
    sizes = np.outer(costs.elements, ELEMENT_BYTES).astype(float)
    sizes[0, :2] = math.inf
    return sizes


def test_enumeration_equals_brute_force_on_a_thousand_chains_and_eight_links() -> None:
    rng = random.Random(0)
    quick = [link.quick_draws(0, 1) for link in LINKS]
    unlike = 0
    for _ in range(1000):
        costs = random_chain(rng)
        sizes = sizes_of(costs)
        listed = [[None if math.isinf(size) else size for size in row] for row in sizes.tolist()]
        for link, one in zip(LINKS, quick, strict=True):
            start = rng.uniform(0, 60_000)
            draws = replace(one, start_ms=np.array([start]))

            def way(size: float, tail: float, link: LinkModel = link, start: float = start) -> float:
                return slow_transfer_ms(link, start, size, 300.0, tail) - tail

            table = enumerate_cuts(costs, sizes, 300, draws)
            slow = np.array(brute_force(costs, listed, way))
            finite = np.isfinite(slow)
            assert (np.isfinite(table.ms) == finite).all()
            assert np.allclose(table.ms[finite], slow[finite], rtol=1e-9, atol=0)
            best = np.unravel_index(int(np.argmin(slow)), slow.shape)
            unlike += table.best != best and not math.isclose(slow[best], slow[table.best], rel_tol=1e-9)
    assert unlike == 0


def test_one_network_with_all_cuts_and_codecs_takes_less_than_two_milliseconds() -> None:
    costs = random_chain(random.Random(3))
    sizes, draws = np.tile(sizes_of(costs), 2), LinkModel.of_preset("lte", PRESETS["lte"]).quick_draws(0)
    times = []
    for _ in range(30):
        begun = time.perf_counter()
        enumerate_cuts(costs, sizes, 300, draws)
        times.append(time.perf_counter() - begun)
    assert min(times) < 2e-3


def test_limits_of_the_link_decide_as_they_must() -> None:
    rng = random.Random(1)
    for _ in range(100):
        costs = random_chain(rng)
        sizes = sizes_of(costs)
        slow = enumerate_cuts(costs, sizes, 300, constant_link(1e-9, 1e-9, 1.0).quick_draws(0, 1))
        assert slow.best == (costs.cuts, 0)
        totals = [
            enumerate_cuts(costs, sizes, 300, constant_link(rate, rate, 20).quick_draws(0, 1)) for rate in (1, 10, 100)
        ]
        assert all((after.ms <= before.ms + 1e-9).all() for before, after in pairwise(totals))
        chosen = [0.0 if table.best[0] == costs.cuts else sizes[table.best] for table in totals]
        assert chosen == sorted(chosen)


def test_a_cloud_that_is_faster_everywhere_wins_over_a_link_that_costs_nothing() -> None:
    costs = ChainCosts(np.array([0.0, 5.0, 9.0]), np.array([2.0, 1.0, 0.0]), [64, 32, 10])
    assert enumerate_cuts(costs, sizes_of(costs), 100, constant_link(1e9, 1e9, 1e-9).quick_draws(0, 1)).best == (0, 2)


def test_equal_machines_compute_on_the_edge() -> None:
    heads = np.array([0.0, 1.0, 2.0, 3.0])
    costs = ChainCosts(heads, heads[::-1].copy(), [100, 100, 100, 10])
    assert enumerate_cuts(costs, sizes_of(costs), 100, LINKS[0].quick_draws(0, 1)).best[0] == 3


@lru_cache
def model_of(name: str) -> LatencyModel:
    return LatencyModel.of(read_table(find_file(name, "latency_tables")), missing="estimate")


def test_a_head_and_a_tail_each_pay_for_a_call_and_share_the_rest() -> None:
    space = read_space(find_file("digits", "search_spaces"))
    model, network = model_of(DIGITS_TABLE), lower(space, space.largest())
    costs, whole = ChainCosts.of(network, model, model), model.predict(network)
    constant = model.linear([])[0]
    count = len(network.operators)
    assert costs.head_ms[-1] == pytest.approx(whole.ms)
    assert costs.tail_ms[0] == pytest.approx(whole.ms)
    assert (costs.head_ms + costs.tail_ms)[1:-1] == pytest.approx(np.full(count - 1, whole.ms + constant))
    part = part_time(model, network, 0, count)
    assert part.ms == pytest.approx(whole.ms)
    spread = math.hypot(part.doubt_ms, part.noise_ms)
    assert 2 * 1.645 * spread == pytest.approx(whole.high_ms - whole.low_ms, rel=1e-2)


def test_boundaries_of_mobilenet_v3_are_the_golden_ones() -> None:
    """In fp32 they are larger than the raw image until stage 14 x 14."""
    space = read_space(find_file("ofa_mobilenet_v3_224", "search_spaces"))
    network = lower(space, space.largest())
    leaving = [elements_of(part.output_shape) for part in network.costs]
    golden = [200_704, 75_264, 31_360, 15_680, 21_952, 7_840, 1_000]
    assert list(dict.fromkeys(leaving)) == golden
    assert elements_of(network.input_shape) == 150_528 > 4 * 31_360


def test_all_digits_networks_are_cut_as_each_alone() -> None:
    space = read_space(find_file("digits", "search_spaces"))
    codebook, model = codebook_of(space), model_of(DIGITS_TABLE)
    codes = codebook.every()
    setting = CutSetting(lambda shape: elements_of(shape) + 200, 300, answer_bytes((10,)))
    draws = [link.quick_draws(0, 16) for link in LINKS[:5]]
    begun = time.process_time()
    tables = [population_cuts(codebook, codes, model, model, one, setting) for one in draws]
    assert time.process_time() - begun < 10
    rng = np.random.default_rng(0)
    for row in rng.integers(0, len(codes), 20).tolist():
        [architecture] = codebook.decode(codes[row : row + 1])
        costs = ChainCosts.of(lower(space, architecture), model, model)
        sizes = np.array([300.0, *(count + 200.0 for count in costs.elements[1:])])[:, None] + HTTP_BYTES
        for table, one in zip(tables, draws, strict=True):
            alone = enumerate_cuts(costs, sizes, setting.answer_bytes + HTTP_BYTES, one).ms[:, 0]
            assert table.ms[row].min() == pytest.approx(alone.min(), rel=1e-9)


def test_empty_slots_have_the_cut_before_them() -> None:
    links = [(Conv(1, 8), (1, 8, 8)), (Classifier(8, 10), (8, 8, 8))]
    places = np.array([[EMPTY_SLOT, 0, EMPTY_SLOT, 1]])
    codebook: Any = SimpleNamespace(places=lambda codes: places, links=links)
    model: Any = SimpleNamespace(linear=lambda links: (1.0, np.array([5.0, 2.0])))
    setting = CutSetting(lambda shape: 4 * elements_of(shape) + 200, 300, answer_bytes((10,)))
    [ms] = population_cuts(codebook, places, model, model, LINKS[0].quick_draws(0, 4), setting).ms
    assert ms[0] == ms[1]
    assert ms[2] == ms[3]
    assert len({ms[0], ms[2], ms[4]}) == 3


# --- bodies and codecs ---


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_planned_bytes_are_those_of_the_body_that_is_sent(precision: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((8, 4, 4), (197, 192), (3, 224, 224), (10,)):
        codec = BoundaryCodec(precision, low=-1.0, high=3.0)  # type: ignore[arg-type]
        boundary = rng.standard_normal(shape).astype(np.float32)
        content, form = codec.encode(boundary), codec.format(shape)
        assert form.body_bytes(len(content)) == len(form.body(content, "0123456789abcdef"))
        seen = boundary.clip(codec.low, codec.high) if precision == "int8" else boundary
        error = {"fp32": 0, "fp16": 2e-3, "int8": 0.51 * codec.scale}[precision]
        assert np.abs(codec.decode(content, shape) - seen).max() <= error


def test_a_body_is_of_the_open_inference_protocol() -> None:
    form = TensorFormat("boundary", (2, 3), "uint8")
    body = form.body(bytes(range(6)), "abc")
    header = json.loads(body[:-6])
    [tensor] = header["inputs"]
    assert (tensor["shape"], tensor["datatype"], tensor["parameters"]["binary_data_size"]) == ([1, 2, 3], "UINT8", 6)
    assert body[-6:] == bytes(range(6))
    packed = TensorFormat("input", (3, 8, 8), "uint8", "png").body(b"1234", "abc")
    assert packed[-8:] == (4).to_bytes(4, "little") + b"1234"
    assert json.loads(packed[:-8])["inputs"][0]["datatype"] == "BYTES"


def test_zero_survives_eight_bits() -> None:
    codec = BoundaryCodec("int8", low=-0.37, high=5.1)
    zeros = np.zeros(5, np.float32)
    assert (codec.restored(codec.rounded(zeros)) == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_decoded_as_the_cloud_sees_them(channels: int) -> None:
    y, x = np.mgrid[:32, :32]
    image = np.stack([128 + 60 * np.sin(x / 5 + c) + 60 * np.cos(y / 7) for c in range(channels)]).astype(np.uint8)
    sizes = {}
    for codec in input_codecs(image.shape, "uint8"):
        content = codec.encode(image)
        seen = codec.decode(content, image.shape, "uint8")
        sizes[codec.name] = len(content)
        assert seen.shape == image.shape
        error = np.abs(seen.astype(int) - image).mean()
        assert error == 0 if codec.is_lossless else 0 < error < 12
    assert sizes["jpeg-50"] < sizes["jpeg-95"] < sizes["raw"]


def test_only_images_in_bytes_are_compressed() -> None:
    assert [codec.name for codec in input_codecs((6, 100), "float32")] == ["raw"]
    assert [codec.name for codec in input_codecs((3, 8, 8), "float32")] == ["raw"]
    assert InputCodec("raw").encode(np.ones((2, 2), np.float32)) == np.ones(4, np.float32).tobytes()


@pytest.mark.skipif(not has_zstd(), reason="needs the extra zstd")
def test_packed_boundaries_come_back() -> None:
    codec = BoundaryCodec("int8", packed=True, low=0.0, high=2.0)
    boundary = np.zeros((64, 8, 8), np.float32)
    content = codec.encode(boundary)
    assert len(content) < 100
    assert (codec.decode(content, boundary.shape) == boundary).all()


# --- queues ---


@pytest.mark.parametrize(
    ("queue", "share", "wait_s"),
    [
        (Queue(8, 100, 1.0), 0.8, 0.4),
        (Queue(8, 100, 0.0), 0.8, 0.2),
        (Queue(16, 100, 1.0, 2), 0.7111, 0.1778),
        (Queue(32, 100, 1.0, 4), 0.5964, 0.0746),
    ],
)
def test_queues_have_the_golden_waits(queue: Queue, share: float, wait_s: float) -> None:
    assert queue.waiting_share == pytest.approx(share, abs=1e-4)
    assert queue.mean_wait_ms == pytest.approx(1e3 * wait_s, abs=0.1)


def simulated_waits(queue: Queue, shape: float, count: int, seed: int) -> np.ndarray:
    """Waits of gamma services, request by request (Kiefer and Wolfowitz)."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1e3 / queue.rate_hz, count)
    services = rng.gamma(shape, queue.service_ms / shape, count)
    busy, waits = np.zeros(queue.workers), np.empty(count)
    for number, (gap, service) in enumerate(zip(gaps, services, strict=True)):
        busy = np.maximum(busy - gap, 0.0)
        waits[number] = busy[0]
        busy[0] += service
        busy.sort()
    return waits[count // 10 :]


@pytest.mark.parametrize(("workers", "shape", "load"), [(1, 1.0, 0.7), (1, 4.0, 0.8), (2, 2.0, 0.7), (4, 4.0, 0.8)])
def test_waits_are_those_of_a_simulation(workers: int, shape: float, load: float) -> None:
    queue = Queue(load * workers * 100, 10.0, 1 / shape, workers)
    waits = np.concatenate([simulated_waits(queue, shape, 60_000, seed) for seed in range(2)])
    drawn = queue.wait_ms(np.random.default_rng(0).random(200_000))
    assert drawn.mean() == pytest.approx(waits.mean(), rel=0.1)
    assert np.quantile(drawn, 0.99) == pytest.approx(np.quantile(waits, 0.99), rel=0.15)


@pytest.mark.parametrize("load", [0.3, 0.8, 0.95])
def test_waits_for_one_worker_have_the_quantiles_of_the_closed_form(load: float) -> None:
    waits = Queue(load * 100, 10.0, 1.0).wait_ms(np.array([0.2, 0.9, 0.99, 0.999]))
    exact = np.maximum(10 / (1 - load) * np.log(load / np.array([0.8, 0.1, 0.01, 0.001])), 0.0)
    assert waits == pytest.approx(exact, rel=0.02, abs=0.05)


def test_waits_by_service_times_that_were_measured_are_those_of_their_recursion() -> None:
    rng = np.random.default_rng(3)
    services = np.where(rng.random(5000) < 0.02, 30.0, 2.0) + rng.random(5000)
    queue = Queue.measured(0.7e3 / services.mean(), services)
    gaps, taken = rng.exponential(1e3 / queue.rate_hz, 400_000), rng.choice(services, 400_000)
    steps = np.concatenate([[0.0], np.cumsum(taken[:-1] - gaps[1:])])
    waits = steps - np.minimum.accumulate(steps)  # Lindley
    drawn = queue.wait_ms(np.linspace(0, 1, 100_001))
    assert drawn.mean() == pytest.approx(queue.mean_wait_ms, rel=0.01)
    for level in (0.5, 0.95, 0.99):
        assert np.quantile(drawn, level) == pytest.approx(np.quantile(waits, level), rel=0.08)


def test_the_event_loop_of_a_server_bounds_what_it_carries_and_delays_the_rest() -> None:
    assert Queue(3000, 0.01).load == pytest.approx(0.03)
    fast = Queue(3000, 0.01, loop_ms=0.25)  # served by the loop itself
    assert fast.load == pytest.approx(0.78)
    assert fast.mean_wait_ms == pytest.approx(Queue(3000, 0.26).mean_wait_ms, rel=0.01)
    apart = Queue(600, 5.0, 1.0, workers=4, loop_ms=0.25)
    assert apart.load == 0.75
    assert apart.mean_wait_ms == pytest.approx(
        Queue(600, 5.0, 1.0, 4).mean_wait_ms + Queue(600, 0.25).mean_wait_ms, rel=0.01
    )
    uniform = np.linspace(0, 1, 10_001)
    assert apart.wait_ms(uniform).mean() == pytest.approx(apart.mean_wait_ms, rel=0.02)
    batches, alone = BatchQueue(1500, 2.0, batch=8, loop_ms=0.25), BatchQueue(1500, 2.0, batch=8)
    assert (batches.wait_ms(uniform) >= alone.wait_ms(uniform)).mean() > 0.99
    assert np.isinf(BatchQueue(4100, 2.0, batch=16, loop_ms=0.25).wait_ms(uniform)).all()


def simulated_batches(queue: BatchQueue, count: int, seed: int) -> np.ndarray:
    """Waits in a cloud that is walked through event by event, one request or one worker at a time."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(1e3 / queue.rate_hz, count))
    waiting, waits, busy_until = list[float](), list[float](), [0.0] * queue.workers
    events = sorted({*times, *(times + queue.fill_ms)})
    arrived = 0
    while events:
        now = events.pop(0)
        while arrived < count and times[arrived] <= now:
            waiting.append(times[arrived])
            arrived += 1
        for worker, until in enumerate(busy_until):
            due = len(waiting) >= queue.batch or (waiting and waiting[0] + queue.fill_ms <= now)
            if until <= now and due:
                waits += [now - one for one in waiting[: queue.batch]]
                waiting = waiting[queue.batch :]
                busy_until[worker] = now + queue.service_ms
                insort(events, busy_until[worker])
    return np.array(waits[count // 10 :])


@pytest.mark.parametrize(
    ("workers", "batch", "fill_ms", "rate_hz"), [(1, 4, 2.0, 250), (2, 4, 5.0, 500), (1, 1, 0.0, 70)]
)
def test_waits_for_batches_are_those_of_an_event_by_event_simulation(
    workers: int, batch: int, fill_ms: float, rate_hz: float
) -> None:
    queue = BatchQueue(rate_hz, 10.0, 0.0, workers, batch, fill_ms)
    waits = np.concatenate([simulated_batches(queue, 6000, seed) for seed in range(2)])
    drawn = queue.wait_ms(np.random.default_rng(0).random(50_000))
    assert drawn.mean() == pytest.approx(waits.mean(), rel=0.1)
    assert np.quantile(drawn, 0.99) == pytest.approx(np.quantile(waits, 0.99), rel=0.15)


def test_a_queue_of_batches_of_one_is_the_queue_without_batches() -> None:
    uniform = np.random.default_rng(1).random(100_000)
    for variation in (0.0, 0.5):
        one, plain = BatchQueue(75, 10.0, variation), Queue(75, 10.0, variation)
        assert one.wait_ms(uniform).mean() == pytest.approx(plain.mean_wait_ms, rel=0.1)
    assert np.isinf(BatchQueue(401, 10.0, batch=4).wait_ms(uniform)).all()


CLOUD_ALONE = Candidate("cloud_only", PlanAccuracy(0.9, None, "made up"), tail=PartTime(10.0, 0.0, 0.0))


def test_batches_carry_as_many_clients_more() -> None:
    def most(load: Load) -> int:
        return most_clients(lambda clients: load.queue(CLOUD_ALONE, clients).load < 1)

    assert most(Load(rate_hz=1.0, batch=8)) == pytest.approx(8 * most(Load(rate_hz=1.0)), abs=8)


def test_the_largest_number_of_clients_is_found() -> None:
    for true in (0, 1, 2, 3, 17, 64, 1000):
        assert most_clients(lambda clients, true=true: clients <= true) == true


# --- break-even ---


def bisect(function: object, low: float, high: float) -> float:
    """Where a rising function is 0."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)  # type: ignore[operator]
    return low


def test_closed_forms_are_where_both_cost_the_same() -> None:
    even = BreakEven(edge_ms=420.0, cloud_ms=31.0, wire_bytes=123_456, flights=3)

    def gap(rate: float, rtt: float, size: float) -> float:
        return even.edge_ms - (even.cloud_ms + even.flights * rtt + 8e-3 * size / rate)

    size = even.wire_bytes
    assert even.rate_mbps(40) == pytest.approx(bisect(lambda rate: gap(rate, 40, size), 0.01, 1e4), rel=1e-9)
    assert even.rtt_ms(20) == pytest.approx(bisect(lambda rtt: -gap(20, rtt, size), 0, 1e4), rel=1e-9)
    assert even.bytes(20, 40) == pytest.approx(bisect(lambda some: -gap(20, 40, some), 0, 1e9), rel=1e-9)
    assert (even.rate_mbps(200), even.rtt_ms(0.001), even.bytes(1, 200)) == (None, None, None)
    radio = PRESETS["lte"].radio
    assert radio is not None
    energy = bisect(lambda some: float(radio.up_mj(8e-3 * some / 10, 10)) - 7.0, 0, 1e9)
    assert energy_bytes(7.0, radio, 10) == pytest.approx(energy, rel=1e-9)
    assert price_per_gb(2e-6, 1000) * 1000 / 1e9 == pytest.approx(2e-6, rel=1e-12)
