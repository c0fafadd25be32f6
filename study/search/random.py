"""Random search: each trial is a draw of its own, from the space's own measure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from optuna.distributions import BaseDistribution

from study.space.dimension import Params
from study.space.membership import internal_values
from study.space.quantiles import at_quantile


class RandomDraws:
    """The sampler that learns nothing.

    Args:
        distributions: The searched space.
        seed: The study's seed, which changes nothing: each proposal has its own.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int = 0) -> None:
        self._distributions = dict(distributions)

    def add(self, params: Params) -> None:
        """Checks the next trial, and forgets it.

        Raises:
            ValueError: The parameters are not in the space.
        """
        internal_values(self._distributions, params)

    def tell(self, number: int, value: float | None, cost: float | None = None) -> None:
        """A result changes nothing."""

    def propose(self, *, seed: int, startup: int) -> Params:
        """The draw that ``seed`` decides."""
        rng = np.random.default_rng(seed)
        return {
            name: at_quantile(distribution, float(rng.random()))
            for name, distribution in self._distributions.items()
        }
