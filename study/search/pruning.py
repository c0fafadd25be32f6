"""Pruning without timing: a trial is launched with the curve it must stay above.

The curve is computed from the same results that the trial's parameters depend on (trials
0 … n - window), so which trials are stopped, and when, does not depend on the workers.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from itertools import repeat

from refinevad.config.epochs import so_far
from study.config.sections import PruningSection
from study.ledger.records import TrialRecord
from study.space.dimension import Params


class StoppingRule:
    """Percentile of the earlier trials' objective so far, epoch by epoch.

    Args:
        pruning: Percentile, warm-up and how many results there must be.
        epochs: Length of the longest possible trial.
        rule: ``objective.epoch`` of the study file.
    """

    def __init__(self, pruning: PruningSection, epochs: int, rule: str = "best") -> None:
        self._rule = rule
        self._after_trials = pruning.after_trials
        self._curve = [_RunningPercentile(pruning.percentile) for _ in range(epochs)]
        self._seen = 0
        self._counted = 0

    def curve(
        self,
        records: Sequence[TrialRecord],
        results: int,
        number: int = 0,
        params: Params | None = None,
    ) -> list[float] | None:
        """The curve of any trial that knows trials 0 … results - 1; None: there is none yet.

        A trial that ended before an epoch (shorter, or stopped) counts there with its objective;
        a diverged one with 0; a failed one not at all.
        """
        for number in range(self._seen, results):
            if records[number].objective is not None:
                self._count(records[number])
        self._seen = max(self._seen, results)
        if self._seen < self._after_trials or not self._counted:
            return None
        return [percentile.value() for percentile in self._curve]

    def _count(self, record: TrialRecord) -> None:
        objectives = [0.0] if record.diverged else [row["objective"] for row in record.curve]
        values = so_far(objectives or [0.0], self._rule)
        longer = repeat(values[-1], max(0, len(self._curve) - len(values)))
        for percentile, value in zip(self._curve, [*values, *longer], strict=False):
            percentile.add(value)
        self._counted += 1


class _RunningPercentile:
    """`numpy.percentile` of all values so far, to the bit."""

    def __init__(self, percentile: float) -> None:
        self._share = percentile / 100
        self._values: list[float] = []  # sorted

    def add(self, value: float) -> None:
        insort(self._values, value)

    def value(self) -> float:
        place = (len(self._values) - 1) * self._share
        rank, part = int(place), place - int(place)
        low, *above = self._values[rank : rank + 2]
        if not above:
            return low
        between = above[0] - low
        # As numpy interpolates: from the nearer end.
        return low + between * part if part < 0.5 else above[0] - between * (1 - part)
