"""The surrogate model: a random forest from hyperparameters to the objective.

A further column, the *probe*, is random: its importance shows what the forest makes of noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc
from sklearn.ensemble import RandomForestRegressor

from study.space.encoding import Encoder, Floats, Scale

MIN_SAMPLES_LEAF = 2


@dataclass(frozen=True)
class Sample:
    """Trials as numbers.

    Attributes:
        codes: (n, hyperparameters) codes.
        objective: (n,) objectives.
        space_filling: (n,) bool, True for trials of the space-filling part of the study.
    """

    codes: Floats
    objective: Floats
    space_filling: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def __len__(self) -> int:
        return len(self.objective)

    def take(self, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Sample:
        """The trials at ``rows``, which may name one twice."""
        return Sample(self.codes[rows], self.objective[rows], self.space_filling[rows])


class Forest:
    """A random forest of regression trees (Breiman 2001), fitted to a sample and a probe.

    Args:
        encoder: Meaning of the codes.
        sample: At least two trials.
        trees: Number of trees.
        rng: Decides the probe and the trees.
    """

    def __init__(
        self, encoder: Encoder, sample: Sample, *, trees: int, rng: np.random.Generator
    ) -> None:
        self._scales = encoder.scales
        self._widths = [*(scale.columns for scale in encoder.scales), 1]
        probe = rng.random((len(sample), 1))
        self.trees = RandomForestRegressor(
            trees,
            min_samples_leaf=MIN_SAMPLES_LEAF,
            random_state=int(rng.integers(2**31)),
        ).fit(columns(self._scales, np.hstack([sample.codes, probe])), sample.objective)

    def predict(self, codes: Floats) -> Floats:
        """(n,) predicted objectives at (n, hyperparameters) codes, with the probe at its middle."""
        middle = np.full((len(codes), 1), 0.5)
        predicted: Floats = self.trees.predict(
            columns(self._scales, np.hstack([codes, middle])).astype(np.float32)
        )
        return predicted

    def impurity(self) -> Floats:
        """(hyperparameters + probe,) impurity importances (MDI), of sum 1 without the probe: the
        paper's measure. It weighs every place by the trials that were there."""
        decrease: Floats = self.trees.feature_importances_
        starts = np.concatenate([[0], np.cumsum(self._widths)[:-1]])
        return _shares(np.add.reduceat(decrease, starts))

    def permutation(self, design: Design) -> tuple[Floats, float]:
        """Permutation importance of each hyperparameter, in the measure of the space.

        It is half the mean squared change of the forest's prediction when one column of a uniform
        design is permuted: its total effect (Jansen 1999).

        Returns:
            (hyperparameters + probe,) shares, of sum 1 without the probe; the variance of the
            prediction over the space.
        """
        predicted = self.trees.predict(design.columns).reshape(-1, design.points)
        effects = np.mean((predicted[1:] - predicted[0]) ** 2, axis=1) / 2
        return _shares(effects), float(np.var(predicted[0]))


class Design:
    """Points spread evenly over the space, and as many for each hyperparameter with that one
    drawn anew.

    Args:
        encoder: The space.
        points: A power of two.
        seed: Seed of the scrambling.

    Attributes:
        columns: ((hyperparameters + 2) * points, columns of the forest) float32: the points
            themselves, then those with the first hyperparameter drawn anew, …, then the probe.
    """

    def __init__(self, encoder: Encoder, *, points: int, seed: int) -> None:
        self.points = points
        count = len(encoder.scales) + 1
        sequence = qmc.Sobol(2 * count, rng=np.random.default_rng(seed))
        quantiles = sequence.random(points)
        first, second = (
            np.hstack([encoder.at(half[:, :-1]), half[:, -1:]])
            for half in (quantiles[:, :count], quantiles[:, count:])
        )
        blocks = [first]
        for column in range(count):
            changed = first.copy()
            changed[:, column] = second[:, column]
            blocks.append(changed)
        self.columns = columns(encoder.scales, np.vstack(blocks)).astype(np.float32)


def columns(scales: Sequence[Scale], codes: Floats) -> Floats:
    """(n, columns): codes as a forest sees them, a choice without order as one column each.

    Args:
        scales: Scales of the hyperparameters; further columns of ``codes`` are left as they are.
        codes: (n, hyperparameters + rest).
    """
    parts = [
        codes[:, [i]] if scale.columns == 1 else np.eye(scale.columns)[codes[:, i].astype(int)]
        for i, scale in enumerate(scales)
    ]
    return np.hstack([*parts, codes[:, len(scales) :]])


def _shares(importances: Floats) -> Floats:
    """Shares of the sum without the probe, which comes last."""
    total = importances[:-1].sum()
    return importances / total if total > 0 else np.zeros_like(importances)
