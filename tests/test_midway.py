"""Checkpoints within an epoch: what is stopped anywhere and continued ends as what was never stopped, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hwnas.data import Dataset
from hwnas.errors import RunError, TrainingError
from hwnas.network import build, lower
from hwnas.supernet import Recipe, Step, Supernet, train
from hwnas.supernet.distributed import train_distributed
from hwnas.supernet.training import checkpoint
from hwnas.supernet.training.standalone import train_standalone
from tests.helpers.teams import ONE, RECIPES, SPACE, part_of, random_data
from tests.helpers.training import assert_equal, weights


class Stopped(Exception):
    pass


def stop_at(epoch: int, step: int) -> Callable[[Step], None]:
    def told(at: Step) -> None:
        if (at.epoch, at.step) == (epoch, step):
            raise Stopped

    return told


@pytest.fixture(scope="module")
def data() -> Dataset:
    return random_data()


def teacher_of(recipe: Recipe) -> nn.Module | None:
    torch.manual_seed(5)
    return None if recipe.teacher is None else build(lower(SPACE, SPACE.largest())).eval()


def trained(folder: Path, data: Dataset, recipe: Recipe, **more: Any) -> None:
    train(Supernet(SPACE), SPACE, data, recipe, folder, teacher=teacher_of(recipe), **more)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_stopped_within_epochs_and_continued_equals_uninterrupted(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    trained(tmp_path / "whole", data, replace(recipe, checkpoint_every=None))
    for place in ((1, 3), (1, 6), (2, 5)):
        torch.manual_seed(sum(place))  # what happened in the process before is of no account
        with pytest.raises(Stopped):
            trained(tmp_path / "parts", data, recipe, on_step=stop_at(*place))
    steps: list[tuple[int, int]] = []
    trained(tmp_path / "parts", data, recipe, on_step=lambda at: steps.append((at.epoch, at.step)))
    assert steps == [(2, 5), (2, 6)], "it goes on after the fourth step"
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert not checkpoint.within(tmp_path / "parts").exists()


KILLED = """
import sys
from pathlib import Path
from hwnas.supernet import Supernet, train
from tests.helpers.teams import SPACE, random_data
from tests.helpers.teams import RECIPES
train(Supernet(SPACE), SPACE, random_data(), RECIPES["average, parts"], Path(sys.argv[1]),
      on_step=lambda step: print(step.epoch, step.step, flush=True))
"""


@pytest.mark.slow
def test_killed_within_an_epoch_and_continued_equals_uninterrupted(
    data: Dataset, tmp_path: Path, repository: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "parts")], stdout=subprocess.PIPE, text=True, cwd=repository,
        env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line == "2 3\n":
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    recipe, first = RECIPES["average, parts"], list[tuple[int, int]]()
    trained(tmp_path / "parts", data, recipe, on_step=lambda at: first.append((at.epoch, at.step)))
    assert first[0] in ((2, 3), (2, 5), (2, 6)), "it goes on within the second epoch"
    trained(tmp_path / "whole", data, recipe)
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


@pytest.mark.slow
def test_processes_that_are_killed_within_an_epoch_go_on_there(tmp_path: Path, data: Dataset) -> None:
    spy = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from torch import distributed\n"
        "from hwnas.supernet.strategies.sandwich import sandwich\n"
        "HERE = Path(__file__).parent\n"
        "def told(space, recipe):\n"
        "    inner = sandwich(space, recipe)\n"
        "    def lessons(step, rng):\n"
        "        rank = distributed.get_rank() if distributed.is_initialized() else 0\n"
        "        with (HERE / f'steps-{rank}').open('a') as file:\n"
        "            print(step.epoch, step.step, file=file)\n"
        "        if (HERE / 'kill').exists() and rank == 1 and (step.epoch, step.step) == (1, 4):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return inner(step, rng)\n"
        "    return lessons\n"
    )
    (tmp_path / "spy.py").write_text(spy)
    (tmp_path / "kill").touch()
    opener = partial(part_of, tmp_path / "two", tmp_path, checkpoint_every=1)
    with pytest.raises(TrainingError, match="was ended by signal 9"):
        train_distributed(opener, 2)
    (tmp_path / "kill").unlink()
    (tmp_path / "steps-0").unlink()
    train_distributed(opener, 2)
    assert (tmp_path / "steps-0").read_text().split("\n")[0] in ("1 3", "1 4")
    train_distributed(partial(part_of, tmp_path / "whole", tmp_path), 2)
    assert_equal(weights(tmp_path / "two"), weights(tmp_path / "whole"))


def test_a_network_alone_goes_on_within_an_epoch_as_well(tmp_path: Path, data: Dataset) -> None:
    network, recipe = lower(SPACE, SPACE.largest()), replace(ONE, grad_accumulation_steps=2)
    whole, folder = train_standalone(network, data, recipe), tmp_path / "parts"

    def stop(epoch: int, loss: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train_standalone(network, data, recipe, folder=folder, on_epoch=stop)
    within = recipe_stopped(network, data, recipe, folder)
    assert within["epoch"] == 2
    resumed = train_standalone(network, data, recipe, folder=folder)
    assert_equal(dict(resumed.state_dict()), dict(whole.state_dict()))


def recipe_stopped(network: Any, data: Dataset, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Stop at the second checkpoint within an epoch; what it holds."""
    real, count = checkpoint.save_within, 0

    def saving(*given: Any) -> None:
        nonlocal count
        real(*given)
        count += 1
        if count == 2:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save_within", saving)
        with pytest.raises(Stopped):
            train_standalone(network, data, recipe, folder=folder)
    return checkpoint.load(checkpoint.within(folder))


def test_a_checkpoint_of_an_epoch_that_was_ended_since_is_passed_over(data: Dataset, tmp_path: Path) -> None:
    """A process may be killed between writing the epoch's checkpoint and removing the one within."""
    with pytest.raises(Stopped):
        trained(tmp_path / "parts", data, ONE, on_step=stop_at(1, 5))
    stale = checkpoint.within(tmp_path / "parts").read_bytes()
    with pytest.raises(Stopped):
        trained(tmp_path / "parts", data, ONE, on_step=stop_at(2, 1))
    checkpoint.within(tmp_path / "parts").write_bytes(stale)
    trained(tmp_path / "parts", data, ONE)
    trained(tmp_path / "whole", data, ONE)
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_another_recipe_does_not_go_on_within_the_epoch(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        trained(tmp_path, data, ONE, on_step=stop_at(1, 3))
    with pytest.raises(RunError, match=r"train\.learning_rate"):
        trained(tmp_path, data, replace(ONE, learning_rate=0.003))


def test_an_epoch_that_diverges_after_it_was_continued_begins_again_as_if_it_had_not_been_stopped(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas.supernet.training import epoch as module

    recipe, real = replace(ONE, on_divergence="halve_lr"), module.take_step

    def diverging(course: Any, subnets: Any, batch: Any, seed: int, number: int) -> float | None:
        if number == 5 and course.optimizer.param_groups[0]["lr"] > 0.6 * recipe.learning_rate:
            raise FloatingPointError("the loss is not finite")
        return real(course, subnets, batch, seed, number)

    monkeypatch.setattr(module, "take_step", diverging)
    trained(tmp_path / "whole", data, recipe)
    assert weights(tmp_path / "whole")["halvings"] == 1
    with pytest.raises(Stopped):
        trained(tmp_path / "parts", data, recipe, on_step=stop_at(1, 4))
    trained(tmp_path / "parts", data, recipe)
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
