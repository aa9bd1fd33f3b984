"""One optimizer step: the networks of a step run forward and backward, part by part of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hwnas.errors import TrainingError, raised, reason
from hwnas.supernet.training.task import ActiveSubnet, TrainTask


def take_step(
    course: TrainTask, pupils: Sequence[ActiveSubnet], images: Tensor, labels: Tensor, seed: int, number: int
) -> float | None:
    """Run one optimizer step; return the mean loss of networks that learn from labels, None if all of those failed.

    A batch in parts gives the gradients of the whole batch, to rounding; normalisation sees a part at a time. Dropout
    is drawn for each part anew, from the epoch's seed and the step's number: it does not depend on the process.

    Raises:
        FloatingPointError: a loss or a gradient is not finite; names the network, and no weight was changed.
        TrainingError: too many networks failed, or one that others learn from.
    """
    course.optimizer.zero_grad(set_to_none=True)
    device, parts = images.device, course.parts
    totals, bad = torch.zeros(2, device=device), list[str]()
    for part in course.team.shard(parts):
        if parts > 1:
            torch.manual_seed((seed * 100_003 + number) * 1_009 + part)
        cut = [torch.tensor_split(tensor, parts)[part] for tensor in (images, labels)]
        share = len(cut[0]) / len(images)
        losses = _learn(course, pupils, *cut, share=share)
        finite = torch.stack([loss for _, loss in losses]).isfinite().tolist() if losses else []
        bad += [pupil.name for (pupil, _), fine in zip(losses, finite, strict=True) if not fine]
        for pupil, loss in losses:
            if pupil.teacher is None:
                totals += torch.stack([loss * share, loss.new_tensor(share)])
    gradients = course.team.gradients(course.module.parameters())
    if bad:
        gradients[0].fill_(float("nan"))  # all processes see it
    course.team.all_reduce_([*gradients, totals])
    if not nn.utils.clip_grad_norm_(course.module.parameters(), course.recipe.max_grad_norm).isfinite():
        problem = course.team.broadcast_first(f"the loss of {bad[0]} is not finite" if bad else None)
        raise FloatingPointError(
            problem or f"the gradients of {' and '.join(pupil.name for pupil in pupils)} are not finite"
        )
    course.optimizer.step()
    total, count = totals.tolist()
    return total / count if count else None


def _learn(
    course: TrainTask, pupils: Sequence[ActiveSubnet], images: Tensor, labels: Tensor, *, share: float
) -> list[tuple[ActiveSubnet, Tensor]]:
    """Add the gradients of one part of a batch; return each network with its loss, those that failed left out."""
    recipe = course.recipe
    teaching = {pupil.teacher for pupil in pupils}
    predicted: dict[int, Tensor] = {}
    losses: list[tuple[ActiveSubnet, Tensor]] = []
    autocast = torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.precision == "bf16")
    taught = None if course.teacher is None else _given(course.teacher, images, recipe.temperature, autocast)
    for index, pupil in enumerate(pupils):
        course.failures.tried += 1
        try:
            with autocast:
                logits = pupil.run(images).float()
        except torch.OutOfMemoryError as error:
            raise _out_of_memory(pupil, error) from error
        except Exception as error:  # of an operator, maybe a user's
            if index in teaching:
                raise _no_teacher(pupil, error) from error
            course.failures.record(pupil.architecture, error)
            continue
        if pupil.teacher is not None:
            loss = soft_loss(logits, predicted[pupil.teacher], recipe.temperature)
        else:
            loss = cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            if taught is not None:
                loss = torch.lerp(loss, soft_loss(logits, taught, recipe.temperature), recipe.distill_weight)
        if index in teaching:
            predicted[index] = (logits.detach() / recipe.temperature).softmax(1)
        (loss * share).backward()  # type: ignore[no-untyped-call]
        losses.append((pupil, loss.detach()))
    return losses


def _given(teacher: nn.Module, images: Tensor, temperature: float, autocast: torch.autocast) -> Tensor:
    """Return the probabilities that a teacher predicts for the images."""
    with torch.no_grad(), autocast:
        logits: Tensor = teacher(images).float()
        return (logits / temperature).softmax(1)


def soft_loss(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return how far logits are from a teacher's probabilities at a temperature (Hinton et al. 2015).

    The square of the temperature keeps gradients of the size that they have at 1.
    """
    return cross_entropy(logits / temperature, taught) * temperature**2


def _out_of_memory(pupil: ActiveSubnet, error: Exception) -> TrainingError:
    return TrainingError(
        f"memory ran out in {pupil.name} ({reason(error)})",
        where="train",
        allowed="A part of a batch must fit with all that its network keeps for the way back",
        do="Raise train.grad_accumulation_steps, or lower train.batch_size",
    )


def _no_teacher(pupil: ActiveSubnet, error: Exception) -> TrainingError:
    return TrainingError(
        f"{pupil.name}, from which the others of its step learn, cannot be trained ({raised(error)})",
        where="train",
        allowed="A network that fails is left out unless others learn from it",
        do="Look at its operators, or use a strategy that learns from labels, such as `fair`",
    )
