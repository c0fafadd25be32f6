"""Samplers of two objectives, a value to be maximized and a cost to be minimized: Optuna's own.

They look for the Pareto front: configurations that no other one beats in both.
"""

from __future__ import annotations

from typing import Literal

from optuna.samplers import BaseSampler, TPESampler

from study.search import from_optuna
from study.search.from_optuna import OptunaSampler

BOTH: tuple[Literal["maximize"], Literal["minimize"]] = ("maximize", "minimize")


class TPE(OptunaSampler):
    """Optuna's `TPESampler`, which ranks trials by the fronts that they are on."""

    directions = BOTH

    def sampler(self, seed: int, startup: int) -> BaseSampler:
        return TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True
        )


class GaussianProcess(from_optuna.GaussianProcess):
    """Optuna's `GPSampler`, by expected hypervolume improvement."""

    directions = BOTH


class Genetic(from_optuna.Genetic):
    """Optuna's `NSGAIISampler`."""

    directions = BOTH
