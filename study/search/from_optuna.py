"""Optuna's own samplers in an ordered search: a study in memory is made anew for every proposal.

So a proposal is a function of the space, of its seed and of what was told, as it must be. It costs
time in proportion to the trials.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.space.dimension import Params
from study.space.membership import internal_values

if TYPE_CHECKING:
    from optuna.study import Study

POPULATION = 20
"""Trials of a generation of the genetic algorithm; Optuna's 50 would be most of a small study."""


class OptunaSampler(ABC):
    """The trials of a study, and a sampler of Optuna that is asked with them.

    Args:
        distributions: The searched space.
        seed: The study's seed, which changes nothing: each proposal has its own.
    """

    directions: ClassVar[Sequence[Literal["maximize", "minimize"]]] = ("maximize",)
    """Of the value, and of the cost where there is one."""

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int = 0) -> None:
        self._distributions = dict(distributions)
        self._trials: list[FrozenTrial | None] = []  # None: it failed

    @abstractmethod
    def sampler(self, seed: int, startup: int) -> BaseSampler:
        """Optuna's sampler, just made."""

    def add(self, params: Params) -> None:
        """Takes in the next trial, as running.

        Raises:
            ValueError: The parameters are not in the space.
        """
        internal_values(self._distributions, params)
        self._trials.append(
            create_trial(
                state=TrialState.RUNNING, params=dict(params), distributions=self._distributions
            )
        )

    def tell(self, number: int, value: float | None, cost: float | None = None) -> None:
        """The value of a trial, to be maximized, and its cost; None: it failed, and is left out
        from now on."""
        trial = self._trials[number]
        assert trial is not None, "a trial is told once"
        self._trials[number] = None
        found = [known for known in (value, cost) if known is not None]
        if len(found) == len(self.directions):
            self._trials[number] = create_trial(
                values=found, params=trial.params, distributions=self._distributions
            )

    def propose(self, *, seed: int, startup: int) -> Params:
        """What the sampler proposes; random draws until ``startup`` trials have a value."""
        known = [trial for trial in self._trials if trial is not None]
        complete = sum(trial.state is TrialState.COMPLETE for trial in known)
        searched = any(not d.single() for d in self._distributions.values())
        enough = complete >= startup and searched
        sampler = self.sampler(seed, startup) if enough else RandomSampler(seed)
        study = optuna.create_study(sampler=sampler, directions=self.directions)
        study.add_trials(known)
        params: dict[str, Any] = study.ask(self._distributions).params
        return {name: params[name] for name in self._distributions}


class GaussianProcess(OptunaSampler):
    """Optuna's `GPSampler`; seconds a proposal from some hundred trials on."""

    def sampler(self, seed: int, startup: int) -> BaseSampler:
        return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)


class Genetic(OptunaSampler):
    """Optuna's `NSGAIISampler`, whose generations are the trials in their order."""

    def sampler(self, seed: int, startup: int) -> BaseSampler:
        return _Generations(population_size=POPULATION, seed=seed)


class _Generations(NSGAIISampler):
    """NSGA-II in which generation g is trials ``g * population`` to ``(g + 1) * population - 1`` of
    those that have a value; Optuna keeps the number with the trial, in its storage."""

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        assert self.population_size is not None
        return len(_complete(study)) // self.population_size

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        assert self.population_size is not None
        first = generation * self.population_size
        return _complete(study)[first : first + self.population_size]


def _complete(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
