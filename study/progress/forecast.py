"""A forecast of a study's remaining time, with an interval, from the trials that have ended.

A trial costs its epochs times the seconds of one epoch. The epochs are known, or taken from the
search's recent proposals, and pruning cuts them. The seconds follow the model's widths and kinds (a
ridge regression of their logarithm) and the machine's recent pace. Future trials differ from past
ones in three ways, and each widens the interval: the machine's pace wanders, the search proposes
other trials than before, and single trials differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.config.study_file import StudyFile
from study.config.variants import VARIANT
from study.ledger.records import TrialRecord
from study.space.dimension import Params
from study.text import span

COVERAGE = 0.9
"""Nominal coverage of a forecast's interval."""
_Z = 1.645
_RIDGE = 2.0
"""Ridge penalty: the weight, in trials, of the prior that widths and kinds do not matter."""
_RECENCY_TRIALS = 30.0
"""Age, in trials, at which a trial's weight in the pace and in the search's costs is 1/e."""
_BLOCK = 10
"""Trials over which the machine's pace is averaged to measure how it wanders."""
_PRIOR_TRIAL_SD = 0.2
"""Prior standard deviation of the logarithm of one trial's seconds; it weighs as two trials."""
_MIN_MACHINE_SD = 0.05
"""Smallest standard deviation of the logarithm of the machine's pace until the end."""
_SEARCH_SHIFT_SD = 0.3
"""Prior standard deviation of the logarithm of the cost of trials proposed from results."""
_PRIOR_WEIGHT = 10.0
"""Weight, in proposed trials, of that prior and of the space-filling trials."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """Remaining seconds: the expectation and its 90% interval."""

    seconds: float
    low: float
    high: float


class Forecaster:
    """Learns from ended trials how long the remaining ones will take.

    Args:
        file: The study.
        known: Parameters of the first trials, which are proposed without any result.
    """

    def __init__(self, file: StudyFile, known: Sequence[Params]) -> None:
        self._file = file
        self._known = [(self._row(params), float(file.epochs_of(params))) for params in known]
        self._rows: list[list[float]] = []  # of the ended trials, as they ended
        self._planned: list[float] = []
        self._run: list[float] = []
        self._seconds: list[float] = []
        self._proposed: list[bool] = []  # from results
        self._ended: set[int] = set()
        self._workers: set[tuple[str | None, str | None]] = set()

    def take(self, record: TrialRecord) -> None:
        """Learns from an ended trial. The time of a failed trial is ignored, and so is that of each
        worker's first trial, which also loads the libraries and the data."""
        self._ended.add(record.number)
        seconds = record.duration_s
        if not record.curve or not seconds or seconds <= 0:
            return
        worker = record.worker.get("host"), record.worker.get("pid")
        if worker not in self._workers:
            self._workers.add(worker)
            return
        self.learn(
            record.params,
            epochs=len(record.curve),
            seconds=seconds,
            proposed=record.number >= len(self._known),
        )

    def learn(self, params: Params, *, epochs: int, seconds: float, proposed: bool = False) -> None:
        """Learns that ``epochs`` epochs of a configuration took ``seconds``. ``proposed``: the
        search proposed it from results."""
        self._rows.append(self._row(params))
        self._planned.append(float(self._file.epochs_of(params)))
        self._run.append(float(epochs))
        self._seconds.append(seconds)
        self._proposed.append(proposed)

    def left(self, workers: float, running: Mapping[int, float] | None = None) -> Forecast | None:
        """Time to the end of the study; None before anything was learnt.

        Args:
            workers: Trials at once, times the share of the time that workers are busy.
            running: Trial on a worker -> seconds it has run.
        """
        count = len(self._seconds)
        left = self._file.study.trials - len(self._ended)
        if not count:
            return None
        if left <= 0:
            return Forecast(0.0, 0.0, 0.0)
        planned, run, seconds = map(np.array, (self._planned, self._run, self._seconds))
        age = np.arange(count)[::-1] / _RECENCY_TRIALS
        recent = np.exp(-age)
        model = _CostModel(np.array(self._rows), run, seconds, recent)

        share = float((run * recent).sum() / (planned * recent).sum())
        ahead = [known for n, known in enumerate(self._known) if n not in self._ended][:left]
        unknown = left - len(ahead)
        costs = np.array([model.seconds(row, share * epochs) for row, epochs in ahead])

        # What the search will propose is like what it proposed, of late more than before.
        weight = recent * np.array(self._proposed)
        usual = float(costs.mean()) if ahead else float(seconds.mean())
        total_weight = float(weight.sum()) + _PRIOR_WEIGHT
        each = (float((weight * seconds).sum()) + _PRIOR_WEIGHT * usual) / total_weight
        total = float(costs.sum()) + unknown * each

        guessed = unknown * each / total
        single = model.spread
        apart = float(np.std(seconds) / np.mean(seconds))
        variance = (
            model.pace**2
            + single**2 * (1 / left + 1 / min(count, _RECENCY_TRIALS))
            + (guessed * _SEARCH_SHIFT_SD) ** 2 * _PRIOR_WEIGHT / total_weight
            + (guessed * apart) ** 2 / max(1, unknown)
        )
        width = _Z * math.sqrt(variance) * (1 + 2 / count)
        done = sum((running or {}).values())
        waits = (workers - 1) / 2 * total / left if left > workers else 0.0  # for the last trials
        least = total / left / 4  # what runs longer than expected ends soon, not at once
        wall = max(total - done + waits, least) / min(max(workers, 0.01), left)
        return Forecast(wall, wall * math.exp(-width), wall * math.exp(width))

    def seconds_of(self, params: Params) -> float | None:
        """Expected seconds of one whole trial; None before anything was learnt."""
        if not self._seconds:
            return None
        run, seconds = np.array(self._run), np.array(self._seconds)
        model = _CostModel(np.array(self._rows), run, seconds, np.ones(len(seconds)))
        return model.seconds(self._row(params), float(self._file.epochs_of(params)))

    def size(self, params: Params) -> float:
        """Orders configurations by how large their models are."""
        return sum(self._row(params))

    def _row(self, params: Params) -> list[float]:
        """Regressors of an epoch's seconds: widths on a logarithmic scale, kinds as flags."""
        if self._file.variants:
            return [float(params[VARIANT] == variant) for variant in self._file.variants]
        row: list[float] = []
        for name in sorted(self._file.space):
            if name in type(self._file.model).model_fields:
                row += _scaled(params[name], self._file.space[name].bounds())
        return row


def _scaled(value: Any, ends: tuple[Any, ...]) -> list[float]:
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(numbers) < len(ends):
        return [float(value == end) for end in ends]
    low, high = min(numbers), max(numbers)
    if low == high:
        return []
    if low > 0:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return [2 * (value - low) / (high - low) - 1]


class _CostModel:
    """Seconds of a trial from its epochs and its row, by the trials that have ended.

    Args:
        rows: (n, k) regressors.
        epochs: (n,) epochs that were run.
        seconds: (n,) seconds that they took.
        recent: (n,) weights of the trials; the last one's is 1.
    """

    def __init__(self, rows: Array, epochs: Array, seconds: Array, recent: Array) -> None:
        # The logarithm of the epochs is there because a trial also costs something without any.
        x = np.column_stack([np.log(epochs), rows])
        y = np.log(seconds / epochs)
        self._centre = x.mean(axis=0)
        x = x - self._centre
        self._slopes = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean()))
        errors = y - x @ self._slopes
        # A mean of exponentials, not the exponential of a mean: sums of seconds are foretold.
        self._level = float((np.exp(errors) * recent).sum() / recent.sum())
        squares = float(((errors - errors.mean()) ** 2).sum()) + 2 * _PRIOR_TRIAL_SD**2
        self.spread = math.sqrt(squares / (len(errors) + 1))
        """Standard deviation of the logarithm of one trial's seconds."""
        self.pace = _wander(errors, self.spread)
        """Standard deviation of the logarithm of the machine's pace."""

    def seconds(self, row: Sequence[float], epochs: float) -> float:
        x = np.array([math.log(max(epochs, 0.1)), *row]) - self._centre
        return epochs * self._level * math.exp(float(x @ self._slopes))


def _wander(errors: Array, spread: float) -> float:
    """Standard deviation of means over blocks of trials; ``spread`` is that of single trials."""
    blocks = len(errors) // _BLOCK
    if blocks < 2:
        return max(_MIN_MACHINE_SD, spread / math.sqrt(2))
    means = errors[len(errors) - blocks * _BLOCK :].reshape(blocks, _BLOCK).mean(axis=1)
    return max(_MIN_MACHINE_SD, float(np.std(means, ddof=1)))


def format_forecast(forecast: Forecast) -> str:
    """``18 min (4.2 min to 1.3 h)``: the expectation and its interval, to two digits."""
    low, high = span(forecast.low), span(forecast.high)
    if low == high:
        return span(forecast.seconds)
    if low.split()[-1] == high.split()[-1]:
        low = low.split()[0]
    return f"{span(forecast.seconds)} ({low} to {high})"
