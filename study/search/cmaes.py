"""CMA-ES in an ordered search, by the library that Optuna's own sampler uses.

The results of trials, in their order, are its generations: ``population`` of them move the search
distribution, whatever that was when they were proposed. So a proposal is a function of the results
that it may know, and needs no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from cmaes import CMA
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from study.space.dimension import Params
from study.space.encoding import Encoder
from study.space.membership import internal_values
from study.space.quantiles import at_quantile

SIGMA = 0.25
"""Standard deviation of the first generation, as a share of each range."""


class EvolutionStrategy:
    """CMA-ES over ranges, each on the scale that the space draws it from, from 0 to 1.

    Choices have no distance; each is drawn at random, as Optuna does.

    Args:
        distributions: The searched space.
        seed: The study's seed, which changes nothing: each proposal has its own.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int = 0) -> None:
        self._distributions = dict(distributions)
        ranges = {
            name: d
            for name, d in distributions.items()
            if not d.single() and not isinstance(d, CategoricalDistribution)
        }
        self._encoder = Encoder(ranges)
        self._codes: list[NDArray[np.float64]] = []
        self._told: list[tuple[NDArray[np.float64], float]] = []

    def add(self, params: Params) -> None:
        """Takes in the next trial.

        Raises:
            ValueError: The parameters are not in the space.
        """
        internal_values(self._distributions, params)
        self._codes.append(self._encoder.encode([params])[0])

    def tell(self, number: int, value: float | None, cost: float | None = None) -> None:
        """The value of a trial, to be maximized; None: it failed, and is left out."""
        if value is not None:
            self._told.append((self._codes[number], -value))

    def propose(self, *, seed: int, startup: int) -> Params:
        """A draw from the search distribution; its mean is first the middle of the space."""
        rng = np.random.default_rng(seed)
        drawn = {
            name: at_quantile(distribution, float(rng.random()))
            for name, distribution in self._distributions.items()
        }
        if len(self._encoder.names) < 2 or len(self._told) < startup:  # it needs two dimensions
            return drawn
        return drawn | self._decoded(self._strategy(seed).ask())

    def _strategy(self, seed: int) -> CMA:
        width = len(self._encoder.names)
        strategy = CMA(
            mean=np.full(width, 0.5), sigma=SIGMA, seed=seed, bounds=np.array([[0.0, 1.0]] * width)
        )
        size = strategy.population_size
        for first in range(0, len(self._told) - size + 1, size):
            strategy.tell(self._told[first : first + size])
        return strategy

    def _decoded(self, codes: NDArray[np.float64]) -> dict[str, Any]:
        return {
            scale.name: scale.decode(float(code))
            for scale, code in zip(self._encoder.scales, codes, strict=True)
        }
