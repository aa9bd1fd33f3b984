"""Evaluation of a definition for a network: the same network and the same seed give the same bits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.initialization import INITIALIZATIONS
from hwnas.errors import ConfigError, HwnasError, NoScore, raised
from hwnas.network import Network, build
from hwnas.tasks.ends import is_plain, shape_of, shape_text


def probe(
    name: str,
    definition: Definition,
    network: Network,
    *,
    seed: int,
    inputs: Tensor | None = None,
    targets: Tensor | None = None,
    device: str = "cpu",
) -> float:
    """Return the score of a network, a finite number.

    It is computed in one thread, so that it does not depend on the number of cores.

    Args:
        name: of the definition, for errors.
        definition: what is measured; batch and resolution are the definition's own.
        network: the network that is measured.
        seed: of weights, noise and random targets; it is the same for all networks.
        inputs: (batch, ...) of a data set, which the task fits to the network; None draws noise.
        targets: of the inputs; None draws them.
        device: where the module runs. Its weights are drawn on the CPU, so they are the same everywhere.

    Raises:
        NoScore: the definition refuses the network, or gives no finite number.
        ConfigError: the inputs have other channels than the network takes.
    """
    where = f"proxy `{name}`"
    values = []
    with _one_thread():
        for repeat in range(definition.repeats):
            with torch.random.fork_rng(devices=[]):
                subject = _subject(definition, network, _seed(seed, repeat), inputs, targets, device)
                _refuse(definition, subject, where)
                values.append(_measured(definition, subject, where))
    return math.fsum(values) / len(values)


def _subject(
    definition: Definition, network: Network, seed: int, inputs: Tensor | None, targets: Tensor | None, device: str
) -> ProxyInput:
    if not is_plain(network.input_shape) or len(network.task.outputs) > 1:
        outputs = shape_text(shape_of(network.task.outputs))
        raise ConfigError(
            f"the networks take {shape_text(network.input_shape)} and give {outputs}",
            where="training-free proxies",
            allowed="They are defined for networks with one float32 input and one output",
            do="Score by `params`, `macs` or by training",
        )
    generator = torch.Generator().manual_seed(seed)
    channels, *own = network.input_shape
    side = definition.resolution
    shape = (channels, *(own if side is None else [side] * len(own)))
    if inputs is None:
        inputs = torch.randn(definition.batch, *shape, generator=generator)
    elif inputs.shape[1] != channels:
        raise ConfigError(
            f"the inputs have {inputs.shape[1]} channels, the network takes {channels}",
            where="training-free proxies",
            allowed="Data and space agree on channels",
            do="Choose other data, or score without data",
        )
    else:
        inputs = network.task.fitted(inputs, shape)
    if targets is None:
        targets = network.task.random_targets(definition.batch, generator)
    dtype = getattr(torch, definition.dtype)
    torch.manual_seed(seed)

    def make() -> nn.Module:
        return made(definition, network, seed).to(device)

    return ProxyInput(network, make, inputs.to(device, dtype), targets.to(device), generator)


def made(definition: Definition, network: Network, seed: int) -> nn.Module:
    """Return the network's module as the definition requires it, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(network)
        INITIALIZATIONS[definition.initialization](module)
    return module.to(getattr(torch, definition.dtype)).train(definition.mode == "train")


def refusal(definition: Definition, network: Network, module: Callable[[], nn.Module]) -> str | None:
    """Return the reason why a definition does not hold for a network, None if it does; `module` makes its module."""
    if definition.labels and not network.task.has_labels:
        return "it takes gradients of the cross-entropy of labels, and the task has no labels"
    return None if definition.refuses is None else definition.refuses(module())


def _refuse(definition: Definition, subject: ProxyInput, where: str) -> None:
    if (reason := refusal(definition, subject.network, lambda: subject.module)) is not None:
        raise NoScore(
            f"the definition does not hold for this network: {reason}",
            where=where,
            allowed="A proxy scores the networks that its definition speaks of, see docs/how-to/proxies.md",
            do="Use another proxy for this space",
        )


def _measured(definition: Definition, subject: ProxyInput, where: str) -> float:
    try:
        value = float(definition.measure(subject))
    except HwnasError:
        raise
    except (RuntimeError, ValueError, ArithmeticError) as error:  # a failed decomposition is one of the first two
        raise _nothing(raised(error), where) from error
    if not math.isfinite(value):
        raise _nothing(f"the score is {value}", where)
    return value


def _nothing(problem: str, where: str) -> NoScore:
    return NoScore(
        problem,
        where=where,
        allowed="A score is a finite number",
        do="Leave the network out, or use another proxy, batch or resolution",
    )


def _seed(seed: int, repeat: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {repeat}".encode()).digest()[:6])


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
