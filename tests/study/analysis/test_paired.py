"""Means, intervals and paired differences of variants, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from scipy.stats import ttest_1samp, ttest_rel

from study.analysis.paired import (
    OBJECTIVE,
    baselines_of,
    beside_baseline,
    compared,
    t_interval,
    values_of,
    variant_results,
)
from study.ledger.records import TrialRecord, TrialResult


def trial(
    number: int, variant: str, replicate: int, value: float | None, **more: object
) -> TrialRecord:
    params = {"arm": variant, "replicate": replicate}
    record = TrialRecord(number, f"x/{number}", params, 0, "RUNNING")
    state = "FAILED" if value is None else "COMPLETE"
    metrics = {} if value is None else {"selected/test/auc": value / 2}
    return record.with_result(TrialResult(state, value, metrics=metrics, **more))  # type: ignore[arg-type]


def test_an_interval_by_hand() -> None:
    """Of 1, 2, 3: mean 2, deviation 1, t(.975, 2) = 4.3027: half the width is 4.3027 / sqrt(3)."""
    found = t_interval([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)
    reference = ttest_1samp([1.0, 2.0, 3.0], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    assert math.isnan(t_interval([1.0]).low)
    assert math.isnan(t_interval([]).value)


def test_differences_are_taken_in_pairs_of_one_seed() -> None:
    values = {"a": {0: 0.80, 1: 0.70, 2: 0.90}, "b": {0: 0.82, 1: 0.73, 2: 0.91, 3: 0.1}}
    base, other = variant_results(values, "a")
    assert base.difference is None
    assert other.difference is not None
    assert other.difference.value == pytest.approx(0.02)
    pairs = [[0.82, 0.73, 0.91], [0.80, 0.70, 0.90]]
    reference = ttest_rel(*pairs).confidence_interval(0.95)
    assert other.difference.low == pytest.approx(reference.low)
    assert other.difference.high == pytest.approx(reference.high)
    assert other.mean.value == pytest.approx((0.82 + 0.73 + 0.91 + 0.1) / 4)


def test_failed_and_diverged_trials_have_no_value() -> None:
    records = [
        trial(0, "a", 0, 0.8),
        trial(1, "a", 1, None),
        trial(2, "a", 2, 0.0, diverged=True),
        trial(3, "b", 0, 0.6),
    ]
    assert values_of(records, ["a", "b"], OBJECTIVE) == {"a": {0: 0.8}, "b": {0: 0.6}}
    assert values_of(records, ["a"], "selected/test/auc") == {"a": {0: 0.4}}
    assert values_of(records, ["a"], "nothing") == {"a": {}}


def test_what_may_be_said() -> None:
    values = {
        "base": {0: 0.50, 1: 0.51, 2: 0.52},
        "better": {0: 0.60, 1: 0.61, 2: 0.625},
        "worse": {0: 0.40, 1: 0.41, 2: 0.425},
        "like": {0: 0.52, 1: 0.50, 2: 0.525},
    }
    text = compared(variant_results(values, "base"), "test AUC", {"better": "the better"})
    assert text.startswith("Test AUC over 3 seeds: the better (+0.1017 [")
    assert "lies above base" in text
    assert "worse (-0.0983" in text
    assert "lies below base" in text
    assert "like (+0.0050" in text
    assert text.endswith("cannot be distinguished from base.")
    one = {variant: {0: row[0]} for variant, row in values.items()}
    assert "one seed" in compared(variant_results(one, "base"), "test AUC", {})
    assert "no two variants" in compared(
        variant_results({"base": {0: 0.5}}, "base"), "test AUC", {}
    )


def test_the_baseline_that_knows_only_the_videos_label_is_said_to_win() -> None:
    values = {
        "good": {0: 0.90, 1: 0.91, 2: 0.90},
        "fine": {0: 0.92, 1: 0.93, 2: 0.92},
        "bad": {0: 0.48, 1: 0.49, 2: 0.48},
        "wide": {0: 0.70, 1: 0.90, 2: 0.80},
        "few": {0: 0.10, 1: 0.11},
    }
    results = variant_results(values, "good")
    assert beside_baseline(results, 0.8, "test AUC", {"bad": "the bad one"}) == (
        "Test AUC beside the video-label baseline (0.8000): good, fine lie above it; the bad one "
        "lies below it; wide cannot be distinguished from it."
    )
    assert beside_baseline(variant_results({"a": {0: 0.9}}, "a"), 0.8, "test AUC", {}) == ""


def test_the_baselines_are_those_of_the_same_metric() -> None:
    first = trial(0, "a", 0, None)
    second = TrialRecord(1, "x/1", {"arm": "a", "replicate": 1}, 0, "RUNNING").with_result(
        TrialResult("COMPLETE", 0.9, metrics={"selected/floor/auc": 0.7, "selected/floor/ap": 0.2})
    )
    asked = ["selected/test/ap", "selected/test/ano_auc", OBJECTIVE, "selected/test/auc"]
    assert baselines_of([first, second], asked) == {
        "selected/test/ap": 0.2, "selected/test/auc": 0.7,
    }  # fmt: skip
    assert baselines_of([first], asked) == {}
