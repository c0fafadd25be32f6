"""A study with a longest time."""

from __future__ import annotations

from pathlib import Path

from study.ledger.records import TrialRecord, TrialResult
from study.session.driver import time_left
from tests.study.test_driver import Bench
from tests.support.search_options import study
from tests.support.workspace import SMALL_STUDY


def record(number: int, started: float, finished: float) -> TrialRecord:
    asked = TrialRecord(number, f"s/u/{number}", {}, seed=0, state="RUNNING")
    return asked.with_result(TrialResult("COMPLETE", 0.5, started=started, finished=finished))


def test_the_time_used_is_that_in_which_a_trial_ran() -> None:
    file = study(study={"budget": "1m"})
    records = [record(0, 0, 10), record(1, 5, 12), record(2, 6, 8), record(3, 100, 105)]
    assert time_left(file, records) == 60 - 12 - 5
    assert time_left(study(), records) is None
    assert file.hash("f") == study().hash("f"), "a budget decides no result"


def test_a_budget_ends_the_study_after_the_running_trials_and_a_larger_one_extends_it(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "s", SMALL_STUDY.replace("seed: 7", "seed: 7, budget: 1h"))
    running = [bench.take(), bench.take()]
    bench.driver._left = 0.0  # the hour is over
    assert not bench.driver.finished, "two trials run"
    assert bench.driver.next_trial() is None
    for spec in running:
        bench.end(spec)
    assert bench.driver.finished
    assert not bench.driver.complete
    bench.ledger.close()
    whole = Bench(tmp_path / "calm")
    expected = whole.run_to_the_end()
    assert Bench(tmp_path / "s").run_to_the_end() == expected
