"""Points of a scrambled Sobol sequence: the space-filling trials, and a search by them alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from scipy.stats import qmc

from refinevad.errors import InputError
from study.space.dimension import Params
from study.space.membership import internal_values
from study.space.quantiles import at_quantile
from study.space.seeds import derived_seed

MOST_POINTS = 2**14
"""Points that are tried before constraints are said to leave nothing."""
Points = np.ndarray[Any, np.dtype[np.float64]]


def sobol_points(dimensions: int, points: int, seed: int) -> Points:
    """The first points of a study's sequence, (points, dimensions) in [0, 1)."""
    if points == 0:
        return np.empty((0, dimensions))
    rng = np.random.default_rng(derived_seed(seed, 0, "sobol"))
    sequence = qmc.Sobol(dimensions, scramble=True, rng=rng)
    # A power of two keeps scipy's balance warning away; more points change none of the first.
    drawn: Points = sequence.random_base2(math.ceil(math.log2(points)))
    return drawn[:points]


def at_point(distributions: Mapping[str, BaseDistribution], point: Points) -> Params:
    """The configuration at a point (dimensions,)."""
    pairs = zip(distributions.items(), point, strict=True)
    return {name: at_quantile(distribution, float(u)) for (name, distribution), u in pairs}


class AcceptedPoints:
    """The configurations of a study's sequence that fulfil its constraints, in order.

    Args:
        distributions: The searched space.
        seed: The study's seed.
        accepts: Whether a configuration may be proposed. None: every one.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        seed: int,
        accepts: Callable[[Params], bool] | None = None,
    ) -> None:
        self._distributions, self._seed, self._accepts = dict(distributions), seed, accepts

    def first(self, count: int) -> list[Params]:
        """The first ``count`` of them.

        Raises:
            InputError: Hardly any point fulfils the constraints.
        """
        points = max(1, count)
        while True:
            drawn = sobol_points(len(self._distributions), points, self._seed)
            found = [at_point(self._distributions, point) for point in drawn]
            if self._accepts is not None:
                found = [params for params in found if self._accepts(params)]
            if len(found) >= count:
                return found[:count]
            if points > MOST_POINTS:
                raise nothing_fits(points)
            points *= 2


def nothing_fits(tried: int) -> InputError:
    """The error where constraints leave nothing to propose."""
    return InputError(
        f"hardly any of {tried} configurations fulfils the constraints of the study file; loosen "
        "`constraints`, or narrow the space to what they allow"
    )


class SobolSequence:
    """The sampler that goes on with the space-filling sequence, whatever the results.

    Args:
        distributions: The searched space.
        seed: The study's seed, which decides the sequence.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int = 0) -> None:
        self._distributions, self._seed = dict(distributions), seed
        self._points = sobol_points(len(distributions), 64, seed)
        self._count = 0

    def add(self, params: Params) -> None:
        """Counts the next trial.

        Raises:
            ValueError: The parameters are not in the space.
        """
        internal_values(self._distributions, params)
        self._count += 1

    def tell(self, number: int, value: float | None, cost: float | None = None) -> None:
        """A result changes nothing."""

    def propose(self, *, seed: int, startup: int) -> Params:
        """The next point."""
        if self._count >= len(self._points):
            self._points = sobol_points(len(self._distributions), 2 * self._count, self._seed)
        return at_point(self._distributions, self._points[self._count])
