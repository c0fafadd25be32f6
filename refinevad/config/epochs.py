"""The rules of ``objective.epoch``: a run's objective from its epochs, and the selected epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

NEWEST = 0.3
"""Weight of the newest epoch in the moving average of ``ema``."""


def chosen(values: Sequence[float], rule: str) -> tuple[float, int]:
    """The objective of a run so far, and the epoch that it selects.

    Args:
        values: The metric after each epoch, at least one.
        rule: ``objective.epoch`` of the study file.

    Returns:
        The objective, and the selected epoch, 1-based; of equally good ones the earliest.
    """
    return _RULES[rule](values)


def so_far(values: Sequence[float], rule: str) -> list[float]:
    """The objective after each epoch, as if the run had ended there."""
    if rule == "best":  # the running maximum, in one pass
        found: list[float] = []
        for value in values:
            found.append(max(value, found[-1]) if found else value)
        return found
    return [chosen(values[: epoch + 1], rule)[0] for epoch in range(len(values))]


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average, each value a weighted mean of those up to it."""
    found: list[float] = []
    total = weight = 0.0
    for value in values:
        total = (1 - NEWEST) * total + NEWEST * value
        weight = (1 - NEWEST) * weight + NEWEST
        found.append(total / weight)
    return found


def _best(values: Sequence[float]) -> tuple[float, int]:
    best = max(values)
    return best, values.index(best) + 1


def _last(values: Sequence[float]) -> tuple[float, int]:
    return values[-1], len(values)


def _mean_second_half(values: Sequence[float]) -> tuple[float, int]:
    half = values[len(values) // 2 :]
    return math.fsum(half) / len(half), len(values)


def _ema(values: Sequence[float]) -> tuple[float, int]:
    return _best(smoothed(values))


_RULES: Mapping[str, Callable[[Sequence[float]], tuple[float, int]]] = {
    "best": _best,
    "last": _last,
    "mean_second_half": _mean_second_half,
    "ema": _ema,
}
