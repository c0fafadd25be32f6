"""Comparison of two studies: agreement of their rankings, transfer of their best configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.stats import kendalltau

from refinevad.errors import InputError
from study.analysis.estimate import Estimate
from study.analysis.forest import Forest
from study.analysis.importance import TREES_OF_A_REPLICATE, Importance, sample_of
from study.ledger.records import TrialRecord, best
from study.ledger.study import StudyView
from study.space.dimension import Params
from study.space.encoding import Encoder, Floats, is_number

FORESTS = 50


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b between two rankings by permutation importance: 1 equal, -1 reversed."""

    tau: Estimate
    names: list[str]
    """Hyperparameters that both studies searched."""


@dataclass(frozen=True)
class Regret:
    """Loss of objective when the best configuration of one study is used on another.

    The other study's forest predicts both configurations: nothing was trained.
    """

    loss: Estimate
    """Objective of the other study's own best, minus that of the transferred configuration."""
    moved: dict[str, tuple[object, object]]
    """Hyperparameter -> its value outside the other study's space, and the nearest one inside."""


def agreement(one: Importance, other: Importance) -> Agreement | None:
    """Agreement of two rankings; None where they share fewer than two hyperparameters."""
    names = [name for name in one.names if name in other.names]
    if len(names) < 2:
        return None
    value = _tau(*(np.array([_share(a, name) for name in names]) for a in (one, other)))
    columns = [[a.names.index(name) for name in names] for a in (one, other)]
    spread = [
        _tau(left[columns[0]], right[columns[1]])
        for left, right in zip(one.replicates, other.replicates, strict=False)
    ]
    low, high = np.nanpercentile(spread, [2.5, 97.5])
    return Agreement(Estimate(value, min(value, float(low)), max(value, float(high))), names)


def regret(
    carried: Params,
    records: Sequence[TrialRecord],
    distributions: Mapping[str, BaseDistribution],
    *,
    seed: int,
) -> Regret | None:
    """Regret of configuration ``carried`` on the study of ``records``; None without a best trial.

    Hyperparameters that ``carried`` lacks are taken from the study's own best.
    """
    own = best(records)
    encoder = Encoder(distributions)
    if own is None or not encoder.scales:
        return None
    there, moved = _into(carried, own.params, distributions)
    codes = encoder.encode([own.params, there])
    sample = sample_of(encoder, records, evenly=range(0))
    losses = []
    for child in np.random.SeedSequence(seed).spawn(FORESTS):
        rng = np.random.default_rng(child)
        again = sample.take(rng.integers(len(sample), size=len(sample)))
        forest = Forest(encoder, again, trees=TREES_OF_A_REPLICATE, rng=rng)
        here, carried_over = forest.predict(codes)
        losses.append(here - carried_over)
    low, high = np.percentile(losses, [2.5, 97.5])
    return Regret(Estimate(float(np.mean(losses)), float(low), float(high)), moved)


def _into(
    carried: Params, own: Params, distributions: Mapping[str, BaseDistribution]
) -> tuple[Params, dict[str, tuple[object, object]]]:
    """``carried`` moved into a space, and the values that were moved."""
    there: Params = {}
    moved: dict[str, tuple[object, object]] = {}
    for name, distribution in distributions.items():
        value = carried.get(name, own[name])
        there[name] = _nearest(value, own[name], distribution)
        if there[name] != value:
            moved[name] = (value, there[name])
    return there, moved


def _nearest(value: Any, own: Any, distribution: BaseDistribution) -> Any:
    """The value of a space that is nearest to ``value``; ``own`` where none is near."""
    if isinstance(distribution, CategoricalDistribution):
        if value in distribution.choices:
            return value
        numbers = [c for c in distribution.choices if is_number(c)]
        if is_number(value) and len(numbers) == len(distribution.choices):
            return min(numbers, key=lambda choice: abs(choice - value))
        return own
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not is_number(value):
        return own
    inside = min(max(value, distribution.low), distribution.high)
    return round(inside) if isinstance(distribution, IntDistribution) else float(inside)


def _share(answer: Importance, name: str) -> float:
    return next(p.shares["permutation"].value for p in answer.parameters if p.name == name)


def _tau(one: Floats, other: Floats) -> float:
    return float(kendalltau(one, other).statistic)


@dataclass(frozen=True)
class Comparison:
    """The comparison of two studies."""

    studies: tuple[StudyView, StudyView]
    answers: tuple[Importance, Importance]
    agreement: Agreement
    regrets: tuple[Regret | None, Regret | None]
    """Regret of the first study's best configuration on the second, and the reverse."""


def compare(
    studies: tuple[StudyView, StudyView], answers: tuple[Importance, Importance]
) -> Comparison:
    """Compares rankings, and transfers each study's best configuration to the other.

    Raises:
        InputError: They have fewer than two searched hyperparameters in common.
    """
    agreed = agreement(*answers)
    if agreed is None:
        names = " and ".join(view.name for view in studies)
        raise InputError(f"{names}: fewer than two hyperparameters were searched in both")
    one, other = studies
    return Comparison(studies, answers, agreed, (_carry(one, other), _carry(other, one)))


def _carry(source: StudyView, target: StudyView) -> Regret | None:
    winner = best(source.records)
    if winner is None:
        return None
    distributions = target.file.distributions()
    seed = target.seed(f"regret of {source.name}")
    return regret(winner.params, target.compared, distributions, seed=seed)
