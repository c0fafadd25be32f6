"""Optuna's TPE over arrays: the proposals of `optuna.samplers.TPESampler`, bit for bit, without
its walk through every trial in Python.

Where an Optuna has no such estimators, its public sampler is asked, and proposes the same.

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
from optuna.trial import FrozenTrial, TrialState, create_trial

from study._private import optuna as private
from study.space.dimension import Params
from study.space.membership import internal_values

REMEMBERED = 1000
"""Ended trials behind the density of all but the best; of more, so many evenly spaced by number. A
proposal then costs the same however long the study is. Up to here it is TPE's to the bit."""

MOST_BEST = 25
"""Trials that count as the best for TPE once there are many."""

Numbers = np.ndarray[tuple[int], np.dtype[np.intp]]


class TrialArrays:
    """The trials a sampler knows, by number: their parameters, and the values of those told.

    Args:
        distributions: The searched space.
        seed: The study's seed, which changes nothing: each proposal has its own.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int = 0) -> None:
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
        encoded = internal_values(self._distributions, params)
        if self._count == self._values.size:
            self._double()
        self._params[:, self._count] = [encoded[name] for name in self._space]
        self._count += 1

    def tell(self, number: int, value: float | None, cost: float | None = None) -> None:
        """The value of a trial, to be maximized; None: it failed, and is left out from now on."""
        if value is None:
            self._failed[number] = True
        else:
            self._values[number], self._complete[number] = value, True

    def propose(self, *, seed: int, startup: int) -> Params:
        """Parameters of a further trial: random ones until ``startup`` trials have a value."""
        complete = np.flatnonzero(self._complete[: self._count])
        if len(complete) < startup or not self._space:
            drawn = optuna.create_study(sampler=RandomSampler(seed)).ask(self._distributions)
            return {name: drawn.params[name] for name in self._distributions}
        if private.has_estimators():
            return self._by_estimators(complete, seed)
        return self._by_study(complete, seed, startup)

    def _by_estimators(self, complete: Numbers, seed: int) -> Params:
        """A proposal of Optuna's estimators, given columns of the arrays."""
        best, others = self._split(complete, private.count_of_best(len(complete)))
        found = private.best_candidate(
            TPESampler(seed=seed), self._space, self._params[:, best], self._params[:, others]
        )
        return {
            name: _value(distribution, found.get(name, 0.0))
            for name, distribution in self._distributions.items()
        }

    def _by_study(self, complete: Numbers, seed: int, startup: int) -> Params:
        """The same of Optuna's public sampler, asked through a study in memory that is made anew.

        Of more than `REMEMBERED` trials the sample above is in it, for which the sampler takes
        `MOST_BEST` for the best, as Optuna 5.0 does; another number would not be the same. Nor is
        a value that the logarithm puts outside of its range by the last bit: Optuna draws again.
        """
        best, others = self._split(complete, min(MOST_BEST, len(complete)))
        sampler = TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True
        )
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.add_trials(self._frozen(number) for number in np.union1d(best, others))
        params = study.ask(self._distributions).params
        return {name: params[name] for name in self._distributions}

    def _frozen(self, number: int) -> FrozenTrial:
        """One trial as Optuna keeps it: complete, or running."""
        encoded = dict(zip(self._space, self._params[:, number], strict=True))
        complete = bool(self._complete[number])
        return create_trial(
            state=TrialState.COMPLETE if complete else TrialState.RUNNING,
            value=float(self._values[number]) if complete else None,
            params={n: _value(d, encoded.get(n, 0.0)) for n, d in self._distributions.items()},
            distributions=self._distributions,
        )

    def _split(self, complete: Numbers, good: int) -> tuple[Numbers, Numbers]:
        """The ``good`` best of the completed trials, and the others with those that run."""
        ranking = complete[np.argsort(-self._values[complete], kind="stable")]
        best, others = np.sort(ranking[:good]), np.sort(ranking[good:])
        if len(others) > REMEMBERED:
            others = others[np.arange(REMEMBERED) * len(others) // REMEMBERED]
        # Running trials count among the others: nothing is proposed where one runs already.
        running = ~self._complete[: self._count] & ~self._failed[: self._count]
        return best, np.union1d(others, np.flatnonzero(running))

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
