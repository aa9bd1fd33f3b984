"""Training: resumed is uninterrupted, divergence stops it, checkpoints are whole or refused."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from hwnas.data import Dataset, load_data
from hwnas.errors import ConfigError, RunError, TrainingError
from hwnas.network import lower
from hwnas.space import parse_space
from hwnas.stored_names import stored
from hwnas.supernet import Recipe, Step, Supernet, identity_of, load_trained, train
from hwnas.supernet.strategies import open_strategy
from hwnas.supernet.training import checkpoint
from hwnas.supernet.training.recipe import make_optimizer
from hwnas.supernet.training.resume import LATER_FIELDS, NEUTRAL_FIELDS
from hwnas.supernet.training.schedules import learning_rate
from hwnas.supernet.training.step import take_step
from hwnas.supernet.training.task import ActiveSubnet, TrainTask
from hwnas.tasks import Batch
from tests.helpers.training import RAW, RECIPE, SPACE, assert_equal, small_data, weights


@pytest.fixture(scope="module")
def data() -> Dataset:
    return small_data()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(Supernet(SPACE), SPACE, data, RECIPE, folder)
    return folder


# --- resume ---


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_resumed_equals_uninterrupted(optimizer: Any, tmp_path: Path, data: Dataset) -> None:
    recipe = replace(RECIPE, optimizer=optimizer, learning_rate=0.01)
    whole = train(Supernet(SPACE), SPACE, data, recipe, tmp_path / "whole")

    def stop(epoch: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        torch.manual_seed(random.randrange(10**6))  # what happened in the process before is of no account
        with pytest.raises(KeyboardInterrupt):
            train(Supernet(SPACE), SPACE, data, recipe, tmp_path / "parts", on_epoch=stop)
    history = train(Supernet(SPACE), SPACE, data, recipe, tmp_path / "parts")
    assert [replace(e, seconds=0) for e in history] == [replace(e, seconds=0) for e in whole]
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


KILLED = """
import sys
from pathlib import Path
from hwnas.supernet import Supernet, train
from tests.helpers.training import RECIPE
from tests.helpers.training import SPACE
from tests.helpers.training import small_data
train(Supernet(SPACE), SPACE, small_data(), RECIPE, Path(sys.argv[1]),
      on_step=lambda step: print(step.epoch, step.step, flush=True))
"""


@pytest.mark.slow
def test_killed_in_an_epoch_and_continued_equals_uninterrupted(
    tmp_path: Path, data: Dataset, uninterrupted: Path, repository: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=repository,
        env=environment,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "2 3\n":
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["checkpoint-0001.pt"]
    train(Supernet(SPACE), SPACE, data, RECIPE, tmp_path)
    assert_equal(weights(tmp_path), weights(uninterrupted))


def test_a_finished_training_is_loaded_and_nothing_is_written(uninterrupted: Path, data: Dataset) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in uninterrupted.iterdir()}
    supernet = Supernet(SPACE, seed=9)

    def refuse(step: Step) -> None:
        raise AssertionError("a step was made")

    assert len(train(supernet, SPACE, data, RECIPE, uninterrupted, on_step=refuse)) == 3
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in uninterrupted.iterdir()} == before
    other = Supernet(SPACE)
    history, path = load_trained(other, uninterrupted, identity_of(SPACE, data, RECIPE, 0))
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    assert path.name == "checkpoint-0003.pt"
    assert_equal(other.state_dict(), supernet.state_dict())


def test_the_last_two_checkpoints_are_kept(uninterrupted: Path) -> None:
    assert sorted(path.name for path in uninterrupted.iterdir()) == ["checkpoint-0002.pt", "checkpoint-0003.pt"]


def test_a_checkpoint_holds_what_it_always_held(uninterrupted: Path) -> None:
    """Trainings that were begun by an earlier hwnas are continued."""
    content = checkpoint.load(checkpoint.checkpoints(uninterrupted)[-1])
    assert set(content) == {"format", "epoch", "identity", "weights", "optimizer", "history"}
    assert content["identity"].keys() == {"space", "dataset", "seed", "recipe"}
    left_out = {*NEUTRAL_FIELDS, *LATER_FIELDS}
    told = {key: value for key, value in stored(vars(RECIPE), "train").items() if key not in left_out}
    assert content["identity"]["recipe"] == told
    assert set(content["history"][0]) == {"epoch", "loss", "smallest", "largest", "learning_rate", "seconds"}


def test_training_learns_and_tells_where_it_is(tmp_path: Path, data: Dataset) -> None:
    steps: list[Step] = []
    recipe = replace(RECIPE, epochs=6, augment="none", learning_rate=0.2)
    history = train(Supernet(SPACE), SPACE, data, recipe, tmp_path, on_step=steps.append)
    assert history[-1].loss < 0.8 * history[0].loss
    assert history[-1].largest > 0.3 > 0.1
    assert [(s.epoch, s.step) for s in steps] == [(epoch, step) for epoch in range(1, 7) for step in range(1, 7)]
    assert {(s.epochs, s.steps) for s in steps} == {(6, 200 // 32)}
    assert steps[-1].loss == history[-1].loss


def test_a_training_leaves_the_global_generator_alone(tmp_path: Path, data: Dataset) -> None:
    before = torch.get_rng_state()
    train(Supernet(SPACE), SPACE, data, replace(RECIPE, epochs=1), tmp_path)
    assert torch.equal(before, torch.get_rng_state())


CHANGES: dict[str, dict[str, Any]] = {
    "train.learning_rate: 0.1 then, 0.2 now": {"recipe": replace(RECIPE, learning_rate=0.2)},
    "train.epochs: 3 then, 4 now": {"recipe": replace(RECIPE, epochs=4)},
    "train.augment: 'shift' then, 'none' now": {"recipe": replace(RECIPE, augment="none")},
    "seed: 0 then, 1 now": {"seed": 1},
    "space: 'tiny' then, 'other' now": {"space": parse_space({**RAW, "name": "other"}, where="other.yaml")},
    "dataset: 'digits limit=200' then, 'digits' now": {"data": {"name": "digits"}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_recipe_is_refused_by_name(change: str, uninterrupted: Path, data: Dataset) -> None:
    given = {"space": SPACE, "recipe": RECIPE, "seed": 0, **CHANGES[change]}
    dataset = load_data(given["data"], seed=0) if "data" in given else data
    space = given["space"]
    with pytest.raises(RunError, match="training was begun differently") as caught:
        train(Supernet(space), space, dataset, given["recipe"], uninterrupted, seed=given["seed"])
    assert f"({change})" in caught.value.met
    assert "checkpoint-0003.pt" in caught.value.where
    with pytest.raises(RunError, match="training was begun differently"):
        load_trained(Supernet(space), uninterrupted, identity_of(space, dataset, given["recipe"], given["seed"]))


def test_weights_of_an_edited_space_are_refused(uninterrupted: Path, data: Dataset) -> None:
    wider = {**RAW, "stages": [{**RAW["stages"][0], "width": [8, 24]}, *RAW["stages"][1:]]}
    space = parse_space(wider, where="tiny.yaml")
    message = r"weights do not fit space `tiny`, first `\S+`: \[\S.*\] then, \[\S.*\] now"
    with pytest.raises(RunError, match=message):
        load_trained(Supernet(space), uninterrupted)
    with pytest.raises(RunError, match=message):
        train(Supernet(space), space, data, RECIPE, uninterrupted)
    fewer = parse_space({**RAW, "stages": [RAW["stages"][0], RAW["stages"][2]]}, where="tiny.yaml")
    with pytest.raises(RunError, match="now"):
        load_trained(Supernet(fewer), uninterrupted)


def test_killed_while_a_checkpoint_is_written_equals_uninterrupted(
    uninterrupted: Path, tmp_path: Path, data: Dataset
) -> None:
    """What is left is a part of a file under another name, beside whole checkpoints."""
    content = copied(uninterrupted, tmp_path).read_bytes()
    (tmp_path / "checkpoint-0003.pt").unlink()
    for name in ("checkpoint-0003.part", ".checkpoint-0003.pt.4194400.part"):
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    train(Supernet(SPACE), SPACE, data, RECIPE, tmp_path)
    assert_equal(weights(tmp_path), weights(uninterrupted))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-0002.pt", "checkpoint-0003.pt"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("strategy", ["sandwich", "fair"])
def test_a_gpu_trains_in_bf16_with_channels_last(strategy: str, tmp_path: Path, data: Dataset) -> None:
    recipe = replace(
        RECIPE,
        precision="bf16",
        channels_last=True,
        strategy=strategy,
        ema_decay=0.9,
        grad_accumulation_steps=2,
        num_random_subnets=1,
    )
    history = train(Supernet(SPACE).to("cuda"), SPACE, data, recipe, tmp_path)
    assert history[-1].loss < history[0].loss
    kept = weights(tmp_path)
    assert all(value.dtype == torch.float32 for value in kept["weights"].values())
    on_cpu = Supernet(SPACE)
    load_trained(on_cpu, tmp_path)
    assert_equal(on_cpu.state_dict(), kept["average"])


# --- divergence ---


def poisoned(data: Dataset, from_epoch: int) -> Dataset:
    """The same data, whose training images turn into NaN when they are read in that epoch."""

    class Poisoned:
        shape = data.train.inputs.shape
        reads = 0

        def __len__(self) -> int:
            return len(data.train.inputs)

        def take(self, indices: torch.Tensor) -> torch.Tensor:
            self.reads += 1
            images = data.train.inputs.take(indices).float()
            steps = 200 // RECIPE.batch_size
            calibration = RECIPE.calibration_batches
            return images * float("nan") if self.reads > calibration + (from_epoch - 1) * steps + 3 else images

    return replace(data, train=replace(data.train, inputs=Poisoned()))


@pytest.mark.parametrize("epoch", [1, 3])
def test_what_is_not_finite_stops_training_with_the_last_good_checkpoint(
    epoch: int, tmp_path: Path, data: Dataset
) -> None:
    with pytest.raises(TrainingError) as caught:
        train(Supernet(SPACE), SPACE, poisoned(data, epoch), RECIPE, tmp_path)
    assert f"diverged in epoch {epoch}, step 4: the loss of architecture {SPACE.largest().key} {{" in caught.value.met
    good = checkpoint.checkpoints(tmp_path)
    if epoch == 1:
        assert (good, caught.value.allowed) == ([], "Last good checkpoint: none, it was the first epoch")
    else:
        assert caught.value.allowed == f"Last good checkpoint: {good[-1]}"
        assert good[-1].name == "checkpoint-0002.pt"
        assert all(value.isfinite().all() for value in weights(tmp_path)["weights"].values())


def test_a_far_too_high_rate_stops_training_and_keeps_no_checkpoint(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(TrainingError, match="diverged in epoch 1, step"):
        train(Supernet(SPACE), SPACE, data, replace(RECIPE, learning_rate=1e30, max_grad_norm=1e30), tmp_path)
    assert checkpoint.checkpoints(tmp_path) == []


def one_step(supernet: Supernet, images: torch.Tensor) -> float | None:
    course = course_of(supernet.train(), RECIPE)
    subnets = course.subnets(Step(1, 1, 1, 1, 0.0), random.Random(0))
    return take_step(course, subnets, Batch(images, torch.arange(len(images)) % 10), seed=0, number=1)


def course_of(supernet: Supernet, recipe: Recipe, **more: Any) -> TrainTask:
    """A course whose steps are made by hand; it has no images."""
    strategy = open_strategy(SPACE, recipe)

    def subnets(step: Step, rng: random.Random) -> list[ActiveSubnet]:
        return [
            ActiveSubnet(
                partial(supernet, network=lower(SPACE, lesson.architecture)), lesson.architecture, lesson.teacher
            )
            for lesson in strategy(step, rng)
        ]

    given = {"split": None, "recipe": recipe, "optimizer": make_optimizer(supernet, recipe), "subnets": subnets}
    return TrainTask(module=supernet, **{**given, **more})


@pytest.mark.parametrize("what", ["loss", "gradients"])
def test_a_step_that_is_not_finite_changes_no_weight(what: str) -> None:
    supernet, images = Supernet(SPACE), torch.randn(8, 1, 8, 8)
    if what == "loss":
        images[0, 0, 0, 0] = float("nan")
    else:
        with torch.no_grad():  # finite logits and losses, whose gradients overflow
            supernet.get_parameter("head_1/classifier/linear/weight").mul_(1e25)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with pytest.raises(FloatingPointError, match=f"the {what} of architecture .* (is|are) not finite"):
        one_step(supernet, images)
    assert_equal(supernet.state_dict(), before)


@pytest.mark.parametrize("steps", [((0,), (0, 1), (1,)), ((0, 1), (1,), (0,))])
def test_a_weight_may_have_its_first_gradient_later_than_others(steps: tuple[tuple[int, ...], ...]) -> None:
    """As kernels' matrices do after epochs of the largest network alone, and layers that a single path leaves out."""
    ended = []
    for fused in (True, False):
        module = nn.ParameterList(torch.ones(2, 2, dtype=torch.float64) for _ in range(2))
        optimizer = make_optimizer(module, Recipe(learning_rate=0.1))
        for group in optimizer.param_groups:
            group["fused"] = fused
        for trained in steps:
            optimizer.zero_grad()
            torch.stack([module[index].square().sum() for index in trained]).sum().backward()
            optimizer.step()
        ended.append([value.detach() for value in module])
    assert_close(*ended)


def test_a_batch_that_does_not_fit_is_refused(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(ConfigError, match="`batch_size` is 201, and 200 samples are for training"):
        train(Supernet(SPACE), SPACE, data, replace(RECIPE, batch_size=201), tmp_path)
    assert not list(tmp_path.iterdir())


# --- checkpoints on the disk ---


def copied(folder: Path, to: Path) -> Path:
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return checkpoint.checkpoints(to)[-1]


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "a flipped byte": lambda content: _flipped(content),
    "something else": lambda content: b"name: digits\n" * 100,
}


def _flipped(content: bytes) -> bytes:
    """One bit inside the first weights: a place that no header and no padding covers."""
    place = content.index(b"data/0") + 600
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_names_the_earlier_one(
    damage: str, uninterrupted: Path, tmp_path: Path, data: Dataset
) -> None:
    path = copied(uninterrupted, tmp_path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(RunError, match="damaged or not one of hwnas") as caught:
        load_trained(Supernet(SPACE), tmp_path)
    assert caught.value.where == str(path)
    assert caught.value.do == "Delete checkpoint-0003.pt to go on from checkpoint-0002.pt"
    path.unlink()
    train(Supernet(SPACE), SPACE, data, RECIPE, tmp_path)
    assert_equal(weights(tmp_path), weights(uninterrupted))


def test_the_only_checkpoint_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-0001.pt").write_bytes(b"PK")
    with pytest.raises(RunError) as caught:
        load_trained(Supernet(SPACE), tmp_path)
    assert caught.value.do == "Delete checkpoint-0001.pt to train from the beginning"
    (tmp_path / "checkpoint-0002.pt").mkdir()
    with pytest.raises(RunError, match="damaged or not one of hwnas"):
        load_trained(Supernet(SPACE), tmp_path)


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_a_pickled_program_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    torch.save({"format": 1, "weights": Malicious(mark)}, tmp_path / "checkpoint-0001.pt")
    with pytest.raises(RunError, match="damaged or not one of hwnas"):
        load_trained(Supernet(SPACE), tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [[1, 2], {"weights": {}}, torch.zeros(3), {"format": 99}], ids=str)
def test_another_file_of_torch_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "checkpoint-0001.pt")
    with pytest.raises(RunError, match="damaged or not one of hwnas"):
        load_trained(Supernet(SPACE), tmp_path)


def test_a_checkpoint_of_another_format_says_so(uninterrupted: Path, tmp_path: Path) -> None:
    torch.save({**weights(uninterrupted), "format": 99}, tmp_path / "checkpoint-0001.pt")
    with pytest.raises(RunError, match="format 99, this version of hwnas reads 1"):
        load_trained(Supernet(SPACE), tmp_path)


def test_nothing_to_load_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no checkpoint") as caught:
        load_trained(Supernet(SPACE), tmp_path / "train")
    assert "hwnas train" in caught.value.do


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_earlier_checkpoints(uninterrupted: Path, tmp_path: Path) -> None:
    copied(uninterrupted, tmp_path)
    content = {key: value for key, value in weights(uninterrupted).items() if key not in ("format", "epoch")}
    with full_disk(4096), pytest.raises(RunError, match=r"epoch 4 cannot be written \(File too large\)") as caught:
        checkpoint.save(tmp_path, 4, content)
    assert caught.value.allowed == "Earlier checkpoints are untouched"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-0002.pt", "checkpoint-0003.pt"]
    checkpoint.save(tmp_path, 4, content)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-0003.pt", "checkpoint-0004.pt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written") as caught:
        checkpoint.save(tmp_path / "file" / "train", 1, {})
    assert str(tmp_path / "file" / "train") in caught.value.where


# --- recipe ---


@given(st.sampled_from(["cosine", "linear"]), st.integers(1, 50), st.floats(0, 60), st.floats(1e-4, 10))
def test_the_rate_rises_to_its_peak_and_falls_to_zero(schedule: Any, epochs: int, warm_up: float, peak: float) -> None:
    recipe = Recipe(epochs=epochs, warm_up_epochs=warm_up, learning_rate=peak, schedule=schedule)
    rates = [learning_rate(recipe, epochs * part / 200) for part in range(201)]
    turn = min(range(201), key=lambda part: abs(epochs * part / 200 - warm_up))
    assert all(0 <= rate <= peak * (1 + 1e-9) for rate in rates)
    assert all(a <= b * (1 + 1e-9) for a, b in pairwise(rates[:turn]))
    assert all(a >= b * (1 - 1e-9) for a, b in pairwise(rates[turn + 1 :]))
    assert rates[0] > 0
    if warm_up < epochs:
        assert learning_rate(recipe, warm_up) == pytest.approx(peak)
        assert learning_rate(recipe, epochs) == pytest.approx(0, abs=1e-9 * peak)


def test_decay_spares_biases_and_normalisation() -> None:
    supernet = Supernet(SPACE)
    decayed, spared = make_optimizer(supernet, RECIPE).param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in spared["params"]} == {1}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (RECIPE.weight_decay, 0)
    assert len(decayed["params"]) + len(spared["params"]) == len(list(supernet.parameters()))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_largest_network_learns_from_labels_and_the_others_from_it(temperature: float) -> None:
    supernet, images, labels = Supernet(SPACE).train(), torch.randn(8, 1, 8, 8), torch.arange(8)
    recipe = replace(RECIPE, num_random_subnets=0, label_smoothing=0.0, max_grad_norm=1e9, temperature=temperature)
    largest, smallest = (lower(SPACE, a) for a in (SPACE.largest(), SPACE.smallest()))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss = cross_entropy(supernet(images, largest), labels)
        torch.manual_seed(0)
        taught = (supernet(images, largest).detach() / temperature).softmax(1)
        soft = cross_entropy(supernet(images, smallest) / temperature, taught) * temperature**2
        (loss + soft).backward()
        expected = {name: value.grad for name, value in supernet.named_parameters()}
        torch.manual_seed(0)
        course = course_of(supernet, recipe, optimizer=torch.optim.SGD(supernet.parameters(), lr=0.0))
        told = take_step(course, course.subnets(Step(1, 1, 1, 1, 0.0), random.Random(0)), Batch(images, labels), 0, 1)
    assert told == pytest.approx(loss.item())
    for name, value in supernet.named_parameters():
        assert_close(value.grad, expected[name])


@pytest.mark.parametrize("change", [{"precision": "bf16"}, {"channels_last": True}, {"num_random_subnets": 0}], ids=str)
def test_other_recipes_train(change: dict[str, Any], tmp_path: Path, data: Dataset) -> None:
    history = train(Supernet(SPACE), SPACE, data, replace(RECIPE, epochs=2, **change), tmp_path)
    assert history[-1].loss < history[0].loss
    assert all(value.dtype == torch.float32 for value in weights(tmp_path)["weights"].values())
