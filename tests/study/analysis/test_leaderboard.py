"""A leaderboard's arithmetic: by hand, against slow loops and known truths."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from study.analysis.leaderboard import (
    MethodResult,
    best_of,
    contrast,
    holm,
    letters,
    paired,
    tuning_of,
)
from study.ledger.records import TrialRecord


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert found == {"a": 0.04, "c": 0.09, "b": 0.09, "d": 0.5}
    assert holm({}) == {}


def test_methods_that_are_not_told_apart_share_a_letter() -> None:
    rng = random.Random(1)
    order = list("vwxyz")
    for _ in range(200):
        pairs = [frozenset(p) for p in itertools.combinations(order, 2)]
        apart = {pair for pair in pairs if rng.random() < 0.4}
        found = letters(order, apart)
        for pair in pairs:
            a, b = pair
            assert bool(set(found[a]) & set(found[b])) == (pair not in apart), (apart, found)
        assert all(found.values())
    assert letters(order, set()) == dict.fromkeys(order, "a")


def test_the_best_of_so_many_trials_is_the_mean_over_all_subsets() -> None:
    values = [0.2, 0.9, 0.4, 0.4, 0.7]
    for count in range(1, 6):
        subsets = [max(s) for s in itertools.combinations(values, count)]
        assert best_of(values, count) == pytest.approx(sum(subsets) / len(subsets))
    assert best_of(values, 9) == 0.9
    assert math.isnan(best_of([], 3))


def metrics(center: float, spread: float, seed: int, runs: int = 5) -> np.ndarray:  # type: ignore[type-arg]
    """Runs whose test videos shift all alike, and whose seeds differ."""
    rng = np.random.default_rng(seed)
    videos = np.concatenate([[0.0], np.random.default_rng(9).normal(0, 0.02, 1000)])
    return center + rng.normal(0, spread, (runs, 1)) + videos


def test_a_paired_difference_does_not_see_what_the_videos_do_to_both() -> None:
    found = contrast(metrics(0.80, 0.001, 1), metrics(0.79, 0.001, 2))
    assert found is not None
    assert found.difference.value == pytest.approx(0.01, abs=0.003)
    assert found.difference.low > 0
    assert found.p < 0.01
    same = contrast(metrics(0.80, 0.02, 1), metrics(0.80, 0.02, 2))
    assert same is not None
    assert same.difference.low < 0 < same.difference.high
    assert same.p > 0.05
    assert contrast(metrics(0.8, 0.1, 1, runs=2), metrics(0.8, 0.1, 2, runs=2)) is None


def test_equal_methods_are_told_apart_in_no_more_than_five_of_a_hundred() -> None:
    apart = 0
    for seed in range(200):
        found = contrast(metrics(0.8, 0.01, 2 * seed), metrics(0.8, 0.01, 2 * seed + 1))
        assert found is not None
        apart += found.p < 0.05
    assert apart <= 22  # 10 expected; 22 is the 99.9% quantile


def test_what_is_far_off_is_told_apart_among_many_methods() -> None:
    """Of ten methods 45 pairs are corrected for: the share of 1,000 draws could not say it."""
    runs = {name: metrics(0.9 if name else 0.65, 0.004, name) for name in range(10)}
    pairs = list(itertools.combinations(runs, 2))
    found = {pair: contrast(runs[pair[0]], runs[pair[1]]) for pair in pairs}
    adjusted = holm({pair: c.p for pair, c in found.items() if c is not None})
    apart = {pair for pair, p in adjusted.items() if p < 0.05}
    assert {pair for pair in pairs if 0 in pair} <= apart
    assert len(apart) <= 10


def trial(number: int, objective: float | None, test: float, **more: object) -> TrialRecord:
    found = {"selected/test/auc": test} if objective is not None else {}
    return TrialRecord(
        number, f"k{number}", {}, 1, "COMPLETE", objective=objective, metrics=found, started=0.0,
        finished=2.0, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_what_tuning_gave_by_hand() -> None:
    records = [trial(0, 0.5, 0.70), trial(1, 0.9, 0.80), trial(2, 0.8, 0.85), trial(3, None, 0.0)]
    found = tuning_of(records, "selected/test/auc", [1, 3, 5])
    assert found is not None
    assert found.default_test == 0.70
    assert found.chosen_test == 0.80
    assert found.best_test == 0.85
    assert found.agreement == pytest.approx(0.5)
    assert found.seconds == 8.0
    assert found.best_of == {1: pytest.approx(2.2 / 3), 3: 0.9}
    assert tuning_of(records[3:], "selected/test/auc", [1]) is None


def method(name: str, seeds: list[int], rows: np.ndarray) -> MethodResult:  # type: ignore[type-arg]
    return MethodResult(name, {}, 0.9, {"auc": rows}, seeds, None, {}, 1.0, ("a", "b"), 0)


def test_methods_are_paired_by_the_seeds_that_both_have() -> None:
    rows = metrics(0.8, 0.02, 1, runs=5)
    own, other = (
        method("a", [0, 1, 3, 4], rows[[0, 1, 3, 4]]),
        method("b", [0, 2, 3, 4], rows[[0, 2, 3, 4]]),
    )
    found = paired(own, other, "auc")
    assert found is not None
    assert found.difference.value == 0.0, "the same runs of the same seeds"
    assert paired(own, method("c", [7], rows[:1]), "auc") is None
