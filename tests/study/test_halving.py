"""Successive halving in the order of the trials, against a slow loop and a known truth."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.analysis.importance import importance
from study.analysis.study_importance import describe, importance_of
from study.config.sections import PruningSection
from study.config.study_file import StudyFile
from study.ledger.records import TrialRecord, TrialResult
from study.ledger.study import read_study
from study.search.halving import NEVER, HalvingRule
from study.search.proposal import ordered_search, propose, pruning_of
from study.verification.results import check_results
from tests.study.test_pruning import ended, failed
from tests.support.studies import made_study

EPOCHS = 9


def rule(space_filling: int = 0, epochs: int = EPOCHS, **section: Any) -> HalvingRule:
    pruning = PruningSection.model_validate({"rule": "halving", **section})
    return HalvingRule(
        pruning, epochs, "best", epochs_of=lambda params: params.get("epochs", epochs),
        whole=space_filling, seed=1,
    )  # fmt: skip


def test_rungs_are_powers_of_the_reduction() -> None:
    assert rule(first_rung=1, reduction=3).rungs(9) == [1, 3]
    assert rule(first_rung=2, reduction=2).rungs(9) == [2, 4, 8]
    # shares of a trial's own length: 1/9 and 3/9 of the longest
    assert rule(first_rung=1, reduction=3, rungs="share").rungs(18) == [2, 6]
    assert rule(first_rung=1, reduction=3, rungs="share").rungs(4) == [1, 2]


def test_the_thresholds_by_hand() -> None:
    values = [[0.1 * n] * 9 for n in (1, 4, 2, 5, 3, 6)]
    records = [ended(n, *row) for n, row in enumerate(values)]
    found = rule().curve(records, 6, 6, {})
    # the best two of six pass: .5 and .6
    assert found == [pytest.approx(0.5), NEVER, pytest.approx(0.5), *[NEVER] * 6]
    assert rule().curve(records, 2, 6, {}) is None, "fewer than `reduction` results"
    assert rule().curve([*records, failed(6)], 7, 7, {}) == found
    short = rule().curve(records, 6, 6, {"epochs": 3})
    assert short == [pytest.approx(0.5), NEVER, NEVER], "its last epoch has nothing to save"


def test_only_trials_that_reached_a_rung_count_there() -> None:
    records = [ended(n, *([0.1 * n] * length)) for n, length in enumerate((9, 1, 1, 9, 9, 1))]
    found = rule().curve(records, 6, 6, {})
    assert found is not None
    assert found[0] == pytest.approx(0.4), "two of six"
    assert found[2] == pytest.approx(0.4), "one of the three that got there"


def test_a_diverged_trial_counts_as_nought_at_every_rung() -> None:
    records = [ended(0, 0.9, diverged=True), ended(1, *[0.2] * 9), ended(2, *[0.3] * 9)]
    found = rule().curve(records, 3, 3, {})
    assert found is not None
    assert (found[0], found[2]) == (0.3, 0.3)


@pytest.mark.parametrize("seed", range(3))
def test_one_at_a_time_it_is_asha(seed: int) -> None:
    """A slow loop of the stopping variant of ASHA, with every result known at once."""
    rng = random.Random(seed)
    ours = rule(reduction=3)
    records: list[TrialRecord] = []
    reached: dict[int, list[float]] = {1: [], 3: []}
    for number in range(120):
        curve = np.maximum.accumulate([rng.random() for _ in range(9)]).tolist()
        thresholds = ours.curve(records, number, number, {})
        stop = 9
        for rung in (1, 3):
            others = sorted(reached[rung], reverse=True)
            cut = others[max(1, len(others) // 3) - 1] if len(others) >= 3 else -1.0
            reached[rung].append(curve[rung - 1])
            if curve[rung - 1] < cut:
                stop = rung
                break
        found = next(
            (e for e, value in enumerate(curve, 1) if thresholds and value < thresholds[e - 1]), 9
        )
        assert found == stop, number
        records.append(ended(number, *curve[:stop]))
    assert sum(len(r.curve) for r in records) < 120 * 9 * 0.45


def test_asked_step_by_step_or_at_once_the_thresholds_are_the_same() -> None:
    rng = random.Random(0)
    records = [ended(n, *(rng.random() for _ in range(rng.choice((1, 3, 9))))) for n in range(50)]
    stepwise = rule()
    for count in range(51):
        last = stepwise.curve(records, count, count, {})
    assert last == rule().curve(records, 50, 50, {})
    later = [*records, ended(50, *[1.0] * 9)]
    assert rule().curve(later, 50, 50, {}) == last, "later results do not enter"


def test_space_filling_trials_run_whole() -> None:
    records = [ended(n, *[0.1 * n] * 9) for n in range(9)]
    assert rule(space_filling=10).curve(records, 9, 9, {}) is None
    assert rule(space_filling=9).curve(records, 9, 9, {}) is not None


def test_brackets_share_trials_by_what_they_cost() -> None:
    three = rule(reduction=3, brackets=2)
    drawn = [three.bracket(number) for number in range(4000)]
    assert drawn == [three.bracket(number) for number in range(4000)]
    assert np.bincount(drawn) / 4000 == pytest.approx([0.75, 0.25], abs=0.02)
    records = [ended(n, *[0.1 * n] * 9) for n in range(9)]
    late = next(n for n in range(9, 99) if three.bracket(n) == 1)
    found = three.curve(records, 9, late, {})
    assert found is not None
    assert found[0] == NEVER
    assert found[2] > 0


def test_knobs_of_the_other_rule_are_refused() -> None:
    with pytest.raises(ValueError, match="percentile belongs to rule: percentile"):
        PruningSection.model_validate({"rule": "halving", "percentile": 30})
    with pytest.raises(ValueError, match="reduction belongs to rule: halving"):
        PruningSection.model_validate({"reduction": 4})


# ---- a whole study of a known function


def study(trials: int = 240, pruning: dict[str, Any] | None = None) -> StudyFile:
    return StudyFile.model_validate(
        {
            "study": {"name": "known", "trials": trials, "seed": 5},
            "search": {"space_filling": 60, "window": 8},
            "pruning": pruning,
            "data": {"synthetic": "ucf-like"},
            "space": {
                "lr": {"log_uniform": [1e-5, 1e-1]},
                "lambda_cat": {"log_uniform": [0.01, 1.0]},
                "lambda_reg": {"log_uniform": [1e-6, 1e-2]},
                "epochs": {"int": [9, 27]},
            },
        }
    )


def objective(params: dict[str, Any], epoch: int, number: int) -> float:
    """Rises with the epochs towards an additive function of lr (most of it) and lambda_cat."""
    lr = (math.log10(params["lr"]) + 5) / 4
    cat = (math.log10(params["lambda_cat"]) + 2) / 2
    whole = 0.4 + 0.4 * (1 - (2 * lr - 1) ** 2) + 0.15 * cat
    noise = 0.01 * np.random.default_rng([number, epoch]).normal()
    return float(whole * (1 - math.exp(-(epoch + 2) / 4)) + noise)


def run(file: StudyFile) -> list[TrialRecord]:
    search, pruning = ordered_search(file), pruning_of(file)
    records: list[TrialRecord] = []
    for number in range(file.study.trials):
        asked = propose(file, search, pruning, records)
        epochs = asked.params["epochs"]
        values = [objective(asked.params, e, number) for e in range(1, epochs + 1)]
        best, stop = -1.0, epochs
        for epoch, value in enumerate(values, 1):
            best = max(best, value)
            limit = asked.stopping_curve[epoch - 1] if asked.stopping_curve else NEVER
            if epoch < epochs and best < limit:
                stop = epoch
                break
        curve: list[dict[str, float]] = [
            {"epoch": e, "objective": v, "val/ap": v} for e, v in enumerate(values[:stop], 1)
        ]
        own = values[:stop]
        result = TrialResult(
            "PRUNED" if stop < epochs else "COMPLETE", max(own),
            selected_epoch=own.index(max(own)) + 1, last_objective=own[-1], curve=curve,
            metrics={
                f"{which}/{key}": row[key]
                for which, row in (("last", curve[-1]), ("selected", curve[own.index(max(own))]))
                for key in ("val/ap",)
            },
            worker={"threads": "1", "device": "cpu", "precision": "fp32"},
        )  # fmt: skip
        record = TrialRecord(
            number, f"k/u/{number}", asked.params, asked.seed, "RUNNING",
            stopping_curve=asked.stopping_curve,
        ).with_result(result)  # fmt: skip
        records.append(record)
        search.record(number, record.objective)
    return records


@pytest.fixture(scope="module")
def whole() -> list[TrialRecord]:
    return run(study())


@pytest.fixture(scope="module")
def halved() -> list[TrialRecord]:
    return run(study(pruning={"rule": "halving", "reduction": 3, "first_rung": 1}))


def test_it_finds_what_a_whole_study_finds_with_fewer_epochs(
    whole: list[TrialRecord], halved: list[TrialRecord]
) -> None:
    epochs = [sum(len(r.curve) for r in records) for records in (whole, halved)]
    assert epochs[1] < 0.62 * epochs[0], "a quarter runs whole"
    best = [max(r.objective or 0.0 for r in records) for records in (whole, halved)]
    assert best[1] > best[0] - 0.015
    assert all(r.state == "COMPLETE" for r in halved[:60]), "space-filling trials ran whole"


def test_importances_are_those_of_the_whole_study(
    whole: list[TrialRecord], halved: list[TrialRecord]
) -> None:
    file = study()

    def found(records: list[TrialRecord]) -> Any:
        return importance(
            records, file.distributions(), space_filling=60, seed=1, bootstraps=40
        )  # fmt: skip

    truth, ours = found(whole), found([r for r in halved if r.state != "PRUNED"])
    assert [p.name for p in ours.parameters[:2]] == ["lr", "lambda_cat"]
    for parameter in ours.parameters:
        expected = next(p for p in truth.parameters if p.name == parameter.name)
        own, other = (p.shares["permutation"] for p in (parameter, expected))
        assert own.low - 0.1 <= other.value <= own.high + 0.1, parameter.name


@pytest.mark.parametrize(("rule", "left_out"), [("halving", 6), ("percentile", 0)])
def test_what_was_stopped_at_a_rung_is_left_out_of_importances(
    tmp_path: Path, rule: str, left_out: int
) -> None:
    view = read_study(made_study(tmp_path / "s", 60, pruning={"rule": rule}))
    assert sum(record.state == "PRUNED" for record in view.ended) == 6
    assert len(view.compared) == 60 - left_out
    assert importance_of(view, bootstraps=20).trials == 60 - left_out
    assert ("stopped at a rung, left out" in describe(view)) == bool(left_out)


def test_the_results_of_a_halved_study_are_checked_by_its_rule(halved: list[TrialRecord]) -> None:
    file = study(pruning={"rule": "halving", "reduction": 3, "first_rung": 1})
    assert check_results(file, halved).differences == []
