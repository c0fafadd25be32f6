"""A study's trials as numbers, each hyperparameter on the scale that its space draws it from.

A hyperparameter is one *code*: the place of its value between the bounds, from 0 to 1 (in the
logarithm where the space is logarithmic, by rank for choices that are numbers), or the index of a
choice that has no order. Drawing a quantile uniformly draws from the space's own measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from study.space.dimension import Params
from study.space.quantiles import at_quantile, step_count, step_value

Floats = NDArray[np.float64]

BINS = 32
"""Cells that a range is cut into, where it is cut; each has the same share of the measure."""


class Scale:
    """One hyperparameter's values as codes.

    Args:
        name: The hyperparameter.
        distribution: Its values, more than one.
    """

    def __init__(self, name: str, distribution: BaseDistribution) -> None:
        self.name = name
        self.distribution = distribution
        self.values: list[Any] | None = None
        """All values, in the order of their codes; None: a range of real numbers, or a long one
        of whole numbers."""
        self.ordered = True
        if isinstance(distribution, CategoricalDistribution):
            self.ordered = all(is_number(value) for value in distribution.choices)
            choices: list[Any] = list(distribution.choices)
            self.values = sorted(choices) if self.ordered else choices
        elif isinstance(distribution, FloatDistribution | IntDistribution) and distribution.step:
            count = step_count(distribution)
            if count <= BINS:
                self.values = [step_value(distribution, index) for index in range(count)]

    @property
    def columns(self) -> int:
        """Number of a forest's columns: one, or one per choice where choices have no order."""
        return 1 if self.ordered or self.values is None else len(self.values)

    @property
    def logarithmic(self) -> bool:
        """Whether the space is uniform in the logarithm."""
        return bool(getattr(self.distribution, "log", False))

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest code."""
        return 0.0, 1.0 if self.ordered or self.values is None else float(len(self.values) - 1)

    def code(self, value: Any) -> float:
        """The code of a value of the space."""
        if isinstance(self.distribution, CategoricalDistribution):
            assert self.values is not None
            index = [_same(value, other) for other in self.values].index(True)
            return index / (len(self.values) - 1) if self.ordered else float(index)
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        low, high = float(self.distribution.low), float(self.distribution.high)
        if self.logarithmic:
            return math.log(value / low) / math.log(high / low)
        return (float(value) - low) / (high - low)

    def decode(self, code: float) -> Any:
        """The value of a range at a code, which is moved between the bounds."""
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        low, high = float(self.distribution.low), float(self.distribution.high)
        code = min(max(code, 0.0), 1.0)
        value = low * (high / low) ** code if self.logarithmic else low + code * (high - low)
        value = min(max(value, low), high)
        if self.distribution.step is None:
            return value
        return step_value(self.distribution, round((value - low) / self.distribution.step))

    def codes(self, values: Sequence[Any]) -> Floats:
        """(n,) codes."""
        return np.array([self.code(value) for value in values], dtype=float)

    def at(self, quantiles: Floats) -> Floats:
        """(n,) codes at quantiles in [0, 1) of the space's measure."""
        return self.codes([at_quantile(self.distribution, float(u)) for u in quantiles])

    def cells(self) -> tuple[Floats, Floats]:
        """Codes and measures of the cells that marginals are computed over: every value, or
        `BINS` equal parts of the range.

        Returns:
            (cells, 2) bounds, the same twice for a single value; (cells,) measures of sum 1.
        """
        if self.values is None:
            edges = np.linspace(0.0, 1.0, BINS + 1)
            return np.stack([edges[:-1], edges[1:]], axis=1), np.full(BINS, 1.0 / BINS)
        codes = self.codes(self.values)
        return np.stack([codes, codes], axis=1), self._measure(len(codes))

    def _measure(self, count: int) -> Floats:
        """Measure of each whole number or choice."""
        if not self.logarithmic:
            return np.full(count, 1.0 / count)
        assert isinstance(self.distribution, IntDistribution)
        edges = np.log(np.arange(self.distribution.low, self.distribution.high + 2) - 0.5)
        measure: Floats = np.diff(edges) / (edges[-1] - edges[0])
        return measure


class Encoder:
    """The space of a study: every hyperparameter with more than one value, as columns.

    Args:
        distributions: The searched space.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.scales = [Scale(n, d) for n, d in distributions.items() if not d.single()]
        self.single = [name for name, d in distributions.items() if d.single()]
        """Hyperparameters with one value only, which have no importance."""

    @property
    def names(self) -> list[str]:
        return [scale.name for scale in self.scales]

    def encode(self, params: Sequence[Params]) -> Floats:
        """(n, hyperparameters) codes."""
        codes = [scale.codes([p[scale.name] for p in params]) for scale in self.scales]
        return np.stack(codes, axis=1) if codes else np.empty((len(params), 0))

    def at(self, quantiles: Floats) -> Floats:
        """(n, hyperparameters) codes at (n, hyperparameters) quantiles of the space's measure."""
        return np.stack([s.at(u) for s, u in zip(self.scales, quantiles.T, strict=True)], axis=1)


def is_number(value: Any) -> bool:
    """Whether a value is a number; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
