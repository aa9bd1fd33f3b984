"""One epoch of a course: batches through the steps, rates from the schedule."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import torch

from hwnas.data import batches
from hwnas.supernet.course import Course
from hwnas.supernet.schedules import learning_rate
from hwnas.supernet.step import take_step
from hwnas.supernet.strategies import Step


def run_epoch(
    course: Course, epoch: int, seed: int, *, slower: float = 1.0, on_step: Callable[[Step], None] | None = None
) -> float:
    """One epoch, all its chance from `seed`, at `slower` times the recipe's rates; the mean loss.

    Raises:
        FloatingPointError: something is not finite; names the step and what it was.
    """
    recipe, steps = course.recipe, course.steps
    torch.manual_seed(seed)
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    device = next(course.module.parameters()).device
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    course.module.train()
    course.failures.begin()
    total, told = 0.0, 0
    at = Step(epoch, recipe.epochs, 0, steps, 0.0)
    loaded = batches(course.split, recipe.batch_size, generator=generator, augment=recipe.augment, drop_last=True)
    for number, (images, labels) in enumerate(loaded, 1):
        for group in course.optimizer.param_groups:
            group["lr"] = slower * learning_rate(recipe, (epoch - 1) + (number - 1) / steps)
        at = replace(at, step=number)
        images = images.to(device, non_blocking=True).contiguous(memory_format=layout)
        try:
            loss = take_step(course, course.pupils(at, rng), images, labels.to(device, non_blocking=True), seed, number)
        except FloatingPointError as error:
            raise FloatingPointError(f"step {number}: {error}") from error
        if loss is not None:
            total, told = total + loss, told + 1
        if course.average is not None:
            course.average.follow(course.module, (epoch - 1) * steps + number)
        at = replace(at, loss=total / max(told, 1))
        if on_step:
            on_step(at)
    broken = (name for name, value in course.module.named_parameters() if not value.isfinite().all())
    if first := next(broken, None):
        raise FloatingPointError(f"step {steps}: it left weights `{first}` that are not finite")
    return at.loss
