"""Optuna's TPE over arrays: the proposals of `optuna.samplers.TPESampler`, bit for bit, without
its walk through every trial in Python.

Asked through a study, the sampler visits the objects of all trials five times per proposal. Here
trials are columns of one array, and Optuna's own estimators get the columns they would have been
given. The density of the estimators costs time in proportion to the trials behind it; from
`REMEMBERED` on it is that of a sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler, TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import default_gamma

from study.space.dimension import Params

REMEMBERED = 1000
"""Ended trials behind the density of all but the best; of more, so many evenly spaced by number. A
proposal then costs the same however long the study is. Up to here it is TPE's to the bit."""

Numbers = np.ndarray[tuple[int], np.dtype[np.intp]]


class TrialArrays:
    """The trials a sampler knows, by number: their parameters, and the values of those told.

    Args:
        distributions: The searched space.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self._distributions = dict(distributions)
        # Sorted, as the sampler of a study has them: the order decides which random number goes
        # where. What has one value only is not sampled.
        self._space = {n: d for n, d in sorted(distributions.items()) if not d.single()}
        self._params = np.empty((len(self._space), 64))  # (parameters, room), as Optuna encodes
        self._values = np.zeros(64)
        self._complete = np.zeros(64, dtype=bool)
        self._failed = np.zeros(64, dtype=bool)
        self._count = 0

    def add(self, params: Params) -> None:
        """Takes in the next trial; it is running.

        Raises:
            ValueError: The parameters are not in the space.
        """
        if params.keys() != self._distributions.keys():
            raise ValueError(f"parameters {list(params)}, searched {list(self._distributions)}")
        if self._count == self._values.size:
            self._double()
        encoded = {n: d.to_internal_repr(params[n]) for n, d in self._distributions.items()}
        for name, distribution in self._distributions.items():
            if not distribution._contains(encoded[name]):
                raise ValueError(f"{name} = {params[name]!r} is not in {distribution}")
        self._params[:, self._count] = [encoded[name] for name in self._space]
        self._count += 1

    def tell(self, number: int, value: float | None) -> None:
        """The value of a trial, to be maximized; None: it failed, and is left out from now on."""
        if value is None:
            self._failed[number] = True
        else:
            self._values[number], self._complete[number] = value, True

    def propose(self, *, seed: int, startup: int) -> Params:
        """Parameters of a further trial: random ones until ``startup`` trials have a value."""
        sampler = TPESampler(seed=seed)
        complete = np.flatnonzero(self._complete[: self._count])
        if len(complete) < startup or not self._space:
            drawn = optuna.create_study(sampler=RandomSampler(seed)).ask(self._distributions)
            return {name: drawn.params[name] for name in self._distributions}
        ranking = complete[np.argsort(-self._values[complete], kind="stable")]
        good = default_gamma(len(complete))
        best, others = np.sort(ranking[:good]), np.sort(ranking[good:])
        if len(others) > REMEMBERED:
            others = others[np.arange(REMEMBERED) * len(others) // REMEMBERED]
        # Running trials count among the others: nothing is proposed where one runs already.
        running = ~self._complete[: self._count] & ~self._failed[: self._count]
        below = self._estimator(sampler, best)
        above = self._estimator(sampler, np.union1d(others, np.flatnonzero(running)))
        samples = below.sample(sampler._rng.rng, sampler._n_ei_candidates)
        found = sampler._compare(samples, below.log_pdf(samples) - above.log_pdf(samples))
        return {
            name: _value(distribution, found.get(name, 0.0))
            for name, distribution in self._distributions.items()
        }

    def _estimator(self, sampler: TPESampler, numbers: Numbers) -> _ParzenEstimator:
        columns = self._params[:, numbers]
        observations = dict(zip(self._space, columns, strict=True))
        return _ParzenEstimator(observations, self._space, sampler._parzen_estimator_parameters)

    def _double(self) -> None:
        self._params = np.concatenate([self._params, np.empty_like(self._params)], axis=1)
        self._values = np.concatenate([self._values, np.zeros_like(self._values)])
        self._complete = np.concatenate([self._complete, np.zeros_like(self._complete)])
        self._failed = np.concatenate([self._failed, np.zeros_like(self._failed)])


def _value(distribution: BaseDistribution, found: float) -> Any:
    """The estimators' value as a parameter, clipped: the exponential of a logarithm may leave the
    range by its last bit."""
    if not isinstance(distribution, CategoricalDistribution):
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        found = min(max(found, distribution.low), distribution.high)
    return distribution.to_external_repr(found)
