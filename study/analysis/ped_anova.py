"""PED-ANOVA (Watanabe et al., IJCAI 2023): importance for being among the best trials.

For each hyperparameter, the Pearson divergence of its density among the best tenth of the trials
from its density among all. Optuna's estimators run over codes, since a bootstrap calls them
thousands of times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from study._private.optuna import scott_density
from study.analysis.forest import Sample
from study.space.encoding import Encoder, Floats, Scale

BEST = 0.1
GRID = 50


LEAST_TRIALS = 40
"""Space-filling trials below which the best tenth is too small to say anything."""
PERMUTATIONS = 200
LEVEL = 0.05


def apart(encoder: Encoder, sample: Sample, rng: np.random.Generator) -> list[str] | None:
    """Hyperparameters in which the best tenth of the space-filling trials differs from the others.

    Of the search's own trials that cannot be asked: it clusters them, where an irrelevant
    hyperparameter clusters too. The null is a permutation of the objectives; the largest divergence
    of each permutation, over all hyperparameters, is what each must exceed, so that in a study of
    noise any is named with a probability of at most 5%.

    Returns:
        Names, the largest divergence (in units of its own null) first; None: there are too few
        space-filling trials, or they all have one objective.
    """
    even = sample.take(np.flatnonzero(sample.space_filling))
    if len(even) < LEAST_TRIALS or not np.ptp(even.objective):
        return None
    cells = [_grid(scale, even.codes[:, i]) for i, scale in enumerate(encoder.scales)]
    count = math.ceil(BEST * len(even))

    def divergences(order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats:
        return np.array(
            [_divergence(c, s, order[:count]) for c, s in zip(cells, encoder.scales, strict=True)]
        )

    # Ties fall in random order, as in the null.
    ranked = np.lexsort((rng.random(len(even)), -even.objective))
    null = np.stack([divergences(rng.permutation(len(even))) for _ in range(PERMUTATIONS)])
    middle, spread = null.mean(axis=0), null.std(axis=0)
    found = (divergences(ranked) - middle) / spread
    largest = ((null - middle) / spread).max(axis=1)
    chance = [(1 + int((largest >= value).sum())) / (1 + PERMUTATIONS) for value in found]
    named = [i for i in np.argsort(-found) if chance[i] <= LEVEL]
    return [encoder.names[i] for i in named]


def ped_anova(scales: Sequence[Scale], sample: Sample, probe: Floats) -> Floats:
    """(hyperparameters + probe,) importances, of sum 1 without the probe.

    Args:
        scales: Scales of the hyperparameters.
        sample: The trials.
        probe: (n,) random numbers in [0, 1].
    """
    count = max(2, math.ceil(BEST * len(sample)))
    best = np.argsort(-sample.objective, kind="stable")[:count]
    found = [
        _divergence(_grid(scale, sample.codes[:, i]), scale, best) for i, scale in enumerate(scales)
    ]
    found.append(_divergence(_real(probe), None, best))
    total = sum(found[:-1])
    return np.array(found) / total if total > 0 else np.zeros(len(found))


Cells = tuple[np.ndarray[tuple[int], np.dtype[np.intp]], int]
"""(n,) cell of each trial, and how many cells there are."""


def _grid(scale: Scale, codes: Floats) -> Cells:
    if not scale.ordered:
        assert scale.values is not None
        return codes.astype(np.intp), len(scale.values)
    cells = len(scale.values) if scale.values is not None else GRID
    if isinstance(scale.distribution, IntDistribution):
        cells = min(scale.distribution.high - scale.distribution.low + 1, GRID)
    return _real(codes, cells)


def _real(codes: Floats, cells: int = GRID) -> Cells:
    return np.rint(codes * (cells - 1)).astype(np.intp), cells


def _divergence(
    cells: Cells, scale: Scale | None, best: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> float:
    where, count = cells
    distribution: BaseDistribution = IntDistribution(0, count - 1)
    if scale is not None and not scale.ordered:
        distribution = CategoricalDistribution(range(count))
    top = _density(where[best], count, distribution)
    whole = _density(where, count, distribution)
    return float(whole @ ((top / whole - 1) ** 2))


def _density(
    where: np.ndarray[tuple[int], np.dtype[np.intp]], count: int, distribution: BaseDistribution
) -> Floats:
    counts = np.bincount(where, minlength=count)
    filled = np.flatnonzero(counts)
    seen = counts[filled].astype(float)
    return scott_density(filled, seen, distribution, np.arange(count)) + 1e-12
