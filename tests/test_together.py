"""Several processes train what one does: two of them here, over gloo."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from hwnas.data import Dataset
from hwnas.errors import ConfigError, MissingExtra, RunError, TrainingError
from hwnas.supernet import Epoch, Step, Supernet, train
from hwnas.supernet.distributed import Callbacks, train_distributed
from hwnas.supernet.process_group import SINGLE_PROCESS, ProcessGroup
from hwnas.supernet.training import checkpoint
from tests.helpers.teams import SPACE, TWO, added_up, part_of, random_data, unopened

SPY = """
import os, random, signal
from pathlib import Path
from torch import distributed
from hwnas.supernet.strategies.sandwich import sandwich

HERE = Path(__file__).parent

def told(space, recipe):
    inner = sandwich(space, recipe)
    rank = distributed.get_rank() if distributed.is_initialized() else 9
    def lessons(step, rng):
        found = inner(step, rng)
        with (HERE / f"drawn-{rank}").open("a") as file:
            print(*(lesson.architecture.key for lesson in found), file=file)
        if (HERE / "kill").exists() and rank == 1 and step.epoch == 2 and step.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return lessons
"""


@pytest.fixture(scope="module")
def data() -> Dataset:
    return random_data()


def trained(folder: Path, own: Path, data: Dataset, **changes: Any) -> list[Epoch]:
    recipe = replace(TWO, **changes)
    return train(Supernet(SPACE), SPACE, data, recipe, folder, base=own)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "spy.py").write_text(SPY)
    return tmp_path


def kept(folder: Path) -> dict[str, Any]:
    return checkpoint.load(checkpoint.checkpoints(folder)[-1])


def test_two_processes_train_what_one_does_in_two_parts(own: Path, data: Dataset) -> None:
    """Losses and weights are equal to rounding, dropout and the average included; all draw the same architectures."""
    steps: list[Step] = []
    epochs: list[Epoch] = []
    train_distributed(
        partial(part_of, own / "two", own), 2, callbacks=Callbacks(step=steps.append, epoch=epochs.append)
    )
    one = trained(own / "one", own, data, processes=1, grad_accumulation_steps=2)
    assert [(step.epoch, step.step) for step in steps] == [(e, s) for e in (1, 2) for s in range(1, 7)]
    assert [epoch.loss for epoch in epochs] == pytest.approx([epoch.loss for epoch in one], rel=1e-4)
    for which in ("weights", "average"):
        assert_close(kept(own / "two")[which], kept(own / "one")[which], rtol=1e-3, atol=1e-4)
    drawn = [(own / f"drawn-{rank}").read_text() for rank in (0, 1, 9)]
    assert drawn[0] == drawn[1] == drawn[2]
    assert kept(own / "two")["identity"] == kept(own / "one")["identity"], "either goes on with the other's checkpoints"
    assert trained(own / "two", own, data, processes=1, grad_accumulation_steps=2) == [
        Epoch(**epoch) for epoch in kept(own / "two")["history"]
    ]
    with pytest.raises(RunError, match=r"train.grad_accumulation_steps: 2 then, 1 now"):
        trained(own / "two", own, data, processes=1)


def test_a_killed_process_is_told_and_one_process_goes_on(own: Path, data: Dataset) -> None:
    (own / "kill").touch()
    with pytest.raises(TrainingError, match=r"training 2 of 2 was ended by signal 9") as caught:
        train_distributed(partial(part_of, own / "two", own), 2)
    assert "Run the same command again" in caught.value.do
    assert [path.name for path in checkpoint.checkpoints(own / "two")] == ["checkpoint-0001.pt"]
    trained(own / "two", own, data, processes=1, grad_accumulation_steps=2)
    trained(own / "one", own, data, processes=1, grad_accumulation_steps=2)
    assert_close(kept(own / "two")["weights"], kept(own / "one")["weights"], rtol=1e-3, atol=1e-4)


def test_a_network_that_fails_in_one_process_alone_counts_as_zeros_there(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(added_up, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    told = [json.loads((tmp_path / f"told-{rank}.json").read_text()) for rank in (0, 1)]
    assert told == [[[3.0, 3.0], [5.0, 5.0], None]] * 2


def test_what_a_process_raises_is_raised() -> None:
    with pytest.raises(ConfigError, match="nothing is here"):
        train_distributed(unopened, 2)


# --- Ray Train, with a fake of it: it calls the workers' function in this process ---


class FakeTrain(types.ModuleType):
    """As much of Ray Train as hwnas uses."""

    def __init__(self) -> None:
        super().__init__("ray.train")
        self.asked: dict[str, Any] = {}
        self.ScalingConfig = self.TorchConfig = dict

    def get_context(self) -> Any:
        return types.SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1, get_local_rank=lambda: 0)

    def TorchTrainer(self, loop: Any, *, train_loop_config: Any, **asked: Any) -> Any:
        self.asked = asked

        def fit() -> None:
            try:
                loop(train_loop_config)
            except Exception as error:
                raise RuntimeError("a worker failed\nits traceback") from error

        return types.SimpleNamespace(fit=fit)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeTrain:
    fake = FakeTrain()
    for name in ("ray.train", "ray.train.torch"):
        monkeypatch.setitem(sys.modules, name, fake)
    return fake


def test_ray_trains_what_one_process_does(ray: FakeTrain, own: Path, data: Dataset) -> None:
    train_distributed(partial(part_of, own / "ray", own), 2, launcher="ray")
    trained(own / "one", own, data, processes=1, grad_accumulation_steps=2)
    assert_close(kept(own / "ray")["weights"], kept(own / "one")["weights"], rtol=0, atol=0)
    assert ray.asked["scaling_config"]["num_workers"] == 2
    assert ray.asked["torch_config"]["backend"] == ("nccl" if torch.cuda.is_available() else "gloo")


def test_what_a_worker_of_ray_raises_is_raised(ray: FakeTrain, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="nothing is here"):
        train_distributed(unopened, 2, launcher="ray")
    with pytest.raises(TrainingError, match=r"Ray could not train in 2 processes \(a worker failed\)"):
        train_distributed(lambda number: 1 / 0, 2, launcher="ray")  # type: ignore[arg-type, return-value]
    monkeypatch.setitem(sys.modules, "ray.train", None)
    with pytest.raises(MissingExtra, match=r"ray\.train"):
        train_distributed(unopened, 2, launcher="ray")


# --- a team, without processes ---


@pytest.mark.parametrize(("size", "parts"), [(1, 1), (2, 2), (2, 6), (3, 9)])
def test_the_parts_of_a_batch_are_shared_out_evenly(size: int, parts: int) -> None:
    shares = [list(ProcessGroup(rank, size).shard(parts)) for rank in range(size)]
    assert sorted(part for share in shares for part in share) == list(range(parts))
    assert {len(share) for share in shares} == {parts // size}


def test_alone_nothing_is_exchanged() -> None:
    tensor = torch.ones(3)
    SINGLE_PROCESS.all_reduce_([tensor])
    SINGLE_PROCESS.barrier()
    assert torch.equal(tensor, torch.ones(3))
    assert (SINGLE_PROCESS.broadcast_first("x"), SINGLE_PROCESS.broadcast_first(None), SINGLE_PROCESS.is_main) == (
        "x",
        None,
        True,
    )


@pytest.mark.parametrize("changes", [{"processes": 2, "grad_accumulation_steps": 3}, {"processes": 17}], ids=str)
def test_parts_that_processes_cannot_share_are_refused(changes: dict[str, Any], own: Path, data: Dataset) -> None:
    with pytest.raises(ConfigError, match="is cut into"):
        trained(own / "x", own, data, **changes)


def test_an_unknown_launcher_is_refused(own: Path) -> None:
    with pytest.raises(ConfigError, match="unknown launcher `slurm`"):
        train_distributed(partial(part_of, own, own), 2, launcher="slurm")
