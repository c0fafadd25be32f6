"""The surrogate model: a Gaussian process or a random forest, whichever predicts better.

Both predict the same held-out trials, a tenth at a time; the higher R² decides. What the model
leaves unexplained (1 - R²) may be noise or an effect that it missed: nothing in the trials tells
which, so that intervals leave room for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from study.analysis.cores import on_all_cores
from study.analysis.estimate import Estimate
from study.analysis.forest import Design, Forest, Sample, columns
from study.analysis.gaussian import GaussianProcess
from study.space.encoding import Encoder, Floats

PREDICTS = 0.5
"""Smallest R² on held-out trials at which the model is trusted."""
LEAST_TRIALS = 20
FOLDS = 10
TREES_OF_A_FOLD = 100
MOST_TRIALS = 1500
"""Trials a Gaussian process is fitted to: its time grows with their cube."""

Model = Literal["Gaussian process", "random forest"]


@dataclass(frozen=True)
class SurrogateFit:
    """The fit of the surrogate model on trials that it was not fitted to."""

    r2: Estimate
    trials: int
    """Number of held-out trials, a tenth at a time."""
    space_filling: bool
    """True if they cover the space evenly; False if they are where the search went."""
    model: Model = "random forest"
    """The one with the higher R²."""

    @property
    def trustworthy(self) -> bool:
        return self.r2.value >= PREDICTS

    @property
    def unexplained(self) -> float:
        """Share of the variance that the model does not explain, 1 - R²."""
        return float(np.clip(1 - self.r2.value, 0.0, 1.0))


def surrogate_fit(
    encoder: Encoder, sample: Sample, seed: np.random.SeedSequence, done: Callable[[], None]
) -> tuple[SurrogateFit, GaussianProcess | None]:
    """R² on space-filling trials, each predicted by a model of all trials but its fold's.

    Returns:
        The fit of the better model; the Gaussian process, if it is that.
    """
    held = np.flatnonzero(sample.space_filling)
    evenly = len(held) >= LEAST_TRIALS and bool(np.ptp(sample.objective[held]) > 0)
    if not evenly:
        held = np.arange(len(sample))
    own, process_seed, *others = seed.spawn(2 + FOLDS)
    rng = np.random.default_rng(own)
    folds = np.array_split(rng.permutation(held), FOLDS)

    def predict(number: int) -> Floats:
        rest = sample.take(np.setdiff1d(np.arange(len(sample)), folds[number]))
        forest = Forest(
            encoder, rest, trees=TREES_OF_A_FOLD, rng=np.random.default_rng(others[number])
        )
        return forest.predict(sample.codes[folds[number]])

    held = np.concatenate(folds)
    truth = sample.objective[held]
    guesses: dict[Model, Floats] = {
        "random forest": np.concatenate(on_all_cores(predict, range(FOLDS), done))
    }
    process = None
    if len(sample) <= MOST_TRIALS:
        with threadpool_limits(1):  # more threads change the last bits
            process = gaussian_process(encoder, sample, np.random.default_rng(process_seed))
            guesses["Gaussian process"] = process.held_out(folds)
    model = max(guesses, key=lambda name: _r2(truth, guesses[name]))
    rows = rng.integers(len(held), size=(1000, len(held)))
    spread = [_r2(truth[r], guesses[model][r]) for r in rows if np.ptp(truth[r]) > 0]
    low, high = np.percentile(spread, [2.5, 97.5])
    r2 = Estimate(_r2(truth, guesses[model]), float(low), float(high))
    fit = SurrogateFit(r2, len(held), evenly, model)
    return fit, process if model == "Gaussian process" else None


def gaussian_process(
    encoder: Encoder,
    sample: Sample,
    rng: np.random.Generator,
    near: GaussianProcess | None = None,
) -> GaussianProcess:
    """A Gaussian process of the trials and a probe.

    Args:
        encoder: The space.
        sample: The trials.
        rng: Decides the probe and the trials that the kernel is estimated from.
        near: A process of more trials of the same study, near which this one is looked for.
    """
    widths = [*(scale.columns for scale in encoder.scales), 1]
    probe = rng.random((len(sample), 1))
    points = columns(encoder.scales, np.hstack([sample.codes, probe]))
    start = None if near is None else near.parameters
    return GaussianProcess(points, sample.objective, widths, rng, start)


def gaussian_shares(
    process: GaussianProcess,
    design: Design,
    seed: np.random.SeedSequence,
    *,
    kernels: int,
    functions: int,
) -> Floats:
    """(kernels * functions, hyperparameters + probe) shares of total effects, of sum 1 without the
    probe: one row per function drawn from the posterior."""
    points = design.columns.astype(np.float64)
    values = process.draws(points, kernels=kernels, functions=functions, seed=seed)
    blocks = values.reshape(-1, design.points, values.shape[1])
    effects = ((blocks[1:] - blocks[0]) ** 2).mean(axis=1).T / 2
    total = effects[:, :-1].sum(axis=1, keepdims=True)
    return np.asarray(effects / np.maximum(total, 1e-300))


def widened(estimate: Estimate, unexplained: float) -> Estimate:
    """The interval of a share, with room for what the model does not explain.

    Of an unexplained share U, all or nothing may belong to the hyperparameter: the bounds are
    ``low (1 - U)`` and ``high (1 - U) + U``.
    """
    kept = 1 - unexplained
    return Estimate(
        estimate.value, estimate.low * kept, min(1.0, estimate.high * kept + unexplained)
    )


def _r2(truth: Floats, guess: Floats) -> float:
    """R²; scikit-learn's takes a second for the thousand resamplings, with the same numbers."""
    return float(1 - np.mean((truth - guess) ** 2) / np.var(truth))
