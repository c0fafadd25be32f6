"""The stopping curve, on numbers worked out by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from study.config.sections import PruningSection
from study.ledger.records import TrialRecord, TrialResult
from study.search.pruning import StoppingRule


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


@pytest.mark.parametrize("percentile", [0.5, 20, 33.3, 50, 99.5])
def test_the_curve_is_numpys_percentile_of_all_trials_bit_for_bit(percentile: float) -> None:
    rng = random.Random(0)
    stepwise = rule(percentile, after=1, epochs=4)
    records: list[TrialRecord] = []
    best_so_far = []
    for number in range(200):
        digits = rng.choice((1, 17))  # equal values too
        objectives = [round(rng.random(), digits) for _ in range(rng.randint(1, 6))]
        if number % 13 == 5:
            records.append(failed(number))
        else:
            diverged = number % 17 == 3
            records.append(ended(number, *objectives, diverged=diverged))
            row = np.maximum.accumulate([0.0] if diverged else objectives)
            best_so_far.append([*row[:4], *[row[-1]] * (4 - len(row))])
        expected = np.percentile(best_so_far, percentile, axis=0)
        assert stepwise.curve(records, number + 1) == expected.tolist()


def test_the_curve_follows_the_rule_of_the_objective() -> None:
    """By the last epoch: [.5 .4 .8], [.2 .6 .6] (it ended after two epochs), [.1 .3 .2]."""
    section = PruningSection(percentile=50, warmup_epochs=0, after_trials=3)
    found = StoppingRule(section, 3, "last").curve(RECORDS, 3)
    assert found == pytest.approx([0.2, 0.4, 0.6])
