"""A teacher of the user's: what is learned from it, how it is named, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from hwnas.data import Dataset
from hwnas.errors import ConfigError
from hwnas.network import build, lower
from hwnas.pipeline import open_run
from hwnas.supernet import Supernet, train
from hwnas.supernet.training.resume import identity_dict
from hwnas.supernet.training.standalone import train_standalone
from hwnas.supernet.training.step import take_step
from hwnas.supernet.training.task import ActiveSubnet, TrainTask
from hwnas.supernet.training.teacher import checked_teacher, teacher_of_weights
from hwnas.tasks import Batch
from hwnas.workspace.training.teacher import open_teacher
from tests.helpers.teams import SPACE, TWO, random_data

RECIPE = replace(TWO, strategy="sandwich", processes=1, ema_decay=0.0, epochs=1, label_smoothing=0.0)


class Knowing(nn.Module):
    """Says class 1 of everything."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.eye(4)[1].expand(len(images), 4) * 5


@pytest.fixture(scope="module")
def data() -> Dataset:
    return random_data()


@pytest.mark.parametrize(("weight", "temperature"), [(0.3, 1.0), (0.5, 4.0), (1.0, 2.0)])
def test_networks_that_learn_from_labels_learn_from_the_teacher_by_its_weight(
    weight: float, temperature: float
) -> None:
    """The others learn from those; the teacher's probabilities and the network's are both at the temperature."""
    supernet, images, labels = Supernet(SPACE).train(), torch.randn(8, 1, 8, 8), torch.arange(8) % 4
    recipe = replace(RECIPE, teacher="x", distill_weight=weight, temperature=temperature, max_grad_norm=1e9)
    network = lower(SPACE, SPACE.largest())
    teacher = Knowing()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        logits = supernet(images, network)
        soft = cross_entropy(logits / temperature, (teacher(images) / temperature).softmax(1)) * temperature**2
        loss = (1 - weight) * cross_entropy(logits, labels) + weight * soft
        loss.backward()
        expected = {name: value.grad for name, value in supernet.named_parameters()}
        torch.manual_seed(0)
        optimizer = torch.optim.SGD(supernet.parameters(), lr=0.0)
        course = TrainTask(supernet, None, recipe, optimizer, lambda step, rng: [], teacher)  # type: ignore[arg-type]
        subnet = ActiveSubnet(lambda x: supernet(x, network), SPACE.largest())
        told = take_step(course, [subnet], Batch(images, labels), 0, 1)
    assert told == pytest.approx(loss.item())
    for name, value in supernet.named_parameters():
        assert_close(value.grad, expected[name])


def test_a_network_learns_what_only_the_teacher_knows(data: Dataset) -> None:
    recipe = replace(RECIPE, epochs=3, teacher="x", distill_weight=1.0)
    network = lower(SPACE, SPACE.smallest())
    module = train_standalone(network, data, recipe, teacher=Knowing())
    with torch.no_grad():
        said = module(data.validation.every()).argmax(1)
    assert (said == 1).float().mean() > 0.95


@pytest.mark.parametrize("named", [True, False])
def test_a_recipe_and_its_teacher_go_together(named: bool, data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, teacher="x" if named else None)
    with pytest.raises(ConfigError, match="the recipe says `teacher="):
        train(Supernet(SPACE), SPACE, data, recipe, tmp_path, teacher=None if named else Knowing())


def test_weights_of_a_file_make_the_network_that_they_were_of(tmp_path: Path, data: Dataset) -> None:
    network = lower(SPACE, SPACE.largest())
    module = build(network).eval()
    save_file(module.state_dict(), tmp_path / "teacher.safetensors")
    teacher = checked_teacher(teacher_of_weights(tmp_path / "teacher.safetensors", network), data, "x", network.task)
    images = data.validation.every()
    with torch.no_grad():
        assert torch.equal(teacher(images), module(images))
    with pytest.raises(ConfigError, match="the weights are not of the network that is named"):
        teacher_of_weights(tmp_path / "teacher.safetensors", lower(SPACE, SPACE.smallest()))
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickled.safetensors")
    for missing in ("pickled.safetensors", "none.safetensors"):
        with pytest.raises(ConfigError, match="the weights cannot be read"):
            teacher_of_weights(tmp_path / missing, network)


BAD: dict[str, Any] = {
    "it is int": 3,
    r"of two images it makes \(2, 5\)": nn.Sequential(nn.Flatten(), nn.Linear(64, 5)),
    r"it does not run on two images \(RuntimeError": nn.Linear(3, 4),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_no_teacher_for_the_images_is_refused(message: str, data: Dataset) -> None:
    with pytest.raises(ConfigError, match=message):
        checked_teacher(BAD[message], data, "x", lower(SPACE, SPACE.largest()).task)


OWN = """
import torch
from torch import nn

def teacher():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def broken():
    return 1 / 0
"""


def experiment(folder: Path, **train: Any) -> Path:
    (folder / "own.py").write_text(OWN)
    raw = {
        "name": "taught", "space": "digits", "data": {"name": "digits", "limit": 100}, "train": {"epochs": 1, **train},
        "setups": {"here": {"runtime": "onnxruntime"}}, "tiers": {"edge": {"setup": "here"}},
    }  # fmt: skip
    (folder / "taught.yaml").write_text(yaml.safe_dump(raw))
    return folder / "taught.yaml"


def test_an_experiment_names_its_teacher_by_a_function_or_by_weights(tmp_path: Path) -> None:
    assert open_teacher(open_run(experiment(tmp_path), runs=tmp_path)) is None
    teacher = open_teacher(open_run(experiment(tmp_path, teacher="own.py:teacher"), runs=tmp_path))
    assert teacher is not None
    assert not teacher.training
    with pytest.raises(ConfigError, match=r"own\.py:9: `own\.py:broken` raised ZeroDivisionError"):
        open_teacher(open_run(experiment(tmp_path, teacher="own.py:broken"), runs=tmp_path))
    reference = experiment(tmp_path, teacher="t.safetensors", teacher_space="digits", teacher_architecture="smallest")
    run = open_run(reference, runs=tmp_path)
    save_file(build(run.network(run.space.smallest())).state_dict(), tmp_path / "t.safetensors")
    assert open_teacher(run) is not None
    unsaid = open_run(experiment(tmp_path, teacher="t.safetensors"), runs=tmp_path)
    with pytest.raises(ConfigError, match="it is not said of which space the weights are"):
        open_teacher(unsaid)


def test_the_teacher_decides_the_weights_and_is_part_of_what_a_training_is() -> None:
    assert identity_dict(replace(RECIPE, teacher="x")) != identity_dict(RECIPE)
    assert identity_dict(replace(RECIPE, on_divergence="halve_lr", launcher="ray")) == identity_dict(RECIPE)
