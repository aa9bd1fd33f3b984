"""Optimizers compute what PyTorch's do, and import no compiler."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hwnas.space import read_space
from hwnas.supernet import Supernet, train
from hwnas.supernet.optimizers import eager
from tests.helpers.repository import REPOSITORY
from tests.helpers.training import RECIPE, small_data

KINDS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "fused": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.1, "fused": True}),
    "adam": (torch.optim.Adam, {"lr": 0.1}),
    "lbfgs": (torch.optim.LBFGS, {"lr": 0.1, "max_iter": 5, "line_search_fn": "strong_wolfe"}),
}


def learned(kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> tuple[list[Tensor], dict[str, Any]]:
    """Weights and state after five steps, the last three by an optimizer that took the state of another."""
    generator = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(3, 4, generator=generator).requires_grad_(), torch.randn(8, 4, generator=generator)
    optimizer = kind([weight], **options)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (inputs @ weight.T).square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    for step in range(5):
        if step == 2:
            state = optimizer.state_dict()
            optimizer = kind([weight], **options)
            optimizer.load_state_dict(state)
        optimizer.step(loss)
    return [weight.detach()], optimizer.state_dict()


@pytest.mark.parametrize("name", KINDS)
def test_steps_and_states_are_pytorchs_without_its_compiler(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, options = KINDS[name]
    theirs = learned(kind, options)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # it cannot be imported
    mine = learned(eager(kind), options)
    assert repr(mine) == repr(theirs)
    assert torch.equal(mine[0][0], theirs[0][0])


def test_a_whole_training_runs_without_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import would take 1.5 s of a processor in each process that trains."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)
    space = read_space(REPOSITORY / "search_spaces" / "digits.yaml")  # whose operators were counted beforehand
    recipe = replace(RECIPE, epochs=1)
    assert len(train(Supernet(space), space, small_data(), recipe, tmp_path)) == 1
