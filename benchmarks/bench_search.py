"""What asking for a trial costs, against the number of trials that are recorded.

``python benchmarks/bench_search.py`` asks with 100 to 10,000 trials on record: the ordered search
(window 64) with the stopping curve of 50 epochs on one side, a plain Optuna study of the same
sampler, asked and told, on the other, in turns. The space has seven dimensions. The recorded
trials are random; what is asked costs the same wherever they lie.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Protocol

import optuna
from common import alternate, publish
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from study.config.sections import PruningSection
from study.ledger.records import TrialRecord, TrialResult
from study.search.ordered import OrderedSearch
from study.search.pruning import StoppingRule
from study.space.dimension import Dimension, Params

MARKS = (100, 300, 1000, 3000, 10_000)
WINDOW = 64
EPOCHS = 50
REPEATS = 11
CURVES = [[{"objective": random.random()} for _ in range(EPOCHS)] for _ in range(500)]
"""The ledger holds the curves; they are not counted here."""

SPACE = {
    name: dimension.distribution()
    for name, dimension in sorted(
        {
            "d_proj": Dimension(choice=(64, 128, 256, 512)),
            "d_emb": Dimension(choice=(32, 64, 128, 256, 512)),
            "lambda_cat": Dimension(log_uniform=(0.01, 2.0)),
            "lambda_gmm": Dimension(log_uniform=(0.01, 1.0)),
            "lambda_reg": Dimension(log_uniform=(1e-6, 1e-2)),
            "lr": Dimension(log_uniform=(1e-5, 1e-2)),
            "epochs": Dimension(int=(5, EPOCHS)),
        }.items()
    )
}


class Side(Protocol):
    """One way to search."""

    def take(self, params: Params, value: float) -> None:
        """A recorded trial."""

    def ask(self) -> None:
        """Asks a trial and gives it a value."""


class Ours:
    """The driver's part: the search and the stopping rule."""

    def __init__(self) -> None:
        self._search = OrderedSearch(SPACE, seed=0, space_filling=300, window=WINDOW)
        self._rule = StoppingRule(PruningSection(), EPOCHS)
        self._records: list[TrialRecord] = []

    def take(self, params: Params, value: float) -> None:
        self._search.restore(params)
        self._end(params, value)

    def ask(self) -> None:
        params = self._search.ask()
        self._rule.curve(self._records, len(self._records) - WINDOW + 1)
        self._end(params, value_of(params))

    def _end(self, params: Params, value: float) -> None:
        number = len(self._records)
        result = TrialResult("COMPLETE", value, curve=CURVES[number % len(CURVES)])
        self._records.append(TrialRecord(number, "", params, 0, "RUNNING").with_result(result))
        self._search.record(number, value)


class PlainOptuna:
    """A study in memory, one trial at a time."""

    def __init__(self) -> None:
        sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=1)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def take(self, params: Params, value: float) -> None:
        self._study.add_trial(
            optuna.trial.create_trial(params=params, distributions=SPACE, value=value)
        )

    def ask(self) -> None:
        trial = self._study.ask(SPACE)
        self._study.tell(trial, value_of(trial.params))


def value_of(params: Params) -> float:
    return 1.0 / (1.0 + abs(math.log(float(params["lr"]) / 1e-3)))


def random_params(rng: random.Random) -> Params:
    return {name: _draw(distribution, rng) for name, distribution in SPACE.items()}


def _draw(distribution: BaseDistribution, rng: random.Random) -> object:
    if isinstance(distribution, CategoricalDistribution):
        return rng.choice(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return rng.randint(distribution.low, distribution.high)
    assert isinstance(distribution, FloatDistribution)
    return math.exp(rng.uniform(math.log(distribution.low), math.log(distribution.high)))


def megabytes(side: Callable[[], Side], trials: list[Params]) -> float:
    """What a side holds after one ask with these trials recorded."""
    tracemalloc.start()
    filled = side()
    for params in trials:
        filled.take(params, value_of(params))
    filled.ask()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / 1e6


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    rng = random.Random(0)
    trials = [random_params(rng) for _ in range(MARKS[-1])]
    ours, plain = Ours(), PlainOptuna()
    sides = {"ours": ours.ask, "Optuna": plain.ask}
    rows: list[dict[str, object]] = []
    restoring = 0.0
    for before, mark in itertools.pairwise((0, *MARKS)):
        started = time.process_time()
        for params in trials[before:mark]:
            ours.take(params, value_of(params))
        restoring += time.process_time() - started
        for params in trials[before:mark]:
            plain.take(params, value_of(params))
        wall = alternate(sides, repeats=REPEATS)
        cpu = alternate(sides, repeats=REPEATS, clock=time.process_time)
        row: dict[str, object] = {"recorded trials": mark}
        for name in sides:
            row[f"{name}: ms per ask"] = 1000 * statistics.median(wall[name])
            row[f"{name}: ms of processor"] = 1000 * statistics.median(cpu[name])
        row["ours: s to restore"] = restoring
        rows.append(row)
    for mark, row in zip(MARKS, rows, strict=True):
        row["ours: MB"] = megabytes(Ours, trials[:mark])
        row["Optuna: MB"] = megabytes(PlainOptuna, trials[:mark])
    publish("search", rows, command="python benchmarks/bench_search.py")


if __name__ == "__main__":
    main()
