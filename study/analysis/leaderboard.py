"""What a leaderboard says: means with intervals, who is told apart, what tuning gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, spearmanr

from study.analysis.estimate import Estimate
from study.analysis.test_videos import draws_over_seeds_and_videos
from study.config.leaderboard_file import LeaderboardFile
from study.ledger.records import TrialRecord
from study.space.dimension import Params

Array = NDArray[Any]
LEVEL = 0.05
FEWEST_IN_TAIL = 10
"""Draws on the other side of zero below which their spread says the probability."""


@dataclass(frozen=True)
class Contrast:
    """A paired difference, and its probability where there is none."""

    difference: Estimate
    p: float
    """Two-sided, by the draws."""


def contrast(own: Array, other: Array, *, seed: int = 0) -> Contrast | None:
    """The mean of ``own - other``, with an interval over seeds and test videos.

    Args:
        own: (K, 1 + replicates) a metric of K runs on resampled test videos, the test set first.
        other: The same of the runs of the same seeds.
        seed: Seed of the draws.

    Returns:
        None where there are fewer than three seeds, or the metric is undefined.
    """
    draws = draws_over_seeds_and_videos(own - other, seed=seed)
    if draws is None:
        return None
    drawn = draws[1:][np.isfinite(draws[1:])]
    tail = int(min(np.sum(drawn <= 0), np.sum(drawn >= 0)))
    if tail >= FEWEST_IN_TAIL:
        p = min(1.0, 2 * (1 + tail) / (1 + len(drawn)))
    else:  # the draws cannot say how small it is, and Holm's correction multiplies it
        spread = float(drawn.std())
        p = 2 * float(norm.sf(abs(float(draws[0])) / spread)) if spread > 0 else 1.0
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    return Contrast(Estimate(float(draws[0]), max(-1.0, low), min(1.0, high)), p)


def holm(p: Mapping[Any, float]) -> dict[Any, float]:
    """Holm's adjusted probabilities of several tests."""
    adjusted, largest = {}, 0.0
    for rank, (key, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p) - rank) * value))
        adjusted[key] = largest
    return adjusted


def letters(order: Sequence[str], apart: set[frozenset[str]]) -> dict[str, str]:
    """Letters of groups: two methods share one where they are not told apart.

    Args:
        order: Methods, the best first.
        apart: Pairs that are told apart.
    """
    groups: list[set[str]] = [set(order)]
    for pair in sorted(apart, key=sorted):
        a, b = sorted(pair)
        split: list[set[str]] = []
        for group in groups:
            split += [group - {a}, group - {b}] if {a, b} <= group else [group]
        groups = [g for i, g in enumerate(split) if g and not _within(g, split, i)]
    groups.sort(key=lambda group: [order.index(m) for m in order if m in group])
    names = dict.fromkeys(order, "")
    for place, group in enumerate(groups):
        for method in order:
            if method in group:
                names[method] += chr(ord("a") + place % 26)
    return names


def _within(group: set[str], groups: Sequence[set[str]], place: int) -> bool:
    """Whether another group has all of it; of equal ones the first stays."""
    return any(
        group < other or (group == other and i < place)
        for i, other in enumerate(groups)
        if i != place
    )


def best_of(values: Sequence[float], count: int) -> float:
    """Expected largest of ``count`` values drawn without replacement: what so many trials give."""
    ranked, size = sorted(values), len(values)
    if count >= size:
        return ranked[-1] if ranked else math.nan
    total = math.comb(size, count)
    return sum(v * math.comb(i, count - 1) for i, v in enumerate(ranked) if i >= count - 1) / total


@dataclass(frozen=True)
class Tuning:
    """What a method's search was worth.

    Attributes:
        best_of: Number of trials -> expected best objective of so many.
        default_test: Test metric of the defaults, trial 0; None: it failed.
        chosen_test: Test metric of the trial that the objective chose.
        best_test: The highest test metric of any trial: selected on test, for the gap alone.
        agreement: Rank correlation of objective and test metric over trials.
        seconds: Of all trials together.
    """

    best_of: dict[int, float]
    default_test: float | None
    chosen_test: float
    best_test: float
    agreement: float
    seconds: float


def tuning_of(records: Sequence[TrialRecord], metric: str, counts: Sequence[int]) -> Tuning | None:
    """What a search was worth; None where no trial has a result.

    Args:
        records: Trials of the search, the defaults first.
        metric: Of a trial's metrics, such as ``selected/test/auc``.
        counts: Numbers of trials to say the expected best of.
    """
    known = [r for r in records if r.objective is not None and metric in r.metrics]
    if not known:
        return None
    winner = max(known, key=lambda r: (r.objective or 0.0, -r.number))
    test = [r.metrics[metric] for r in known]
    values = [r.objective or 0.0 for r in records if r.ended and r.objective is not None]
    ranks = math.nan
    if len(known) > 2 and len({r.objective for r in known}) > 1 and len(set(test)) > 1:
        ranks = float(spearmanr([r.objective for r in known], test).statistic)
    first = next((r for r in known if r.number == 0), None)
    return Tuning(
        {count: best_of(values, count) for count in counts if count <= len(values)},
        None if first is None else first.metrics[metric],
        winner.metrics[metric],
        max(test),
        ranks,
        sum(r.duration_s or 0.0 for r in records if r.ended),
    )


@dataclass(frozen=True)
class MethodResult:
    """What one method's two studies gave.

    Attributes:
        name: Of the method.
        params: Its winning configuration.
        objective: Of that in the search.
        test: Metric -> (K, 1 + replicates) of the retrained models, in the order of their seeds.
        seeds: (K,) which of the table's seeds they are; one that diverged is not among them.
        tuning: What the search was worth.
        costs: Name of a cost -> value.
        seconds: Of one retraining, mean.
        digests: Of the search and of the retraining.
        diverged: Trials of the search that diverged.
    """

    name: str
    params: Params
    objective: float
    test: dict[str, Array]
    seeds: list[int]
    tuning: Tuning | None
    costs: dict[str, float]
    seconds: float
    digests: tuple[str, str]
    diverged: int


@dataclass(frozen=True)
class LeaderboardResult:
    """Everything that the table is made of."""

    file: LeaderboardFile
    fingerprint: str
    synthetic: bool
    counts: dict[str, int]
    """Videos: train, train_abnormal, test, test_abnormal."""
    methods: list[MethodResult]
    failed: list[str]
    floors: dict[str, dict[str, float]]
    """Baseline -> metric -> value."""


def paired(own: MethodResult, other: MethodResult, metric: str) -> Contrast | None:
    """The difference of two methods over the seeds that both have."""
    shared = sorted(set(own.seeds) & set(other.seeds))
    if not shared:
        return None
    rows = [
        method.test[metric][[method.seeds.index(seed) for seed in shared]]
        for method in (own, other)
    ]
    return contrast(rows[0], rows[1])


def headline_of(file: LeaderboardFile) -> str:
    """The metric that the table is sorted by: the data set's, else AUC."""
    dataset = file.data.dataset
    return dataset.headline if dataset else "auc"
