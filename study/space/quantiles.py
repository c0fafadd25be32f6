"""The value of a distribution at a quantile."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


def at_quantile(distribution: BaseDistribution, u: float) -> Any:
    """The value at quantile ``u`` of a distribution's own measure."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.step not in (None, 1):
        return step_value(distribution, int(u * step_count(distribution)))
    low, high = float(distribution.low), float(distribution.high)
    whole = isinstance(distribution, IntDistribution)
    if whole:  # each whole number owns the interval of length 1 around it
        low, high = low - 0.5, high + 0.5
    if distribution.log:
        value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    else:
        value = low + u * (high - low)
    value = min(max(value, low), high)
    if whole:
        return min(max(round(value), distribution.low), distribution.high)
    return value


def step_count(distribution: FloatDistribution | IntDistribution) -> int:
    """How many values a range with a step has."""
    assert distribution.step is not None
    return round((distribution.high - distribution.low) / distribution.step) + 1


def step_value(distribution: FloatDistribution | IntDistribution, index: int) -> Any:
    """One of them, ascending from 0: 0.3 for the third of [0.1, 0.5, 0.1], to the last digit."""
    if isinstance(distribution, IntDistribution):
        return distribution.low + index * distribution.step
    low, step = Decimal(str(distribution.low)), Decimal(str(distribution.step))
    return min(float(low + index * step), distribution.high)


def on_steps(distribution: BaseDistribution, value: Any) -> Any:
    """A value of a range of real numbers with a step as :func:`step_value` writes it."""
    if not isinstance(distribution, FloatDistribution) or distribution.step is None:
        return value
    return step_value(distribution, round((value - distribution.low) / distribution.step))
