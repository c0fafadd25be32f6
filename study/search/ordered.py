"""Ordered search: the same trials at any number of workers.

Ordinary parallel search depends on which trial ends first. Here trial n is asked only when the
results of trials 0 … n - window are in, and exactly these have been told to the sampler; trials
n - window + 1 … n - 1 are running for it, whatever has really happened. So the sequence is a
function of the space, the seed and the trials' results alone.

What the sampler knows lives in memory and is rebuilt from the ledger's records at a restart: the
sampler of trial n is seeded by a hash of (study seed, n) and needs no state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
)

from study.search.base import SamplerClass
from study.search.random import RandomDraws
from study.search.sobol import AcceptedPoints, nothing_fits
from study.search.tpe import TrialArrays
from study.space.dimension import Params
from study.space.quantiles import on_steps
from study.space.seeds import derived_seed

optuna.logging.set_verbosity(optuna.logging.ERROR)

ATTEMPTS = 20
"""Proposals of the sampler for one trial, before random draws take its place."""
DRAWS = 10_000
"""Random draws for one trial, before the constraints are said to leave nothing."""


class OrderedSearch:
    """Proposes trials 0, 1, 2, … in order.

    Args:
        distributions: The searched space.
        seed: The study's seed.
        space_filling: Trials that come from a scrambled Sobol sequence, by index.
        window: Trial n needs the results of trials 0 … n - window.
        sampler: Proposes the trials that follow.
        enqueued: Configurations of the first trials, or parts of them; the rest of each is drawn
            at random.
        accepts: Whether a configuration may be proposed. None: every one.
        inherited: Number of first trials that were taken over from another study: they are
            restored, never asked, and known to all others.
        imported: Parameters and objectives of trials that ran elsewhere; the sampler knows them.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        *,
        seed: int,
        space_filling: int,
        window: int,
        sampler: SamplerClass = TrialArrays,
        enqueued: Sequence[Params] = (),
        accepts: Callable[[Params], bool] | None = None,
        inherited: int = 0,
        imported: Sequence[tuple[Params, float]] = (),
    ) -> None:
        self._distributions = dict(distributions)
        self._seed = seed
        self._window = window
        self._space_filling = space_filling
        self._enqueued = list(enqueued)
        self._inherited = inherited
        self._accepts = accepts
        self._evenly = AcceptedPoints(self._distributions, seed, accepts).first(space_filling)
        self._trials = sampler(self._distributions, seed)
        for number, (params, value) in enumerate(imported):
            self._trials.add(params)
            self._trials.tell(number, value)
        self._imported = len(imported)
        self._results: dict[int, tuple[float | None, float | None]] = {}  # not told yet
        self._asked = 0
        self._told = 0

    @property
    def next_number(self) -> int:
        """Number of the trial that is proposed next."""
        return self._asked

    @property
    def ready(self) -> bool:
        """Whether the results that the next trial needs are in."""
        return self._told > self._asked - self._window and self._asked >= self._inherited

    def record(self, number: int, value: float | None, cost: float | None = None) -> None:
        """Takes a trial's objective, in any order (None: failed); the sampler is told in order.
        ``cost``: of an objective that has one."""
        self._results[number] = value, cost
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
        place = number - self._inherited
        if place < 0:
            raise RuntimeError(f"trial {number} was taken over, and is not asked")
        if place < len(self._enqueued):
            return self._completed(number, self._enqueued[place])
        place -= len(self._enqueued)
        if place < self._space_filling:
            return dict(self._evenly[place])
        # The space-filling trials are a sampler's start; without them TPE begins with random ones.
        known = self._space_filling or self._imported or self._inherited
        startup = 1 if known else 10
        return self._accepted(
            number, "sampler", lambda seed: self._trials.propose(seed=seed, startup=startup)
        )

    def _completed(self, number: int, own: Params) -> Params:
        """An enqueued configuration, the rest of which is drawn."""
        if own.keys() == self._distributions.keys():
            return {name: own[name] for name in self._distributions}
        return self._accepted(number, "enqueued", lambda seed: self._drawn(seed) | own, own)

    def _drawn(self, seed: int) -> Params:
        return RandomDraws(self._distributions).propose(seed=seed, startup=0)

    def _accepted(
        self, number: int, purpose: str, propose: Callable[[int], Params], own: Params | None = None
    ) -> Params:
        """The first proposal that fulfils the constraints; random draws, with what the user gave in
        ``own``, once many did not."""
        for attempt in range(ATTEMPTS + DRAWS):
            again = f"{purpose} {attempt}" if attempt else purpose
            seed = derived_seed(self._seed, number, again)
            params = propose(seed) if attempt < ATTEMPTS else self._drawn(seed) | (own or {})
            params = {name: on_steps(d, params[name]) for name, d in self._distributions.items()}
            if self._accepts is None or self._accepts(params):
                return params
        raise nothing_fits(ATTEMPTS + DRAWS)

    def _tell(self) -> None:
        """Tells the sampler, in order, what the next trial may know."""
        may_know = max(self._asked - self._window, min(self._asked, self._inherited) - 1)
        while self._told <= may_know and self._told in self._results:
            number = self._imported + self._told
            self._trials.tell(number, *self._results.pop(self._told))
            self._told += 1
