"""The learning rate as a function of the step."""

from __future__ import annotations

import math

from refinevad.config.training import TrainConfig


def learning_rate(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """Learning rate of a step.

    Linear warm-up over ``warmup_epochs`` (the first step already moves, the last warm-up step has
    the full rate), then constant, or half a cosine that would reach zero one step after the last.

    Args:
        step: 0-based, over the whole run.
        steps_per_epoch: Steps of one epoch.
        config: ``lr``, ``epochs``, ``schedule``, ``warmup_epochs``.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "constant":
        return config.lr
    remaining = max(1, config.epochs * steps_per_epoch - warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / remaining)))
