"""Importances of hyperparameters, their intervals, and the fit of the surrogate model.

One forest gives one number per hyperparameter, and another seed gives another number. So every
number has the 95% interval of a bootstrap over trials and is compared with the importance of a
random probe. First of all, the forest must predict held-out trials.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from optuna.distributions import BaseDistribution
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from refinevad.errors import Stopped
from study.analysis.estimate import Estimate
from study.analysis.forest import Design, Forest, Sample
from study.analysis.marginals import Effects, Marginals
from study.analysis.ped_anova import ped_anova
from study.ledger.records import TrialRecord
from study.space.encoding import Encoder, Floats

TREES = 300
TREES_OF_A_REPLICATE = 32
BOOTSTRAPS = 200
POINTS = 1024  # of the uniform design
LEAST_TRIALS = 20
LEAST_SHARE = 0.01
"""Smallest share that is called important, however narrow its interval."""
PREDICTS = 0.5
"""Smallest R² on held-out trials at which the forest is trusted."""
QUARTERS = (0.25, 0.5, 0.75)
FOLDS = 10

PROBE = "(probe)"
METHODS = ("permutation", "mdi", "ped_anova")
"""Importance methods, the headline (permutation) first."""


@dataclass(frozen=True)
class ParameterImportance:
    """Importances of one hyperparameter."""

    name: str
    shares: dict[str, Estimate]
    """Method -> share; the shares of all hyperparameters sum to 1."""
    first: float
    """Probability of being the most important one, by the headline."""
    above_noise: bool
    """True if its interval lies above the probe's and above `LEAST_SHARE`, by the headline."""


@dataclass(frozen=True)
class Interaction:
    """The interaction of two hyperparameters, beyond their main effects."""

    names: tuple[str, str]
    share: Estimate
    """Share of the variance of the forest over the space."""
    above_noise: bool
    """True if its interval lies above those of all pairs with the probe and `LEAST_SHARE`."""


@dataclass(frozen=True)
class SurrogateFit:
    """The fit of the forest on trials that it was not fitted to."""

    r2: Estimate
    trials: int
    """Number of held-out trials, a tenth at a time."""
    space_filling: bool
    """True if they cover the space evenly; False if they are where the search went."""

    @property
    def trustworthy(self) -> bool:
        return self.r2.value >= PREDICTS


@dataclass(frozen=True)
class Stage:
    """The headline computed from the first trials of the study only."""

    trials: int
    shares: dict[str, Estimate]


@dataclass(frozen=True)
class Importance:
    """The importance result of a study.

    Attributes:
        trials: Number of trials with a result.
        parameters: Importances, the most important hyperparameter first.
        probe: Method -> share of the random probe.
        single: Hyperparameters with one value only.
        interactions: Interactions, the strongest pair first.
        stages: Headline shares at a quarter, a half, three quarters and all of the trials.
        replicates: (bootstraps, hyperparameters) headline shares, in the order of ``names``.
        names: Names of the columns of ``replicates``.
        effects: Effects of the forest, in the order of ``names``.
    """

    trials: int
    fit: SurrogateFit
    parameters: list[ParameterImportance]
    probe: dict[str, Estimate]
    single: list[str]
    interactions: list[Interaction]
    stages: list[Stage]
    replicates: Floats
    names: list[str]
    effects: Effects


class Unanswerable(Stopped):
    """Importances cannot be computed from these trials."""


def sample_of(encoder: Encoder, records: Sequence[TrialRecord], space_filling: int) -> Sample:
    """The sample of all trials with a result: pruned ones with their best, diverged ones with 0."""
    used = [r for r in records if r.ended and r.objective is not None]
    return Sample(
        encoder.encode([r.params for r in used]),
        np.array([r.objective for r in used], dtype=float),
        np.array([r.number < space_filling for r in used], dtype=bool),
    )


def importance(
    records: Sequence[TrialRecord],
    distributions: Mapping[str, BaseDistribution],
    *,
    space_filling: int,
    seed: int,
    bootstraps: int = BOOTSTRAPS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Importance:
    """The importances of a study's hyperparameters.

    Args:
        records: Trials of the study.
        distributions: Space of the study.
        space_filling: Number of its first trials that cover the space evenly.
        seed: Decides forests, probes and resamplings; the number of cores does not matter.
        bootstraps: Resamplings behind every interval.
        progress: Called with the number of forests fitted and their total.

    Raises:
        Unanswerable: There are too few trials, all have one objective, or nothing was searched.
    """
    encoder = Encoder(distributions)
    sample = sample_of(encoder, records, space_filling)
    _require_an_answer(encoder, sample)
    seeds = np.random.SeedSequence(seed)
    design = Design(encoder, points=POINTS, seed=int(seeds.generate_state(1)[0]))
    measures = _Measures(encoder, design)
    main, fit_seed, replicas, *stage_seeds = seeds.spawn(3 + len(QUARTERS))
    starts = [sample.take(np.arange(round(q * len(sample)))) for q in QUARTERS]
    starts = [part for part in starts if len(part) >= LEAST_TRIALS and np.ptp(part.objective)]
    few = max(20, bootstraps // 8)
    total = 1 + FOLDS + bootstraps + len(starts) * (1 + few)
    done = itertools.count(1)

    def count() -> None:
        progress(next(done), total)

    whole = measures.of(sample, TREES, main)
    count()
    fit = _surrogate_fit(encoder, sample, fit_seed, count)
    resampled = measures.bootstrap(sample, replicas, bootstraps, count)
    stages = []
    for part, stage_seed in zip(starts, stage_seeds, strict=False):
        own, *others = stage_seed.spawn(2)
        first = measures.of(part, TREES, own).shares["permutation"]
        again = measures.bootstrap(part, others[0], few, count)
        count()
        spread = np.stack([r.shares["permutation"] for r in again])
        stages.append(Stage(len(part), _by_name(encoder, _estimates(first, spread))))
    return _answer(encoder, sample, fit, whole, resampled, stages)


@dataclass(frozen=True)
class _Measured:
    """Importances by one forest, the probe last."""

    shares: dict[str, Floats]
    interactions: Floats
    """(pairs,) shares of the forest's variance."""
    effects: Effects


class _Measures:
    """Fits forests and measures them, all against one design."""

    def __init__(self, encoder: Encoder, design: Design) -> None:
        self._encoder = encoder
        self._design = design
        self._marginals = Marginals(encoder)

    def of(self, sample: Sample, trees: int, seed: np.random.SeedSequence) -> _Measured:
        rng = np.random.default_rng(seed)
        forest = Forest(self._encoder, sample, trees=trees, rng=rng)
        shares, variance = forest.permutation(self._design)
        effects = self._marginals.effects(forest.trees)
        return _Measured(
            {
                "permutation": shares,
                "mdi": forest.impurity(),
                "ped_anova": ped_anova(self._encoder.scales, sample, rng.random(len(sample))),
            },
            np.array(list(effects.pair_variance.values())) / max(variance, 1e-300),
            effects,
        )

    def bootstrap(
        self,
        sample: Sample,
        seed: np.random.SeedSequence,
        count: int,
        done: Callable[[], None],
    ) -> list[_Measured]:
        """Measures of ``count`` resamplings of the trials, on all cores."""

        def one(child: np.random.SeedSequence) -> _Measured:
            draw, rest = child.spawn(2)
            rows = np.random.default_rng(draw).integers(len(sample), size=len(sample))
            return self.of(sample.take(rows), TREES_OF_A_REPLICATE, rest)

        return _on_all_cores(one, seed.spawn(count), done)


T = TypeVar("T")
R = TypeVar("R")


def _on_all_cores(work: Callable[[T], R], items: Sequence[T], done: Callable[[], None]) -> list[R]:
    """Results of ``work`` on every item, in order; trees are grown without Python's lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1
    found = []
    with threadpool_limits(1):  # else every thread starts as many again
        for result in Parallel(cores, prefer="threads", return_as="generator")(
            delayed(work)(item) for item in items
        ):
            found.append(result)
            done()
    return found


def _require_an_answer(encoder: Encoder, sample: Sample) -> None:
    if not encoder.scales:
        raise Unanswerable("every hyperparameter has one value only: nothing was searched")
    if len(sample) < LEAST_TRIALS:
        raise Unanswerable(
            f"{len(sample)} trials have a result; importances need at least {LEAST_TRIALS}, and "
            "some hundreds to be useful"
        )
    if np.ptp(sample.objective) == 0:
        value = float(sample.objective[0])
        why = ": they diverged" if value == 0 else ""
        raise Unanswerable(
            f"all {len(sample)} trials have the objective {value:g}{why}; there is nothing to "
            "explain"
        )


def _surrogate_fit(
    encoder: Encoder, sample: Sample, seed: np.random.SeedSequence, done: Callable[[], None]
) -> SurrogateFit:
    """R² on space-filling trials, each predicted by a forest of all trials but its fold's."""
    held = np.flatnonzero(sample.space_filling)
    evenly = len(held) >= LEAST_TRIALS and bool(np.ptp(sample.objective[held]) > 0)
    if not evenly:
        held = np.arange(len(sample))
    own, *others = seed.spawn(1 + FOLDS)
    rng = np.random.default_rng(own)
    folds = np.array_split(rng.permutation(held), FOLDS)

    def predict(number: int) -> Floats:
        rest = sample.take(np.setdiff1d(np.arange(len(sample)), folds[number]))
        forest = Forest(encoder, rest, trees=TREES // 3, rng=np.random.default_rng(others[number]))
        return forest.predict(sample.codes[folds[number]])

    held = np.concatenate(folds)
    truth = sample.objective[held]
    guess = np.concatenate(_on_all_cores(predict, range(FOLDS), done))
    rows = rng.integers(len(held), size=(1000, len(held)))
    spread = [_r2(truth[r], guess[r]) for r in rows if np.ptp(truth[r]) > 0]
    low, high = np.percentile(spread, [2.5, 97.5])
    return SurrogateFit(Estimate(_r2(truth, guess), float(low), float(high)), len(held), evenly)


def _r2(truth: Floats, guess: Floats) -> float:
    """R²; scikit-learn's takes a second for the thousand resamplings, with the same numbers."""
    return float(1 - np.mean((truth - guess) ** 2) / np.var(truth))


def _answer(
    encoder: Encoder,
    sample: Sample,
    fit: SurrogateFit,
    whole: _Measured,
    resampled: Sequence[_Measured],
    stages: list[Stage],
) -> Importance:
    names = encoder.names
    spread = {m: np.stack([r.shares[m] for r in resampled]) for m in METHODS}
    estimates = {m: _estimates(whole.shares[m], spread[m]) for m in METHODS}
    replicates = spread["permutation"][:, :-1]
    first = np.bincount(replicates.argmax(axis=1), minlength=len(names)) / len(replicates)
    noise = max(LEAST_SHARE, estimates["permutation"][-1].high)
    parameters = [
        ParameterImportance(
            name,
            {m: estimates[m][i] for m in METHODS},
            float(first[i]),
            above_noise=estimates["permutation"][i].low > noise,
        )
        for i, name in enumerate(names)
    ]
    parameters.sort(key=lambda p: -p.shares["permutation"].value)
    stages = [*stages, Stage(len(sample), _by_name(encoder, estimates["permutation"]))]
    return Importance(
        trials=len(sample),
        fit=fit,
        parameters=parameters,
        probe={m: estimates[m][-1] for m in METHODS},
        single=encoder.single,
        interactions=_interactions(names, whole, resampled),
        stages=stages,
        replicates=replicates,
        names=names,
        effects=whole.effects,
    )


def _interactions(
    names: Sequence[str], whole: _Measured, resampled: Sequence[_Measured]
) -> list[Interaction]:
    estimates = _estimates(whole.interactions, np.stack([r.interactions for r in resampled]))
    by_pair = dict(zip(whole.effects.pairs, estimates, strict=True))
    probe = len(names)
    noise = max(LEAST_SHARE, *(e.high for (_, j), e in by_pair.items() if j == probe))
    found = [
        Interaction((names[i], names[j]), estimate, above_noise=estimate.low > noise)
        for (i, j), estimate in by_pair.items()
        if j != probe
    ]
    return sorted(found, key=lambda interaction: -interaction.share.value)


def _estimates(values: Floats, spread: Floats) -> list[Estimate]:
    """Percentile intervals; widened to hold the value, which a resampling's may all miss."""
    low, high = np.percentile(spread, [2.5, 97.5], axis=0)
    return [
        Estimate(float(v), float(min(v, a)), float(max(v, b)))
        for v, a, b in zip(values, low, high, strict=True)
    ]


def _by_name(encoder: Encoder, estimates: Sequence[Estimate]) -> dict[str, Estimate]:
    return dict(zip([*encoder.names, PROBE], estimates, strict=True))
