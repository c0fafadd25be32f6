"""The driver, without Ray: what is handed out, what is recorded, what is tried again."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from refinevad.errors import Stopped
from study.config.study_file import StudyFile
from study.ledger.reader import LedgerReader
from study.ledger.records import StudyMeta, TrialResult, digest
from study.ledger.writer import Ledger
from study.progress.screen import PlainScreen
from study.progress.tally import Tally
from study.session.driver import Driver
from study.trials.checkpoints import Checkpoints
from study.trials.spec import TrialOutcome, TrialSpec
from tests.support.workspace import SMALL_STUDY


class Bench:
    """A driver on a fresh or an existing folder."""

    def __init__(self, folder: Path, text: str = SMALL_STUDY, in_flight: int = 4) -> None:
        self.file = StudyFile.model_validate(yaml.safe_load(text))
        self.ledger = Ledger(folder, meta_of(self.file))
        self.printed = io.StringIO()
        tally = Tally(trials=self.file.study.trials, workers=2, metric="ap on val")
        screen = PlainScreen(tally, Console(file=self.printed, width=200))
        checkpoints = Checkpoints(folder / "checkpoints", self.file.execution.keep_checkpoints)
        self.driver = Driver(self.file, self.ledger, checkpoints, screen, in_flight=in_flight)

    def take(self) -> TrialSpec:
        spec = self.driver.next_trial()
        assert spec is not None
        self.driver.started(spec.number)
        return spec

    def end(self, spec: TrialSpec, objective: float | None = None) -> None:
        value = objective_of(spec) if objective is None else objective
        curve = [{"epoch": 1, "objective": value / 2}, {"epoch": 2, "objective": value}]
        result = TrialResult("COMPLETE", value, selected_epoch=2, curve=curve)
        sent = spec.keep_above is not None and value >= spec.keep_above
        self.driver.completed(TrialOutcome(spec.number, result, b"weights" if sent else None))

    def run_to_the_end(self) -> str:
        while not self.driver.finished:
            self.end(self.take())
        return digest(self.ledger.trials())


def objective_of(spec: TrialSpec) -> float:
    return 1 / (1 + abs(spec.params["lambda_cat"] - 0.3)) + (spec.seed % 7) / 100


def meta_of(file: StudyFile) -> StudyMeta:
    return StudyMeta(
        name="small",
        uid="u",
        hash=file.hash("f"),
        config={},
        determinants=file.determinants(),
        fingerprint="f",
        metric="ap",
        split="val",
        created=0.0,
        git_commit=None,
        versions={},
        trials=file.study.trials,
    )


@pytest.fixture
def expected(tmp_path: Path) -> str:
    """The digest of an undisturbed study."""
    bench = Bench(tmp_path / "calm")
    found = bench.run_to_the_end()
    bench.ledger.close()
    return found


def test_no_more_than_in_flight_are_handed_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, in_flight=2)
    first = bench.take()
    bench.take()
    assert bench.driver.next_trial() is None
    bench.end(first)
    assert bench.take().number == 2


def test_the_window_holds_back_what_needs_an_early_result(tmp_path: Path) -> None:
    bench = Bench(tmp_path, in_flight=100)
    specs = [bench.take() for _ in range(4)]
    assert bench.driver.next_trial() is None
    for spec in reversed(specs[1:]):
        bench.end(spec)
    assert bench.driver.next_trial() is None
    assert bench.printed.getvalue().count("search.window is too small") == 1
    bench.end(specs[0])
    assert bench.take().number == 4


def test_an_interrupted_trial_runs_again_under_its_number_parameters_and_seed(
    tmp_path: Path, expected: str
) -> None:
    bench = Bench(tmp_path / "s")
    bench.end(bench.take())
    interrupted = [bench.take(), bench.take()]
    bench.ledger.close()
    again = Bench(tmp_path / "s")
    repeated = [again.take(), again.take()]
    assert [replace(s, keep_above=0.0) for s in repeated] == [
        replace(s, keep_above=0.0) for s in interrupted
    ]
    for spec in repeated:
        again.end(spec)
    assert again.run_to_the_end() == expected


@pytest.mark.parametrize("stop", range(1, 10))
def test_stopped_after_any_trial_the_study_ends_the_same(
    tmp_path: Path, expected: str, stop: int
) -> None:
    bench = Bench(tmp_path / "s")
    for _ in range(stop):
        bench.end(bench.take())
    bench.ledger.close()
    assert Bench(tmp_path / "s").run_to_the_end() == expected


def test_a_lost_attempt_is_tried_again_then_fails_with_its_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.end(bench.take())
    spec = bench.take()
    bench.driver.lost(spec.number, "its worker died")
    again = bench.take()
    assert (again.number, again.params, again.seed) == (spec.number, spec.params, spec.seed)
    bench.driver.lost(spec.number, "its worker died twice")
    record = LedgerReader(tmp_path).trials()[1]
    assert (record.state, record.reason) == ("FAILED", "its worker died twice")
    assert record.attempts == 1
    assert bench.take().number == 2


def test_attempts_of_an_earlier_session_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.end(bench.take())
    bench.driver.lost(bench.take().number, "its worker died")
    bench.ledger.close()
    again = Bench(tmp_path)
    again.driver.lost(again.take().number, "its worker died")
    record = again.ledger.trials()[1]
    assert (record.state, record.attempts) == ("FAILED", 1)


def test_out_of_gpu_memory_is_remembered_by_the_next_session(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.end(bench.take())
    bench.driver.lost(bench.take().number, "OutOfMemoryError", out_of_gpu_memory=True)
    bench.ledger.close()
    again = Bench(tmp_path)
    spec = again.take()
    assert (spec.number, spec.whole_gpu) == (1, True)
    again.driver.lost(1, "its worker died")  # the first that counts
    assert again.take().number == 1
    again.driver.lost(1, "its worker died")
    assert again.ledger.trials()[1].state == "FAILED"


def test_a_lost_attempt_changes_nothing_of_the_result(tmp_path: Path, expected: str) -> None:
    bench = Bench(tmp_path / "s")
    bench.driver.lost(bench.take().number, "its worker died")
    assert bench.run_to_the_end() == expected


def test_out_of_gpu_memory_is_first_tried_alone_and_does_not_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.end(bench.take())
    spec = bench.take()
    assert not spec.whole_gpu
    for _ in range(2):  # the first gives the device, the second is the one retry
        bench.driver.lost(spec.number, "OutOfMemoryError", out_of_gpu_memory=True)
        spec = bench.take()
        assert spec.number == 1
        assert spec.whole_gpu
    bench.driver.lost(spec.number, "OutOfMemoryError", out_of_gpu_memory=True)
    assert LedgerReader(tmp_path).trials()[1].state == "FAILED"


def test_a_failed_trial_has_times_and_a_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SMALL_STUDY.replace("retries: 1", "retries: 0"))
    bench.end(bench.take())
    bench.driver.lost(bench.take().number, "no luck", worker={"host": "somewhere"})
    record = bench.ledger.trials()[1]
    assert record.worker == {"host": "somewhere"}
    assert record.duration_s is not None
    assert 0 <= record.duration_s < 60


def test_a_second_result_does_not_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    spec = bench.take()
    bench.end(spec)
    bench.end(spec)
    bench.driver.lost(spec.number, "too late")
    bench.run_to_the_end()
    assert [r.state for r in bench.ledger.trials()] == 10 * ["COMPLETE"]


def test_the_order_of_the_files_lines_does_not_matter(tmp_path: Path, expected: str) -> None:
    lines = SMALL_STUDY.splitlines()
    start = lines.index("space:") + 1
    text = "\n".join(lines[:start] + lines[: start - 1 : -1])
    assert text != SMALL_STUDY
    assert Bench(tmp_path / "s", text).run_to_the_end() == expected


def test_a_study_whose_first_trials_all_fail_stops_and_records_none_as_failed(
    tmp_path: Path, expected: str
) -> None:
    bench = Bench(tmp_path / "s", SMALL_STUDY.replace("retries: 1", "retries: 0"))
    for _ in range(3):
        bench.driver.lost(bench.take().number, "no torch")
    with pytest.raises(Stopped, match="the first 4 trials all failed, the last with: no torch"):
        bench.driver.lost(bench.take().number, "no torch")
    assert [r.state for r in bench.ledger.trials()] == 4 * ["RUNNING"]
    bench.ledger.close()
    assert Bench(tmp_path / "s").run_to_the_end() == expected


def test_a_study_that_can_only_fail_stops_though_some_have_failed_before(tmp_path: Path) -> None:
    text = SMALL_STUDY.replace("retries: 1", "retries: 0")
    bench = Bench(tmp_path, text)
    trials = bench.file.study.trials
    for _ in range(trials - 1):
        bench.ledger.finish(bench.take().number, TrialResult("FAILED", None, reason="no torch"))
        bench.ledger.close()
        bench = Bench(tmp_path, text)
    with pytest.raises(Stopped, match="no torch"):
        bench.driver.lost(bench.take().number, "no torch")


def test_failures_before_the_first_result_are_recorded_with_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SMALL_STUDY.replace("retries: 1", "retries: 0"))
    for _ in range(3):
        bench.driver.lost(bench.take().number, "no luck")
    bench.end(bench.take())
    states = [r.state for r in LedgerReader(tmp_path).trials()]
    assert states == 3 * ["FAILED"] + ["COMPLETE"]
    bench.run_to_the_end()


def test_a_failed_trial_does_not_stop_the_study(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SMALL_STUDY.replace("retries: 1", "retries: 0"))
    bench.driver.lost(bench.take().number, "no luck")
    bench.run_to_the_end()
    states = [r.state for r in bench.ledger.trials()]
    assert states == ["FAILED"] + 9 * ["COMPLETE"]


def test_seeds_differ_unless_the_file_fixes_one(tmp_path: Path) -> None:
    own = Bench(tmp_path / "own")
    assert len({own.take().seed for _ in range(4)}) == 4
    fixed = Bench(tmp_path / "fixed", SMALL_STUDY.replace("0}\nspace", "0, seed: 42}\nspace"))
    assert {fixed.take().seed for _ in range(4)} == {42}


def test_a_trial_is_launched_with_the_curve_of_the_results_it_may_know(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    curves = []
    while not bench.driver.finished:
        spec = bench.take()
        curves.append(spec.stopping_curve)
        bench.end(spec, objective=0.5)
    # after_trials 3 and window 4: trial 6 is the first that knows three results
    assert curves[:6] == [None] * 6
    assert curves[6] == [0.25, 0.5, 0.5, 0.5]


def test_the_best_checkpoints_are_kept_whatever_the_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path, in_flight=4)
    specs = [bench.take() for _ in range(4)]
    for spec, objective in zip(specs, (0.5, 0.9, 0.7, 0.6), strict=True):
        bench.end(spec, objective)
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert kept == ["trial-0001.safetensors", "trial-0002.safetensors"]
    assert bench.take().keep_above == 0.7
    bench.ledger.close()
    assert Bench(tmp_path).take().keep_above == 0.7
