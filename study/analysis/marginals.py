"""Main effects and pairwise interactions of a forest: its functional ANOVA (Hutter et al., 2014).

A tree is constant on boxes, so that its average over all hyperparameters except one or two is a sum
over its leaves. The sum is exact except in cells that a box cuts through. Averages are taken in the
space's own measure, in which all decades of a logarithmic range have the same length.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree._tree import Tree

from study.space.encoding import BINS, Encoder, Floats

Pair = tuple[int, int]

_TREES_AT_ONCE = 16  # some tens of MB


@dataclass(frozen=True)
class Effects:
    """Main and pairwise effects on a forest's prediction, all other hyperparameters averaged out.

    Attributes:
        main: One array per hyperparameter, the probe last: (cells,) mean predictions.
        pairs: For each pair, (cells, cells) mean predictions.
        main_variance: (hyperparameters + probe,) variances of main effects.
        pair_variance: Pair -> variance that is not due to the two main effects.
    """

    main: list[Floats]
    pairs: dict[Pair, Floats]
    main_variance: Floats
    pair_variance: dict[Pair, float]


class Marginals:
    """Computes the effects of forests over one space.

    Args:
        encoder: The space.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._cells: list[Floats] = []
        self._measures: list[Floats] = []
        self._groups: list[slice] = []
        start = 0
        for scale in encoder.scales:
            bounds, measure = scale.cells()
            if scale.columns > 1:  # a cell per choice, which is one in its own column
                bounds = np.repeat(np.eye(scale.columns)[:, :, None], 2, axis=2)
            else:
                bounds = bounds[:, None, :]
            self._add(bounds, measure, start)
            start += scale.columns
        edges = np.linspace(0.0, 1.0, BINS + 1)  # the probe
        self._add(
            np.stack([edges[:-1], edges[1:]], axis=1)[:, None], np.full(BINS, 1 / BINS), start
        )

    def _add(self, bounds: Floats, measure: Floats, start: int) -> None:
        self._cells.append(bounds)  # (cells, columns, 2)
        self._measures.append(measure)
        self._groups.append(slice(start, start + bounds.shape[1]))

    def effects(self, forest: RandomForestRegressor) -> Effects:
        """Effects of a fitted forest over the columns of this space and a probe."""
        main = [np.zeros(len(measure)) for measure in self._measures]
        pairs = {
            (i, j): np.zeros((len(main[i]), len(main[j])))
            for i, j in itertools.combinations(range(len(main)), 2)
        }
        for first in range(0, len(forest.estimators_), _TREES_AT_ONCE):
            trees = [t.tree_ for t in forest.estimators_[first : first + _TREES_AT_ONCE]]
            self._add_trees(main, pairs, *_boxes(trees))
        for sums in (*main, *pairs.values()):
            sums /= len(forest.estimators_)
        mean = float(main[0] @ self._measures[0])
        main_variance = [(m - mean) ** 2 @ w for m, w in zip(main, self._measures, strict=True)]
        pair_variance: dict[Pair, float] = {}
        for (i, j), both in pairs.items():
            beyond = both - main[i][:, None] - main[j][None, :] + mean
            pair_variance[i, j] = float(self._measures[i] @ beyond**2 @ self._measures[j])
        return Effects(main, pairs, np.array(main_variance), pair_variance)

    def _add_trees(
        self,
        main: list[Floats],
        pairs: dict[Pair, Floats],
        value: Floats,
        low: Floats,
        high: Floats,
    ) -> None:
        """Adds the contribution of leaves: (leaves,) values, (leaves, columns) bounds."""
        inside = [  # (leaves, cells): the part of each cell that lies in a leaf's box
            _inside(cells, low[:, group], high[:, group])
            for cells, group in zip(self._cells, self._groups, strict=True)
        ]
        share = np.stack([i @ m for i, m in zip(inside, self._measures, strict=True)])
        for i, sums in enumerate(main):
            sums += (value * _product(share, [i])) @ inside[i]
        for (i, j), both in pairs.items():
            both += (inside[i] * (value * _product(share, [i, j]))[:, None]).T @ inside[j]


def _product(share: Floats, without: list[int]) -> Floats:
    return np.asarray(np.prod(np.delete(share, without, axis=0), axis=0))


def _inside(cells: Floats, low: Floats, high: Floats) -> Floats:
    """(leaves, cells): how much of each cell lies in each box, over a group of columns."""
    parts = np.ones((len(low), len(cells)))
    for column in range(cells.shape[1]):
        left, right = cells[None, :, column, 0], cells[None, :, column, 1]
        above, below = low[:, column, None], high[:, column, None]
        width = np.maximum(right - left, 1e-300)
        overlap = np.clip(np.minimum(right, below) - np.maximum(left, above), 0.0, None) / width
        point = (left > above) & (left <= below)  # a tree goes left where x <= threshold
        parts *= np.where(right > left, overlap, point)
    return parts


def _boxes(trees: Sequence[Tree]) -> tuple[Floats, Floats, Floats]:
    """All leaves of all trees: (leaves,) their values, (leaves, columns) lower and upper bounds."""
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    left, right, feature, threshold, value = (
        np.concatenate([part(tree, start) for tree, start in zip(trees, starts, strict=False)])
        for part in (
            lambda tree, start: np.where(tree.children_left < 0, -1, tree.children_left + start),
            lambda tree, start: np.where(tree.children_right < 0, -1, tree.children_right + start),
            lambda tree, _: tree.feature,
            lambda tree, _: tree.threshold,
            lambda tree, _: tree.value[:, 0, 0],
        )
    )
    low = np.full((len(left), trees[0].n_features), -np.inf)
    high = np.full_like(low, np.inf)
    level = starts[:-1]  # the roots
    while len(level := level[left[level] >= 0]):
        for child, bound, closer in ((left, high, np.minimum), (right, low, np.maximum)):
            children = child[level]
            low[children], high[children] = low[level], high[level]
            split = feature[level]
            bound[children, split] = closer(bound[children, split], threshold[level])
        level = np.concatenate([left[level], right[level]])
    leaves = left < 0
    return value[leaves], low[leaves], high[leaves]
