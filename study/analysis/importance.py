"""Importances of hyperparameters, and their intervals.

The headline is the *normalised total effect* of each hyperparameter (Sobol, Jansen): the part of
the objective's variance over the space that it has a hand in, alone or with others, divided by the
sum over all of them. It is computed on a surrogate model, which must first predict held-out trials.
Its interval covers the choice of trials and what the model does not explain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution
from threadpoolctl import threadpool_limits

from refinevad.errors import Stopped
from study.analysis.cores import on_all_cores
from study.analysis.estimate import Estimate
from study.analysis.forest import Design, Forest, Sample
from study.analysis.marginals import Effects, Marginals
from study.analysis.ped_anova import apart, ped_anova
from study.analysis.surrogate import (
    FOLDS,
    LEAST_TRIALS,
    SurrogateFit,
    gaussian_process,
    gaussian_shares,
    surrogate_fit,
    widened,
)
from study.ledger.records import TrialRecord
from study.space.encoding import Encoder, Floats

TREES = 300
TREES_OF_A_REPLICATE = 32
BOOTSTRAPS = 100
KERNELS, FUNCTIONS = 16, 12
"""Draws from a Gaussian process: parameters of its kernel, and functions for each."""
POINTS = 1024  # of the uniform design
LEAST_SHARE = 0.01
"""Smallest share that is called important, however narrow its interval."""
NEGLIGIBLE = 0.05
"""Share below which a hyperparameter is called noise, where the whole interval lies below."""
DOUBT = 0.1
"""Part of the unexplained share that an important hyperparameter must exceed."""
QUARTERS = (0.25, 0.5, 0.75)

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
    """True if its interval lies above the probe's, above `LEAST_SHARE` and above a tenth of the
    unexplained share, by the headline."""

    @property
    def negligible(self) -> bool:
        """Whether its whole interval, with the unexplained share, lies below `NEGLIGIBLE`."""
        return not self.above_noise and self.shares[METHODS[0]].high < NEGLIGIBLE


@dataclass(frozen=True)
class Interaction:
    """The interaction of two hyperparameters, beyond their main effects."""

    names: tuple[str, str]
    share: Estimate
    """Share of the variance of the forest over the space."""
    above_noise: bool
    """True if its interval lies above those of all pairs with the probe and `LEAST_SHARE`."""


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
        apart: Hyperparameters in which the best tenth of the space-filling trials differs from the
            rest; None: there are too few of these trials to say.
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
    apart: list[str] | None

    def mark(self, parameter: ParameterImportance) -> str:
        """What stands beside a hyperparameter in tables and pictures; nothing beside an important
        one."""
        if parameter.above_noise:
            return ""
        if parameter.name in (self.apart or ()):
            return "best tenth only"
        return "≈ noise" if parameter.negligible else "not decided"

    def worth_a_picture(self, count: int = 3) -> list[str]:
        """The important hyperparameters, those in which the best tenth differs, then the next ones:
        ``count`` of them, one more where that is needed for the best tenth."""
        ranked = [p.name for p in self.parameters]
        first = [p.name for p in self.parameters if p.above_noise][:count]
        apart = [name for name in self.apart or () if name not in first][:1]
        names = first + apart
        rest = [name for name in ranked if name not in names]
        return names + rest[: max(0, count - len(names))]


class Unanswerable(Stopped):
    """Importances cannot be computed from these trials."""


def sample_of(encoder: Encoder, records: Sequence[TrialRecord], evenly: range) -> Sample:
    """The sample of all trials with a result: pruned ones with their best, diverged ones with 0."""
    used = [r for r in records if r.ended and r.objective is not None]
    return Sample(
        encoder.encode([r.params for r in used]),
        np.array([r.objective for r in used], dtype=float),
        np.array([r.number in evenly for r in used], dtype=bool),
    )


def importance(
    records: Sequence[TrialRecord],
    distributions: Mapping[str, BaseDistribution],
    *,
    space_filling: int,
    enqueued: int = 0,
    seed: int,
    bootstraps: int = BOOTSTRAPS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Importance:
    """The importances of a study's hyperparameters.

    Args:
        records: Trials of the study.
        distributions: Space of the study.
        space_filling: Number of its trials that cover the space evenly.
        enqueued: Number of trials before them.
        seed: Decides forests, probes and resamplings; the number of cores does not matter.
        bootstraps: Resamplings behind every interval.
        progress: Called with the number of forests fitted and their total.

    Raises:
        Unanswerable: There are too few trials, all have one objective, or nothing was searched.
    """
    encoder = Encoder(distributions)
    sample = sample_of(encoder, records, range(enqueued, enqueued + space_filling))
    _require_an_answer(encoder, sample)
    seeds = np.random.SeedSequence(seed)
    design = Design(encoder, points=POINTS, seed=int(seeds.generate_state(1)[0]))
    measures = _Measures(encoder, design)
    main, fit_seed, replicas, *stage_seeds = seeds.spawn(3 + len(QUARTERS))
    process_seed, apart_seed = seeds.spawn(2)
    starts = [sample.take(np.arange(round(q * len(sample)))) for q in QUARTERS]
    starts = [part for part in starts if len(part) >= LEAST_TRIALS and np.ptp(part.objective)]
    few = max(20, bootstraps // 8)
    done = itertools.count(1)
    total = 1 + FOLDS + bootstraps + len(starts) * (1 + few)

    def count() -> None:
        progress(next(done), total)

    whole = measures.of(sample, TREES, main)
    count()
    fit, process = surrogate_fit(encoder, sample, fit_seed, count)
    if process is not None:  # a stage is then one process, and no forests
        total = 1 + FOLDS + bootstraps + len(starts)
    resampled = measures.bootstrap(sample, replicas, bootstraps, count)
    shares, spread = whole.shares["permutation"], _headline(resampled)
    if process is not None:
        spread = gaussian_shares(
            process, design, process_seed, kernels=KERNELS, functions=FUNCTIONS
        )
        shares = spread.mean(axis=0)
    stages = []
    for part, stage_seed in zip(starts, stage_seeds, strict=False):
        own, *others = stage_seed.spawn(2)
        if process is not None:
            with threadpool_limits(1):  # more threads change the last bits
                earlier = gaussian_process(encoder, part, np.random.default_rng(own), process)
            again = gaussian_shares(
                earlier, design, others[0], kernels=KERNELS // 4, functions=FUNCTIONS
            )
            first = again.mean(axis=0)
        else:
            first = measures.of(part, TREES, own).shares["permutation"]
            again = _headline(measures.bootstrap(part, others[0], few, count))
        count()
        stages.append(Stage(len(part), _by_name(encoder, _estimates(first, again))))
    names = apart(encoder, sample, np.random.default_rng(apart_seed))
    return _answer(encoder, sample, fit, (shares, spread), whole, resampled, stages, names)


def _headline(resampled: Sequence[_Measured]) -> Floats:
    return np.stack([r.shares["permutation"] for r in resampled])


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

        return on_all_cores(one, seed.spawn(count), done)


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


def _answer(
    encoder: Encoder,
    sample: Sample,
    fit: SurrogateFit,
    headline: tuple[Floats, Floats],
    whole: _Measured,
    resampled: Sequence[_Measured],
    stages: list[Stage],
    differing: list[str] | None,
) -> Importance:
    names = encoder.names
    spread = {m: np.stack([r.shares[m] for r in resampled]) for m in METHODS}
    estimates = {m: _estimates(whole.shares[m], spread[m]) for m in METHODS}
    *own, probe = _estimates(*headline)
    estimates["permutation"] = [*(widened(e, fit.unexplained) for e in own), probe]
    replicates = headline[1][:, :-1]
    first = np.bincount(replicates.argmax(axis=1), minlength=len(names)) / len(replicates)
    noise = max(LEAST_SHARE, probe.high, DOUBT * fit.unexplained)
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
        apart=differing,
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
