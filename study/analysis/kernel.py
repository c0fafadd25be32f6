"""The covariance of a smooth function: Matérn 5/2 with a length per hyperparameter.

``k(a, b) = s² (1 + √5 r + 5 r²/3) exp(-√5 r)``, ``r² = Σ_p |a_p - b_p|² / l_p²`` (Rasmussen and
Williams, *Gaussian Processes for Machine Learning*, 2006, eq. 4.17). A choice without order is one
column per value, with one length for all of them. A hyperparameter without effect gets a large
length.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.space.encoding import Floats

ROOT5 = 5**0.5


@dataclass(frozen=True)
class Lengths:
    """Lengths of the hyperparameters, spread over the columns.

    Args:
        values: (hyperparameters,) lengths.
        widths: Columns of each hyperparameter.
    """

    values: Floats
    widths: Sequence[int]

    def scaled(self, x: Floats) -> Floats:
        """(n, columns) in units of the lengths."""
        return np.asarray(x / np.repeat(self.values, self.widths))


def correlation(one: Floats, other: Floats, lengths: Lengths) -> Floats:
    """(n, m) Matérn 5/2 correlations of points (n, columns) and (m, columns)."""
    a, b = lengths.scaled(one), lengths.scaled(other)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    root = ROOT5 * np.sqrt(np.maximum(squared, 0.0))
    return np.asarray((1 + root + root**2 / 3) * np.exp(-root))


def distances(x: Floats, widths: Sequence[int]) -> Floats:
    """(hyperparameters, n, n) squared distances in each hyperparameter."""
    starts = np.concatenate([[0], np.cumsum(widths)])
    parts = []
    for first, last in itertools.pairwise(starts):
        own = x[:, first:last]
        parts.append(((own[:, None] - own[None]) ** 2).sum(axis=2))
    return np.stack(parts)


class Features:
    """Random functions of the kernel's prior, as sums of cosines (Rahimi and Recht 2007).

    The spectral density of Matérn 5/2 is a multivariate t with 5 degrees of freedom.

    Args:
        lengths: Of the kernel.
        columns: Number of columns of a point.
        count: Cosines.
        functions: Functions drawn.
        rng: Decides them.
    """

    def __init__(
        self,
        lengths: Lengths,
        columns: int,
        *,
        count: int,
        functions: int,
        rng: np.random.Generator,
    ) -> None:
        self._lengths = lengths
        chi = rng.chisquare(5, size=count) / 5
        self._frequencies = rng.standard_normal((columns, count)) / np.sqrt(chi)
        self._phases = rng.uniform(0, 2 * np.pi, count)
        self._weights = rng.standard_normal((count, functions)) * np.sqrt(2 / count)

    def at(self, x: Floats) -> Floats:
        """(n, functions) values, of unit variance."""
        angles = self._lengths.scaled(x) @ self._frequencies + self._phases
        return np.asarray(np.cos(angles) @ self._weights)
