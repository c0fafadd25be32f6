"""The stopping curve, on numbers worked out by hand."""

from __future__ import annotations

import pytest

from study.pruning import StoppingRule
from study.record import TrialRecord, TrialResult
from study.space import PruningSection


def ended(number: int, *objectives: float, diverged: bool = False) -> TrialRecord:
    asked = TrialRecord(number, f"s/u/{number}", {}, seed=0, state="RUNNING")
    curve = [{"epoch": float(e), "objective": v} for e, v in enumerate(objectives, start=1)]
    best = 0.0 if diverged else max(objectives)
    return asked.with_result(TrialResult("COMPLETE", best, diverged=diverged, curve=curve))


def failed(number: int) -> TrialRecord:
    asked = TrialRecord(number, f"s/u/{number}", {}, seed=0, state="RUNNING")
    return asked.with_result(TrialResult("FAILED", None, reason="no luck"))


RECORDS = [ended(0, 0.5, 0.4, 0.8), ended(1, 0.2, 0.6), ended(2, 0.1, 0.3, 0.2)]


def rule(percentile: float = 50, after: int = 3, epochs: int = 3) -> StoppingRule:
    section = PruningSection(percentile=percentile, warmup_epochs=0, after_trials=after)
    return StoppingRule(section, epochs)


def test_the_curve_is_the_percentile_of_the_best_so_far() -> None:
    # best so far: [.5 .5 .8], [.2 .6 .6] (it ended after two epochs), [.1 .3 .3]
    assert rule().curve(RECORDS, 3) == pytest.approx([0.2, 0.5, 0.6])


def test_there_is_no_curve_before_enough_results_are_in() -> None:
    assert rule().curve(RECORDS, 2) is None


def test_later_results_do_not_enter() -> None:
    late = [*RECORDS, ended(3, 0.9, 0.9, 0.9)]
    assert rule().curve(late, 3) == rule().curve(RECORDS, 3)


def test_a_diverged_trial_counts_as_nought_and_a_failed_one_not_at_all() -> None:
    records = [*RECORDS[:2], ended(2, 0.9, diverged=True), failed(3)]
    assert rule().curve(records, 4) == pytest.approx([0.2, 0.5, 0.6])


def test_asking_step_by_step_gives_the_same_as_at_once() -> None:
    stepwise = rule(after=1)
    for count in (1, 2, 3):
        last = stepwise.curve(RECORDS, count)
    assert last == rule(after=1).curve(RECORDS, 3)
