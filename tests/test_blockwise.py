"""Blocks of an opened network, distilled one by one: their scores add up, and the front of sums is exact."""

from __future__ import annotations

import hashlib
import json
import math
import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from hwnas import pipeline
from hwnas.accuracy.additive_front import Form, exact_front
from hwnas.accuracy.block_distillation import BlockDistiller
from hwnas.accuracy.blockwise import BlockwiseAccuracy
from hwnas.errors import ConfigError, RunError
from hwnas.opened.build import OpenedBuild
from hwnas.problem.preflight import preflight_check
from hwnas.tasks import DEFAULT_TASK
from tests.helpers.experiments import EXPERIMENT
from tests.helpers.experiments import written as small

CHOICES = {
    "stages.0.blocks.0.conv1.width": [8, 16],
    "stages.1.blocks.1.conv1.width": [16, 32],
    "stages_1_blocks_1.depth": [0, 1],
}


@pytest.fixture(scope="module")
def finished(net: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run on blockwise scores, with successive halving and the opened network as the teacher."""
    top = tmp_path_factory.mktemp("chain")
    rungs = [{"score": "blockwise", "networks": 4}, {"score": "standalone", "networks": 2, "epochs": 1}]
    raw: dict[str, Any] = {
        **EXPERIMENT,
        "space": {"network": f"{net}:model", "weights": str(weights), "choices": CHOICES},
        "accuracy": {"source": "blockwise", "samples": 64, "calibration_batches": 1, "batch_size": 64, "epochs": 2},
        "train": {"epochs": 1, "batch_size": 64, "learning_rate": 0.02, "teacher": "network"},
        "search": {"trials": 6, "sampler": "guided", "successive_halving": rungs},
        "export": {"formats": ["onnx"], "fine_tune_epochs": 1, "picks": ["best"]},
    }
    raw["timing"] = {**raw["timing"], "validation_networks": 0}
    (top / "mini.yaml").write_text(yaml.safe_dump(raw))
    pipeline.run(top / "mini.yaml", runs=top / "runs")
    pipeline.halving(top / "mini.yaml", runs=top / "runs")
    return top / "runs" / "mini"


def test_the_front_of_sums_is_that_of_all_networks() -> None:
    rng = random.Random(3)
    for _ in range(20):
        blocks: list[list[Form]] = []
        for index in range(4):
            shared = {"a": (0, 1)} if index in (0, 2) else {"b": (0, 1, 2)} if index in (1, 3) else {}
            own = {f"own{index}": (0, 1)}
            names = {**shared, **own}
            forms = [
                Form(dict(zip(names, values, strict=True)), rng.random(), rng.random())
                for values in product(*names.values())
            ]
            blocks.append([*forms, Form({f"own{index}": 9}, 0.1 * rng.random(), rng.random())])
        everything = []
        for picked in product(*blocks):
            options: dict[str, Any] = {}
            if all(options.setdefault(k, v) == v for form in picked for k, v in form.picks.items()):
                everything.append((sum(form.cost for form in picked), sum(form.loss for form in picked)))
        expected, least = [], float("inf")
        for cost, loss in sorted(everything):
            if loss < least:
                expected.append((cost, loss))
                least = loss
        found = exact_front(blocks)
        assert {round(loss, 9) for _, loss, _ in found} <= {round(loss, 9) for _, loss in expected}
        assert len(found) >= len(expected) - 2  # costs that differ by less than the grid are one
        for cost, loss, options in found:
            assert any(abs(cost - c) < 1e-9 and abs(loss - one) < 1e-9 for c, one in everything)
            assert options


def test_a_block_that_is_replaced_by_itself_changes_nothing_and_distillation_brings_smaller_ones_near(
    net: Path, weights: Path
) -> None:
    space, _ = pipeline.open_space({"network": f"{net}:model", "weights": str(weights), "choices": CHOICES})
    build = space.build  # type: ignore[union-attr]
    assert isinstance(build, OpenedBuild)
    inputs = torch.rand(192, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    distiller = BlockDistiller(build.network, inputs[:128], inputs[128:], DEFAULT_TASK, 12, 0)
    for index, features in distiller.blocks():
        forms = [operator for _, operator in build.forms(index) if operator is not None]
        whole = distiller.distilled(forms[-1], features)
        assert distiller.divergence(index, whole, dict(forms[-1].origin.members), features) < 1e-4
        if len(forms) > 1:
            members = dict(forms[0].origin.members)
            sliced = build.network.part(index, members).eval()
            before = distiller.divergence(index, sliced, members, features)
            learned = distiller.distilled(forms[0], features)
            assert distiller.divergence(index, learned, members, features) < before
            with torch.no_grad():
                next(sliced.parameters()).fill_(torch.nan)
            assert distiller.divergence(index, sliced, members, features) == math.inf, "no numbers are not the best"
            again = distiller.distilled(forms[0], features)
            assert all(torch.equal(a, b) for a, b in zip(learned.parameters(), again.parameters(), strict=True))


def test_blocks_of_an_assembly_make_up_for_what_those_before_them_do_otherwise(net: Path, weights: Path) -> None:
    space, _ = pipeline.open_space({"network": f"{net}:model", "weights": str(weights), "choices": CHOICES})
    build = space.build  # type: ignore[union-attr]
    assert isinstance(build, OpenedBuild)
    inputs = torch.rand(192, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    distiller = BlockDistiller(build.network, inputs[:128], inputs[128:], DEFAULT_TASK, 12, 0)
    wanted = [build.forms(index)[0][1] for index in range(len(build.network.links))]  # narrow, or left out
    operators = [operator for operator in wanted if operator is not None]
    joint = distiller.assembled(operators)
    alone = [distiller.distilled(one, some) for index, some in distiller.blocks() if (one := wanted[index]) is not None]
    assert all(map(torch.equal, joint[0].parameters(), alone[0].parameters())), "nothing before it is smaller"
    with torch.no_grad():
        expected = build.network.run(distiller.holdout, {})
        far = [DEFAULT_TASK.distill(nn.Sequential(*some)(distiller.holdout), expected, 1.0) for some in (joint, alone)]
    own = DEFAULT_TASK.distill(expected, expected, 1.0)
    assert far[0] - own < 0.7 * (far[1] - own), [float(one - own) for one in far]


def test_a_run_on_blockwise_scores_ends_with_files_of_distilled_blocks(finished: Path) -> None:
    manifest = json.loads((finished / "bundle" / "cloud" / "manifest.json").read_text())
    (model,) = manifest["models"]
    assert model["weights"].startswith("of the network that was opened, block by block distilled")
    assert model["fine_tuned"]["validation_top1"]["after"]["value"] > 0.3
    assert (finished / "report.html").is_file()
    scores = {point.key: point.scores["score@blockwise"] for point in pipeline.fronts(finished)[0].front}
    assert max(scores.values()) == pytest.approx(0, abs=1e-3)  # the largest network is the given one


def test_scores_are_sums_over_blocks_and_are_kept(finished: Path) -> None:
    run = pipeline.open_run(finished)
    (file,) = (finished / "blockwise").iterdir()
    parts = json.loads(file.read_text())
    assert parts["stages_1_blocks_1"].keys() == {"", "32,16", "32,32"}
    least = -sum(min(values.values()) for values in parts.values())
    assert max(point.scores["score@blockwise"] for point in pipeline.fronts(run.folder)[0].front) == least


@pytest.mark.parametrize("content", ['{"stem": ', "[1]", '{"stem": 1}'])
def test_damaged_divergences_are_told(content: str, tmp_path: Path) -> None:
    made = BlockwiseAccuracy(None, None, None, tmp_path, "p")  # type: ignore[arg-type]
    (tmp_path / f"{hashlib.sha256(b'p').hexdigest()[:12]}.json").write_text(content)
    with pytest.raises(RunError, match="divergences of blocks cannot be read"):
        _ = made.divergences


def test_halving_goes_on_from_blockwise_scores_to_trained_networks(finished: Path) -> None:
    rungs = json.loads((finished / "ladder" / "cloud.json").read_text())["rungs"]
    assert [rung["metric"] for rung in rungs] == ["score@blockwise", "top1@alone"]
    assert rungs[-1]["networks"] == 2


def test_blockwise_and_the_teacher_want_a_network_that_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="space is of another kind"):
        pipeline.open_run(small(tmp_path, accuracy={"source": "blockwise"}))
    path = small(tmp_path, train={"teacher": "network", "epochs": 1})
    with pytest.raises(ConfigError, match="is the network that a space opens"):
        pipeline.train(path, runs=tmp_path / "runs")


def test_blocks_do_not_learn_from_one_image(net: Path, weights: Path, tmp_path: Path) -> None:
    few = {"source": "blockwise", "calibration_batches": 1, "batch_size": 1}
    path = small(tmp_path, space={"network": f"{net}:model", "weights": str(weights)}, accuracy=few)
    with pytest.raises(ConfigError, match="blocks learn from 1 sample"):
        preflight_check(pipeline.open_run(path))
