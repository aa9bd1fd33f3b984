"""Precision as a gene of a tier: what is tried, how it is scored, what is kept of it, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from hwnas import pipeline
from hwnas.accuracy.int8_accuracy import int8_producer
from hwnas.commands.search import TierSearch
from hwnas.config import parse_experiment
from hwnas.errors import ConfigError, PredictionError
from hwnas.ops.classifier import Classifier
from hwnas.population import codebook_of
from hwnas.predictors.differences import DifferencePredictor
from hwnas.problem.cost_models import load_cost_models
from hwnas.search.precision import PrecisionSpace, candidate_of, split_candidate
from hwnas.search.precision.coded import by_precision, with_precisions
from hwnas.search.score_store import ScoreStore
from hwnas.search.surrogate import candidates_of
from hwnas.space import FunctionSpace, Space, read_space
from hwnas.tasks.metrics.paired import PairedCounts
from hwnas.workspace.workspace import open_run
from tests.helpers.command_line import Call
from tests.helpers.experiments import EXPERIMENT, FEW, every, written
from tests.helpers.repository import REPOSITORY

BOTH = {"cloud": {"setup": "cpu", "precision": ["fp32", "int8"]}}
SEARCH = {"trials": 8, "sampler": "guided", "population": 4}
FILES = {"formats": ["onnx"], "picks": ["best", "fastest"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of an experiment whose tier lists both precisions."""
    folder = tmp_path_factory.mktemp("precision")
    path = written(folder, FEW, tiers=BOTH, search=SEARCH, export=FILES)
    pipeline.run(path, runs=folder / "runs")
    return folder / "runs" / "mini"


def again(run: Path, folder: Path, **changes: Any) -> Path:
    """An experiment with the supernet and the tables of the run."""
    path = written(folder, FEW, **{"tiers": BOTH, "search": SEARCH, **changes})
    for part in ("train", "latency"):
        shutil.copytree(run / part, folder / "runs" / "mini" / part)
    return path


def tried(search: TierSearch) -> list[tuple[str, str | None, dict[str, float]]]:
    """What a search tried, in order: architecture, precision, scores."""
    each = [(*split_candidate(one.architecture), dict(one.scores)) for one in search.evaluations]
    return [(architecture.key, precision, scores) for architecture, precision, scores in each]


def test_every_architecture_is_tried_in_every_precision(run: Path, space: Space) -> None:
    (searched,) = pipeline.search(run)
    expected = {(architecture.key, precision) for architecture in every(space) for precision in ("fp32", "int8")}
    assert {(key, precision) for key, precision, _ in tried(searched)} == expected


def test_costs_are_those_of_the_precision(run: Path) -> None:
    workspace = open_run(run)
    models = load_cost_models(workspace)
    assert set(models) == {"cpu", "cpu-int8"}
    assert [models[name].table.setup.precision for name in models] == ["fp32", "int8"]
    (searched,) = pipeline.search(run)
    for evaluation in searched.evaluations:
        architecture, precision = split_candidate(evaluation.architecture)
        model = models["cpu-int8" if precision == "int8" else "cpu"].model
        expected = model.predict_ms(workspace.network(architecture))
        assert evaluation.scores["latency_ms@cpu"] == pytest.approx(expected)


def test_accuracies_in_fp32_are_those_of_a_tier_without_precisions(run: Path, tmp_path: Path) -> None:
    path = again(run, tmp_path, tiers={"cloud": {"setup": "cpu"}}, search={**SEARCH, "trials": 4})
    pipeline.search(path, runs=tmp_path / "runs")
    plain, both = (ScoreStore.open(folder / "scores.jsonl").scores for folder in (tmp_path / "runs" / "mini", run))
    assert {(s.architecture.key, s.producer, s.value, s.paired) for s in plain} == {
        (s.architecture.key, s.producer, s.value, s.paired) for s in both if "precision=" not in s.producer
    }


def test_stored_counts_tell_the_difference(run: Path) -> None:
    scores = ScoreStore.open(run / "scores.jsonl").scores
    fp32 = {score.architecture.key: score for score in scores if "precision=" not in score.producer}
    lower = [score for score in scores if "precision=" in score.producer]
    assert len(lower) == 4
    for score in lower:
        before = fp32[score.architecture.key]
        assert score.producer.startswith(int8_producer(before.producer, "onnx", ""))
        assert score.paired is not None
        assert score.value - before.value == pytest.approx(score.paired.difference)
        assert score.paired.samples == 100


def test_fronts_and_manifests_carry_precisions(run: Path, hwnas: Call) -> None:
    points = json.loads((run / "fronts" / "cloud.json").read_text())
    assert all(point["precision"] in ("fp32", "int8") for point in points)
    shown = json.loads(hwnas("show", str(run), "--json").out)["cloud"]
    assert [(one["key"], one["precision"]) for one in shown] == [(one["key"], one["precision"]) for one in points]
    (front,) = pipeline.fronts(run)
    assert [point.name for point in front.front] == [f"{one['key']} in {one['precision']}" for one in points]
    manifest = json.loads((run / "bundle" / "cloud" / "manifest.json").read_text())
    for model in manifest["models"]:
        assert {file["precision"] for file in model["files"]} == {model["precision"]}
        assert ("quantization" in model) is (model["precision"] == "int8")
    assert pipeline.doctor(run).sound


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_precision_may_be_listed(run: Path, tmp_path: Path, precision: str) -> None:
    path = again(run, tmp_path, tiers={"cloud": {"setup": "cpu", "precision": [precision]}}, export=FILES)
    (searched,) = pipeline.search(path, runs=tmp_path / "runs")
    assert {one for _, one, _ in tried(searched)} == {precision}
    solved = pipeline.solve_tiers(path, runs=tmp_path / "runs")["cloud"].loaded_front
    assert {point.candidate.key for point in solved.points} == {point.candidate.key for point in searched.front}


@pytest.mark.parametrize("sampler", ["guided", "tpe", "nsga2", "random"])
def test_a_search_that_is_continued_is_one_that_was_never_interrupted(run: Path, tmp_path: Path, sampler: str) -> None:
    searches = []
    for name, parts in (("whole", [8]), ("parts", [3, 8])):
        path = again(run, tmp_path / name, search={**SEARCH, "sampler": sampler})
        for trials in parts:
            (searched,) = pipeline.search(path, runs=tmp_path / name / "runs", trials=trials)
        searches.append(tried(searched))
    assert searches[0] == searches[1]
    assert len(searches[0]) == 8


def test_codes_of_candidates_lead_to_the_costs_of_their_precisions(space: Space) -> None:
    codebook = codebook_of(space)
    candidates = with_precisions(candidates_of(codebook), ["fp32", "int8"])
    everything = candidates.everything
    assert everything is not None
    assert len(everything.codes) == 2 * space.count
    assert len(np.unique(everything.features, axis=0)) == space.count
    assert candidates.effect == len(candidates.names) - 1
    assert len(candidates.groups) == everything.features.shape[1]
    costs = by_precision([lambda codes: codes.sum(axis=1), lambda codes: 100 + codes.sum(axis=1)])(everything.codes)
    assert np.array_equal(costs, everything.codes[:, :-1].sum(axis=1) + 100 * everything.codes[:, -1])


def test_keys_of_architectures_know_no_precision(space: Space) -> None:
    architecture = space.smallest()
    candidate = candidate_of(architecture, "int8")
    assert candidate.key != architecture.key
    assert split_candidate(candidate) == (architecture, "int8")
    assert candidate_of(architecture, None) is architecture
    assert split_candidate(architecture) == (architecture, None)


@pytest.mark.parametrize(("lost", "gained", "samples"), [(0, 0, 100), (7, 2, 2500), (0, 30, 100), (1200, 900, 2500)])
def test_paired_counts(lost: int, gained: int, samples: int) -> None:
    counts = PairedCounts(lost, gained, samples)
    low, high = counts.interval
    assert low < counts.difference < high or low < 0 < high
    exact = binomtest(lost, lost + gained).pvalue if lost + gained else 1.0
    assert counts.p_value == pytest.approx(exact)


def test_the_interval_holds_the_truth() -> None:
    rng, held = np.random.default_rng(0), 0
    chances = [0.02, 0.01, 0.97]
    for _ in range(1000):
        lost, gained, _ = rng.multinomial(500, chances)
        low, high = PairedCounts(int(lost), int(gained), 500).interval
        held += low <= chances[1] - chances[0] <= high
    assert 930 <= held <= 975


# --- bad input ---

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "mixed": ({"tiers": {"cloud": {"setup": "cpu", "precision": ["mixed"]}}}, "`mixed` is no precision"),
    "half": ({"tiers": {"cloud": {"setup": "cpu", "precision": ["fp16"]}}}, "`fp16` is no precision"),
    "none": ({"tiers": {"cloud": {"setup": "cpu", "precision": []}}}, "There is at least one"),
    "live": ({"tiers": {"cloud": {**BOTH["cloud"], "measure": "live"}}}, "needs a table of each precision"),
    "another set-up": (
        {"setups": {"cpu": {"runtime": "onnxruntime"}, "cpu-int8": {"runtime": "tflite", "precision": "int8"}}},
        "its `runtime` is tflite, that of `cpu` in int8 is onnxruntime",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_malformed_precisions_are_refused(name: str) -> None:
    changes, text = BAD[name]
    with pytest.raises(ConfigError) as caught:
        parse_experiment({**EXPERIMENT, "tiers": BOTH, **changes}, where="test")
    assert text in str(caught.value)


def test_a_runtime_without_int8_and_a_source_without_networks_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, FEW, tiers=BOTH, setups={"cpu": {"runtime": "pytorch"}})
    with pytest.raises(ConfigError, match=r"`pytorch` on `cpu` computes nothing in int8") as caught:
        open_run(path)
    assert "would stay in fp32" in str(caught.value.allowed)
    path = written(tmp_path, FEW, tiers=BOTH, accuracy={"source": "standalone", "epochs": 1})
    with pytest.raises(ConfigError, match="accuracies of `standalone` are of networks in fp32"):
        open_run(path)


def test_a_choice_may_not_have_the_name_of_the_gene() -> None:
    space = FunctionSpace("taken", lambda choose: ((1, 8, 8), {"head": Classifier(1, choose("precision", [8, 16]))}))
    with pytest.raises(ConfigError, match="a choice of the space is called `precision`"):
        PrecisionSpace(space, ("fp32", "int8"))


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    path = tmp_path_factory.mktemp("space") / "space.yaml"
    path.write_text(FEW)
    return read_space(path)


def test_a_difference_is_learned_from_few_pairs() -> None:
    codebook = codebook_of(read_space(REPOSITORY / "search_spaces" / "digits.yaml"))
    kernels = np.array([choice.name.endswith("kernel") for choice in codebook.choices])
    covered = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        codes = codebook.draw(140, rng)
        truth = -0.002 * np.where(codebook.active(codes), codes, 0)[:, kernels].sum(axis=1)
        noisy = truth + rng.normal(0, 0.001, len(truth))
        mean, deviation = DifferencePredictor.fit(codebook, codes[:40], noisy[:40]).predict(codes[40:])
        assert np.abs(mean - truth[40:]).mean() < 0.6 * np.abs(truth[:40].mean() - truth[40:]).mean()
        covered.append((np.abs(mean - noisy[40:]) <= 2 * deviation).mean())
    assert np.mean(covered) > 0.85
    constant, _ = DifferencePredictor.fit(codebook, codes[:40], np.full(40, -0.01)).predict(codes[40:])
    assert np.allclose(constant, -0.01)
    with pytest.raises(PredictionError, match="3 differences of 3 networks"):
        DifferencePredictor.fit(codebook, codes[:3], truth[:3])
