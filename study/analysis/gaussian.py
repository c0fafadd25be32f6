"""A Gaussian process from hyperparameters to the objective, and draws from its posterior.

It is the surrogate model where the objective is smooth: from the same trials it predicts new ones
better than a forest, does not flatten interactions, and says how uncertain it is between the
trials. Objectives are standardised; the noise is Gaussian and the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.optimize import minimize

from study.analysis.cores import on_all_cores
from study.analysis.kernel import ROOT5, Features, Lengths, correlation, distances
from study.space.encoding import Floats

COSINES = 512
MOST_FITTED = 400
"""Trials from which the kernel's parameters are estimated; all are used for predictions."""
_ROWS = 1024
"""Points whose covariances are held at once."""
_LENGTHS = (-3.5, 5.0)
_SIGNAL = (-5.0, 4.0)
_NOISE = (-9.0, 2.0)
"""Bounds of logarithms: of lengths, of the signal's and of the noise's variance."""
_LENGTH_PRIOR = (0.5, 1.5)
_SIGNAL_PRIOR = (0.0, 1.5)
"""Mean and deviation of logarithms under a normal prior, which is weak."""


@dataclass(frozen=True)
class Parameters:
    """Logarithms of the lengths (hyperparameters,), of signal and noise variance."""

    values: Floats

    @property
    def lengths(self) -> Floats:
        return np.exp(self.values[:-2])

    @property
    def signal(self) -> float:
        return float(np.exp(self.values[-2]))

    @property
    def noise(self) -> float:
        return float(np.exp(self.values[-1]))


class GaussianProcess:
    """A Gaussian process fitted by maximum a posteriori of its kernel's parameters.

    Args:
        x: (n, columns) points.
        y: (n,) objectives, not all equal.
        widths: Columns of each hyperparameter.
        rng: Decides which trials the kernel's parameters are estimated from.
        near: Parameters of a fit to more of the same trials, from which the search starts.
    """

    def __init__(
        self,
        x: Floats,
        y: Floats,
        widths: Sequence[int],
        rng: np.random.Generator,
        near: Parameters | None = None,
    ) -> None:
        self._x, self._widths = x, widths
        self._mean, self._sd = float(y.mean()), float(y.std())
        self._y = (y - self._mean) / self._sd
        few = np.arange(len(x))
        if len(x) > MOST_FITTED:
            few = np.sort(rng.permutation(len(x))[:MOST_FITTED])
        likelihood = _Likelihood(x[few], self._y[few], widths)
        self.parameters, self._spread = likelihood.fit(near)
        self._solution: tuple[Floats, Floats] | None = None

    def held_out(self, folds: Sequence[np.ndarray[tuple[int], np.dtype[np.intp]]]) -> Floats:
        """Predictions of the trials of each fold from all others, one fold after another.

        The kernel's parameters are those of all trials; they are few.
        """
        inverse, alpha = self._solved()
        found = []
        for rows in folds:
            own = np.linalg.solve(inverse[np.ix_(rows, rows)], alpha[rows])
            found.append(self._y[rows] - own)
        return np.concatenate(found) * self._sd + self._mean

    def draws(
        self, points: Floats, *, kernels: int, functions: int, seed: np.random.SeedSequence
    ) -> Floats:
        """(n, kernels * functions) functions from the posterior at (n, columns) points.

        The kernel's parameters are drawn too, from the Laplace approximation of their posterior.
        A function is one of the prior, corrected at the trials (Wilson et al., ICML 2020).
        """

        def one(child: np.random.SeedSequence) -> Floats:
            return self._drawn(points, functions, np.random.default_rng(child))

        found = on_all_cores(one, seed.spawn(kernels), lambda: None)
        return np.asarray(np.hstack(found) * self._sd + self._mean)

    def _drawn(self, points: Floats, functions: int, rng: np.random.Generator) -> Floats:
        step = self._spread @ rng.standard_normal(self._spread.shape[1])
        parameters = Parameters(_bounded(self.parameters.values + step))
        lengths = Lengths(parameters.lengths, self._widths)
        prior = Features(lengths, self._x.shape[1], count=COSINES, functions=functions, rng=rng)
        scale = np.sqrt(parameters.signal)
        covariance = parameters.signal * correlation(self._x, self._x, lengths)
        covariance[np.diag_indices(len(self._x))] += parameters.noise + 1e-8
        error = np.sqrt(parameters.noise) * rng.standard_normal((len(self._x), functions))
        gap = self._y[:, None] - scale * prior.at(self._x) - error
        weights = cho_solve(cho_factor(covariance, lower=True, overwrite_a=True), gap)
        values = np.empty((len(points), functions))
        for first in range(0, len(points), _ROWS):
            part = slice(first, first + _ROWS)
            near = parameters.signal * correlation(points[part], self._x, lengths)
            values[part] = scale * prior.at(points[part]) + near @ weights
        return values

    def _solved(self) -> tuple[Floats, Floats]:
        if self._solution is None:
            lengths = Lengths(self.parameters.lengths, self._widths)
            covariance = self.parameters.signal * correlation(self._x, self._x, lengths)
            covariance[np.diag_indices(len(self._x))] += self.parameters.noise + 1e-8
            inverse = cho_solve((cholesky(covariance, lower=True), True), np.eye(len(self._x)))
            self._solution = inverse, inverse @ self._y
        return self._solution


_STARTS = ((-2.0, 0.5), (0.0, 1.5), (-1.0, -0.5), (-2.0, -1.5))
"""Logarithms of noise and lengths from which the mode is searched: it is not the only maximum."""


class _Likelihood:
    """Minus the logarithm of the posterior density of the kernel's parameters."""

    def __init__(self, x: Floats, y: Floats, widths: Sequence[int]) -> None:
        self._squares = distances(x, widths)
        self._y = y
        self._count = len(widths)

    def fit(self, near: Parameters | None) -> tuple[Parameters, Floats]:
        """The mode, and a root of the covariance around it."""
        bounds = [_LENGTHS] * self._count + [_SIGNAL, _NOISE]
        starts = [
            np.array([*np.full(self._count, length), 0.0, noise]) for noise, length in _STARTS
        ]
        best = None
        for start in starts if near is None else [near.values]:
            found = minimize(
                self.value,
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 80},
            )
            if best is None or found.fun < best.fun:
                best = found
        assert best is not None
        return Parameters(best.x), self._root(best.x)

    def _root(self, mode: Floats) -> Floats:
        step = 1e-2
        rows = []
        for i in range(len(mode)):
            ahead, behind = mode.copy(), mode.copy()
            ahead[i] += step
            behind[i] -= step
            rows.append((self.value(ahead)[1] - self.value(behind)[1]) / (2 * step))
        hessian = np.array(rows)
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        return np.asarray(vectors / np.sqrt(np.maximum(values, 0.1)))

    def value(self, parameters: Floats) -> tuple[float, Floats]:
        """The value and its gradient."""
        given = Parameters(parameters)
        weights = given.lengths**-2
        root = ROOT5 * np.sqrt(np.tensordot(weights, self._squares, axes=1))
        decay = np.exp(-root)
        signal = given.signal * (1 + root + root**2 / 3) * decay
        covariance = signal.copy()
        covariance[np.diag_indices(len(covariance))] += given.noise + 1e-8
        factor = cholesky(covariance, lower=True)
        inverse = cho_solve((factor, True), np.eye(len(covariance)))
        alpha = inverse @ self._y
        pull = inverse - np.outer(alpha, alpha)  # of the covariance, times two
        slope = pull * (given.signal * (5 / 3) * (1 + root) * decay)
        gradient = np.empty(len(parameters))
        gradient[: self._count] = weights * np.tensordot(self._squares, slope, axes=2) / 2
        gradient[-2] = float((pull * signal).sum()) / 2
        gradient[-1] = float(np.trace(pull)) * given.noise / 2
        value = float(self._y @ alpha) / 2 + float(np.log(np.diag(factor)).sum())
        for place, (mean, sd) in ((slice(0, -2), _LENGTH_PRIOR), (slice(-2, -1), _SIGNAL_PRIOR)):
            off = (parameters[place] - mean) / sd
            value += float((off**2).sum()) / 2
            gradient[place] += off / sd
        return value, gradient


def _bounded(values: Floats) -> Floats:
    low = np.array([_LENGTHS[0]] * (len(values) - 2) + [_SIGNAL[0], _NOISE[0]])
    high = np.array([_LENGTHS[1]] * (len(values) - 2) + [_SIGNAL[1], _NOISE[1]])
    return np.asarray(np.clip(values, low, high))
