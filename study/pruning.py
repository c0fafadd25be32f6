"""Pruning without timing: a trial is launched with the curve it must stay above.

The curve is computed from the same results that the trial's parameters depend on (trials
0 … n - window), so which trials are stopped, and when, does not depend on the workers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from study.record import TrialRecord
from study.space import PruningSection


class StoppingRule:
    """Percentile of the earlier trials' best-so-far objective, epoch by epoch.

    Args:
        pruning: Percentile, warm-up and how many results there must be.
        epochs: Length of the longest possible trial.
    """

    def __init__(self, pruning: PruningSection, epochs: int) -> None:
        self._pruning = pruning
        self._epochs = epochs
        self._best: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        self._seen = 0

    def curve(self, records: Sequence[TrialRecord], results: int) -> list[float] | None:
        """The curve of a trial that knows trials 0 … results - 1; None: there is none yet.

        A trial that ended before an epoch (shorter, or stopped) counts there with its best so
        far; a diverged one with 0; a failed one not at all.
        """
        for record in records[self._seen : results]:
            if record.objective is not None:
                self._best.append(self._best_so_far(record))
        self._seen = max(self._seen, results)
        if self._seen < self._pruning.after_trials or not self._best:
            return None
        curve = np.percentile(np.stack(self._best), self._pruning.percentile, axis=0)
        return [float(value) for value in curve]

    def _best_so_far(self, record: TrialRecord) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        values = [0.0] if record.diverged else [row["objective"] for row in record.curve]
        best = np.maximum.accumulate(np.asarray(values or [0.0], dtype=np.float64))[: self._epochs]
        padded = np.full(self._epochs, best[-1])
        padded[: len(best)] = best
        return padded
