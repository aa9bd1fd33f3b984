"""One optimizer step: the networks of a step run forward and backward, part by part of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from hwnas.errors import TrainingError, raised, reason
from hwnas.supernet.training.task import ActiveSubnet, TrainTask
from hwnas.tasks import Batch, Tensors
from hwnas.tasks.ends import call


def take_step(task: TrainTask, subnets: Sequence[ActiveSubnet], batch: Batch, seed: int, number: int) -> float | None:
    """Run one optimizer step; return the mean loss of networks that learn from targets, None if all of those failed.

    A batch in parts gives the gradients of the whole batch, to rounding; normalisation sees a part at a time. Dropout
    is drawn for each part anew, from the epoch's seed and the step's number: it does not depend on the process.

    Raises:
        FloatingPointError: a loss or a gradient is not finite; names the network, and no weight was changed.
        TrainingError: too many networks failed, or one that others learn from.
    """
    task.optimizer.zero_grad(set_to_none=True)
    first, parts = tree_leaves(batch.inputs)[0], task.parts
    device, size = first.device, len(first)
    totals, bad = torch.zeros(2, device=device), list[str]()
    for part in task.team.shard(parts):
        if parts > 1:
            torch.manual_seed((seed * 100_003 + number) * 1_009 + part)
        cut: Batch = tree_map(lambda tensor, part=part: torch.tensor_split(tensor, parts)[part], batch)
        share = len(tree_leaves(cut.inputs)[0]) / size
        losses = _learn(task, subnets, cut, share=share, device=device.type)
        finite = torch.stack([loss for _, loss in losses]).isfinite().tolist() if losses else []
        bad += [subnet.name for (subnet, _), fine in zip(losses, finite, strict=True) if not fine]
        for subnet, loss in losses:
            if subnet.teacher is None:
                totals += torch.stack([loss * share, loss.new_tensor(share)])
    gradients = task.team.gradients(task.module.parameters())
    if bad:
        gradients[0].fill_(float("nan"))  # all processes see it
    task.team.all_reduce_([*gradients, totals])
    if not nn.utils.clip_grad_norm_(task.module.parameters(), task.recipe.max_grad_norm).isfinite():
        problem = task.team.broadcast_first(f"the loss of {bad[0]} is not finite" if bad else None)
        raise FloatingPointError(
            problem or f"the gradients of {' and '.join(subnet.name for subnet in subnets)} are not finite"
        )
    task.optimizer.step()
    total, count = totals.tolist()
    return total / count if count else None


def _learn(
    training_task: TrainTask, subnets: Sequence[ActiveSubnet], batch: Batch, *, share: float, device: str
) -> list[tuple[ActiveSubnet, Tensor]]:
    """Add the gradients of one part of a batch; return each network with its loss, those that failed left out."""
    recipe = training_task.recipe
    task = training_task.task.smoothed(recipe.label_smoothing)
    teaching = {subnet.teacher for subnet in subnets}
    predicted: dict[int, Tensors] = {}
    losses: list[tuple[ActiveSubnet, Tensor]] = []
    autocast = torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16")
    taught = None
    if training_task.teacher is not None:
        with torch.no_grad(), autocast:
            taught = _floats(call(training_task.teacher, batch.inputs))
    for index, subnet in enumerate(subnets):
        training_task.failures.tried += 1
        try:
            with autocast:
                outputs = _floats(subnet.run(batch.inputs))
        except torch.OutOfMemoryError as error:
            raise _out_of_memory(subnet, error) from error
        except Exception as error:  # of an operator, maybe a user's
            if index in teaching:
                raise _no_teacher(subnet, error) from error
            training_task.failures.record(subnet.architecture, error)
            continue
        if subnet.teacher is not None:
            loss = task.distill(outputs, predicted[subnet.teacher], recipe.temperature)
        else:
            loss = task.loss(outputs, batch)
            if taught is not None:
                loss = torch.lerp(loss, task.distill(outputs, taught, recipe.temperature), recipe.distill_weight)
        if index in teaching:
            predicted[index] = tree_map(torch.detach, outputs)
        (loss * share).backward()  # type: ignore[no-untyped-call]
        losses.append((subnet, loss.detach()))
    return losses


def _floats(outputs: Tensors) -> Tensors:
    """Return outputs in float32, in which losses are computed."""
    return tree_map(lambda tensor: tensor.float(), outputs)


def _out_of_memory(subnet: ActiveSubnet, error: Exception) -> TrainingError:
    return TrainingError(
        f"memory ran out in {subnet.name} ({reason(error)})",
        where="train",
        allowed="A part of a batch must fit with all that its network keeps for the way back",
        do="Raise train.grad_accumulation_steps, or lower train.batch_size",
    )


def _no_teacher(subnet: ActiveSubnet, error: Exception) -> TrainingError:
    return TrainingError(
        f"{subnet.name}, from which the others of its step learn, cannot be trained ({raised(error)})",
        where="train",
        allowed="A network that fails is left out unless others learn from it",
        do="Look at its operators, or use a strategy that learns from labels, such as `fair`",
    )
