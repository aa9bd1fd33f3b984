"""Settings of the training of a supernet, as values that are the same in an uninterrupted and a resumed training."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from hwnas.supernet.optimizers import eager


@dataclass(frozen=True)
class Recipe:
    """Settings of a training. Defaults suit small image networks trained from scratch."""

    epochs: int = 30
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.05
    """Peak rate, reached after `warm_up_epochs`."""
    warm_up_epochs: float = 1.0
    schedule: Literal["cosine", "linear", "step", "constant"] = "cosine"
    """Fall of the rate from its peak, a name in `hwnas.supernet.training.schedules.SCHEDULES`."""
    step_at: tuple[float, ...] = (0.5, 0.75)
    """With `schedule: step`, the shares of the epochs after which the rate is multiplied by `step_factor`."""
    step_factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    max_grad_norm: float = 5.0
    """Bound on the norm of all gradients of a step."""
    strategy: str = "sandwich"
    """Networks that a step trains: one of `hwnas.supernet.strategies.STRATEGIES`, or a user's `file.py:function`."""
    num_random_subnets: int = 2
    """Random networks a step, beside the largest and the smallest, of `sandwich` and `progressive`."""
    phases: tuple[tuple[str, ...], ...] = ()
    """Of `progressive`, by phase: patterns of the choices that open then; by what choices change if left out."""
    phase_epochs: tuple[int, ...] = ()
    """The epoch at which each phase begins; in equal shares if left out."""
    temperature: float = 1.0
    """Of soft labels: predictions are divided by it before they are learned from."""
    regularize: Literal["all", "largest"] = "all"
    """`largest`: no dropout in networks that learn from another one of the step, no decay of weights outside the
    largest network, as BigNAS does. Labels are smoothed for those that learn from labels, in either case."""
    grad_accumulation_steps: int = 1
    """Parts of a batch that are gone through one after the other; their gradients are those of the whole batch."""
    ema_decay: float = 0.0
    """Of the moving average of the weights; with one, the average is what is scored and exported. 0: no average."""
    augment: str = "none"
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 runs forward and backward under autocast; weights and their update stay in fp32."""
    channels_last: bool = False
    """Memory layout of the activations; with bf16 it is the faster one on CPUs with matrix units, and on GPUs."""
    kernel_transform: bool = False
    """Smaller kernels are learned maps of the centres of larger ones, as in once-for-all, not the centres alone."""
    warmup_largest_epochs: int = 0
    """Epochs at the beginning in which the largest network is trained alone, before narrower ones are."""
    sort_channels_at: tuple[int, ...] = ()
    """Epochs, from 2 to the last, at whose beginning the most important channels are brought to the front."""
    teacher: str | None = None
    """A network to learn from beside the labels: a user's `file.py:function`, or weights in a `.safetensors` file."""
    teacher_space: str | None = None
    """The space that such weights are of a network of."""
    teacher_architecture: str = "largest"
    """The network of that space: largest, smallest, or a JSON file that holds one."""
    distill_weight: float = 0.5
    """The teacher's share of the loss; the rest is that of the labels."""
    on_divergence: Literal["stop", "halve_lr"] = "stop"
    """`halve`: an epoch that diverges is gone through again from its beginning, at half the rate from then on."""
    processes: int = 1
    """Processes that train together, each on its part of every batch."""
    launcher: Literal["local", "ray"] = "local"
    """Who starts them, a name in `hwnas.supernet.distributed.LAUNCHERS`."""
    checkpoint_every: int | None = None
    """Steps after which a checkpoint is written within an epoch, beside those at the end of each; None: at the end."""
    calibration_batches: int = 8
    """Batches from which the normalisation statistics of a network are recomputed before it is scored."""
    layer_decay: float = 1.0
    """Factor of the rate from each stage, or block, to the one before it: trained weights change less the nearer they
    are to the input. 1: one rate for all."""
    initial_weights: str | None = None
    """Weights that the training begins with, by their SHA-256; None: initial ones by the seed."""


def make_optimizer(
    module: nn.Module, recipe: Recipe, *, decaying: Container[str] | None = None
) -> torch.optim.Optimizer:
    """Return the recipe's optimizer; weight decay acts on matrices and kernels, not on biases and normalisation.

    Fused: one pass over each weight. It is a large part of a step, as every weight of the supernet is updated.
    `decaying` holds the names of the parameters that may decay; all may if it is left out.
    """
    groups: list[dict[str, Any]] = []
    for scale, named in _by_depth(module, recipe.layer_decay):
        decayed, others = list[nn.Parameter](), list[nn.Parameter]()
        for name, value in named:
            (decayed if value.ndim > 1 and (decaying is None or name in decaying) else others).append(value)
        scaled = {} if recipe.layer_decay == 1 else {"lr_scale": scale}
        groups += [
            {"params": decayed, "weight_decay": recipe.weight_decay, **scaled},
            {"params": others, "weight_decay": 0.0, **scaled},
        ]
    if recipe.optimizer == "adamw":
        return eager(torch.optim.AdamW)(groups, lr=recipe.learning_rate, fused=True)
    sgd = eager(torch.optim.SGD)(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True
    )
    if recipe.momentum:
        sgd.register_step_pre_hook(_begin_momenta)
    return sgd


def _by_depth(module: nn.Module, decay: float) -> list[tuple[float, list[tuple[str, nn.Parameter]]]]:
    """Return the parameters of a module by its stages, each with the factor of their rate; all at once for 1."""
    if decay == 1:
        return [(1.0, list(module.named_parameters()))]
    stages: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, value in module.named_parameters():  # of a supernet, slots stand before a slash
        stages.setdefault(re.split("/" if "/" in name else r"\.", name)[0], []).append((name, value))
    return [(decay ** (len(stages) - depth), named) for depth, named in enumerate(stages.values(), 1)]


def _begin_momenta(sgd: torch.optim.Optimizer, *_: object) -> None:
    """Begin at zero the momentum of weights whose first gradient is later than others': fused SGD wants all or none."""
    for group in sgd.param_groups:
        states = [(value, sgd.state[value]) for value in group["params"] if value.grad is not None]
        late = [value for value, state in states if state.get("momentum_buffer") is None]
        if len(late) < len(states):
            for value in late:
                sgd.state[value]["momentum_buffer"] = torch.zeros_like(value)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of all random draws in an epoch."""
    return seed * 1_000_003 + epoch
