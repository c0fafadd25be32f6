"""Successive halving that keeps the order: ASHA's stopping rule without a clock.

Asynchronous successive halving (Li et al., MLSys 2020) lets a trial pass a rung if it is among the
best ``1 / reduction`` of the trials that have reached it so far, which depends on the workers. Here
trial n is compared with trials 0 … n - window alone, as its parameters are, and is launched with
the thresholds of its rungs. A stopped trial stays stopped.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Sequence

import numpy as np

from refinevad.config.epochs import so_far
from study.config.sections import PruningSection
from study.ledger.records import TrialRecord
from study.space.dimension import Params
from study.space.seeds import derived_seed

NEVER = 0.0
"""Threshold of an epoch after which no trial stops: an objective is never below it."""


class HalvingRule:
    """Thresholds at the rungs of successive halving.

    Args:
        pruning: Reduction, first rung, brackets.
        epochs: Length of the longest possible trial.
        rule: ``objective.epoch`` of the study file.
        epochs_of: Parameters of a trial to its epochs.
        whole: So many first trials run whole: the enqueued and the space-filling ones.
        seed: The study's seed; decides each trial's bracket.
    """

    def __init__(
        self,
        pruning: PruningSection,
        epochs: int,
        rule: str,
        *,
        epochs_of: Callable[[Params], int],
        whole: int,
        seed: int,
    ) -> None:
        self._pruning, self._longest, self._rule = pruning, epochs, rule
        self._epochs_of, self._whole, self._seed = epochs_of, whole, seed
        count, rung = 0, pruning.first_rung
        while rung < epochs:
            count, rung = count + 1, rung * pruning.reduction
        self._values: list[list[float]] = [[] for _ in range(count)]  # sorted, by rung
        self._seen = 0

    def rungs(self, epochs: int) -> list[int]:
        """Epochs at which a trial of ``epochs`` is compared, ascending, by rung; the last epoch and
        later ones are not."""
        levels = [
            self._pruning.first_rung * self._pruning.reduction**k for k in range(len(self._values))
        ]
        if self._pruning.rungs == "share":
            levels = [math.ceil(level * epochs / self._longest) for level in levels]
        return levels

    def bracket(self, number: int) -> int:
        """The first rung that a trial is compared at. Bracket b has a share of trials in proportion
        to ``reduction ** -b``: its trials cost as many times more."""
        brackets = min(self._pruning.brackets, len(self._values))
        if brackets <= 1:
            return 0
        weights = np.array([float(self._pruning.reduction) ** -b for b in range(brackets)])
        rng = np.random.default_rng(derived_seed(self._seed, number, "bracket"))
        return int(rng.choice(brackets, p=weights / weights.sum()))

    def curve(
        self, records: Sequence[TrialRecord], results: int, number: int, params: Params
    ) -> list[float] | None:
        """The thresholds of trial ``number``, which knows trials 0 … results - 1.

        Returns:
            One value per epoch of the trial, ``NEVER`` between rungs; None: it runs whole.
        """
        for known in range(self._seen, results):
            self._count(records[known])
        self._seen = max(self._seen, results)
        if number < self._whole:
            return None
        epochs = self._epochs_of(params)
        found = [NEVER] * epochs
        first = self.bracket(number)
        for rung, epoch in enumerate(self.rungs(epochs)):
            values = self._values[rung]
            if rung >= first and epoch < epochs and len(values) >= self._pruning.reduction:
                place = len(values) - max(1, len(values) // self._pruning.reduction)
                found[epoch - 1] = max(found[epoch - 1], values[place])
        return found if any(found) else None

    def _count(self, record: TrialRecord) -> None:
        """Files a trial's objective at every rung that it reached; a diverged one's is 0."""
        if record.objective is None:
            return
        values = so_far([row["objective"] for row in record.curve] or [0.0], self._rule)
        for rung, epoch in enumerate(self.rungs(self._epochs_of(record.params))):
            if record.diverged:
                insort(self._values[rung], 0.0)
            elif epoch <= len(values):
                insort(self._values[rung], values[epoch - 1])
