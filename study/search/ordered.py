"""Ordered search: the same trials at any number of workers.

Ordinary parallel search depends on which trial ends first. Here trial n is asked only when the
results of trials 0 … n - window are in, and exactly these have been told to the sampler; trials
n - window + 1 … n - 1 are running for it, whatever has really happened. So the sequence is a
function of the space, the seed and the trials' results alone.

What the sampler knows lives in memory and is rebuilt from the ledger's records at a restart: the
sampler of trial n is seeded by a hash of (study seed, n) and needs no state.
"""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.distributions import (
    BaseDistribution,
)

from study.search.base import SamplerClass
from study.search.sobol import at_point, sobol_points
from study.search.tpe import TrialArrays
from study.space.dimension import Params
from study.space.seeds import derived_seed

optuna.logging.set_verbosity(optuna.logging.ERROR)


class OrderedSearch:
    """Proposes trials 0, 1, 2, … in order.

    Args:
        distributions: The searched space.
        seed: The study's seed.
        space_filling: Trials that come from a scrambled Sobol sequence, by index.
        window: Trial n needs the results of trials 0 … n - window.
        sampler: Proposes the trials that follow.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        *,
        seed: int,
        space_filling: int,
        window: int,
        sampler: SamplerClass = TrialArrays,
    ) -> None:
        self._distributions = dict(distributions)
        self._seed = seed
        self._window = window
        self._points = sobol_points(len(self._distributions), space_filling, seed)
        self._trials = sampler(self._distributions, seed)
        self._results: dict[int, float | None] = {}  # not told yet
        self._asked = 0
        self._told = 0

    @property
    def next_number(self) -> int:
        """Number of the trial that is proposed next."""
        return self._asked

    @property
    def ready(self) -> bool:
        """Whether the results that the next trial needs are in."""
        return self._told > self._asked - self._window

    def record(self, number: int, value: float | None) -> None:
        """Takes a trial's objective, in any order (None: failed); the sampler is told in order."""
        self._results[number] = value
        self._tell()

    def ask(self) -> Params:
        """Parameters of the next trial. Call only when :attr:`ready`."""
        if not self.ready:
            raise RuntimeError(f"trial {self._asked} was asked before its window of results was in")
        params = self._propose(self._asked)
        self.restore(params)
        return params

    def restore(self, params: Params) -> None:
        """Takes the next trial as proposed with ``params``, as the ledger recorded it."""
        self._trials.add(params)
        self._asked += 1
        self._tell()

    def _propose(self, number: int) -> Params:
        if number < len(self._points):
            return at_point(self._distributions, self._points[number])
        # The space-filling trials are a sampler's start; without them TPE begins with random ones.
        startup = 1 if len(self._points) else 10
        seed = derived_seed(self._seed, number, "sampler")
        return self._trials.propose(seed=seed, startup=startup)

    def _tell(self) -> None:
        """Tells the sampler, in order, what the next trial may know."""
        while self._told <= self._asked - self._window and self._told in self._results:
            self._trials.tell(self._told, self._results.pop(self._told))
            self._told += 1
