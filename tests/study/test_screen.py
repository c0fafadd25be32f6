"""What a user sees: the live view, the plain lines, the end of a study."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from refinevad.training.baselines import NAMES
from study.analysis.test_videos import BaselineRow, TestVideos
from study.config.study_file import StudyFile
from study.ledger.provenance import hardware_kinds
from study.ledger.records import StudyMeta, TrialRecord, TrialResult, digest
from study.ledger.table import trials_table
from study.progress.forecast import Forecast, Forecaster, format_forecast
from study.progress.live import LiveScreen, open_screen
from study.progress.screen import PlainScreen, describe
from study.progress.tally import Tally
from study.search.proposal import first_proposals
from study.session.summary import print_summary
from study.text import clock, span
from tests.support.workspace import SMALL_STUDY


def running(number: int) -> TrialRecord:
    params = {"lr": 0.00123456, "d_proj": 64}
    return TrialRecord(number, f"s/u/{number}", params, seed=1, state="RUNNING")


def ended(number: int, objective: float, **fields: object) -> TrialRecord:
    given: dict[str, object] = {
        "state": "COMPLETE",
        "selected_epoch": 1,
        "curve": [{"epoch": 1, "objective": objective}],
        "started": 10.0,
        "finished": 12.5,
        "worker": {"device": "cpu", "processor": "A", "host": "h1"},
        "metrics": {"selected/test/auc": 0.8, "last/test/auc": 0.7, "selected/floor/auc": 0.75},
    }
    result: dict[str, Any] = {"objective": objective, **given, **fields}
    return running(number).with_result(TrialResult(**result))


REASON = "no luck [enforce fail] with [/data/x.npy]"  # brackets are no markup
FAILED = running(2).with_result(TrialResult("FAILED", None, reason=REASON))
DIVERGED = ended(3, 0.0, diverged=True, metrics={})
RECORDS = [ended(0, 0.5), ended(1, 0.75, state="PRUNED"), FAILED, DIVERGED]


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=160, force_terminal=terminal, color_system=None)


def tally(trials: int = 4) -> Tally:
    return Tally(trials=trials, workers=2, metric="ap on val")


def test_the_tally_counts_what_ended_and_keeps_the_first_best() -> None:
    counts = tally()
    for record in [*RECORDS, ended(4, 0.75)]:
        counts.start(record.number)
        counts.count(record)
    assert (counts.ended, counts.pruned, counts.diverged, counts.failed) == (5, 1, 1, 1)
    assert counts.best is not None
    assert counts.best.number == 1
    assert counts.last_failure == f"trial 2: {REASON}"
    assert counts.epochs == {}


def test_plain_lines_say_what_ended_and_hold_back_a_burst() -> None:
    plain = PlainScreen(tally(), console())
    for record in RECORDS:
        plain.started(record)
        plain.ended(record)
    lines = printed(plain.console).splitlines()
    assert lines == [
        "[1/4], best 0.5000 | trial 0 0.5000 (epoch 1 of 1) in 2.5 s: lr=0.00123 d_proj=64",
        "[4/4], best 0.7500 | trial 3 diverged (epoch 1 of 1) in 2.5 s: lr=0.00123 d_proj=64"
        " (and 2 more)",
    ]


def test_a_terminal_lists_the_ended_trials_above_the_live_view() -> None:
    live = LiveScreen(tally(), console(terminal=True), {})
    for record in RECORDS:
        live.started(record)
        live.ended(record)
    shown = printed(live.console)
    assert "trial 0 0.5000 (epoch 1 of 1) in 2.5 s: lr=0.00123 d_proj=64\n" in shown
    assert "trial 3 diverged" in shown
    assert "(and 2 more)" in shown


def test_elapsed_and_left_cannot_be_confused() -> None:
    live = LiveScreen(tally(), console(terminal=True), {})
    live.tally.begun -= 93
    live.console.print(live._render())
    shown = printed(live.console)
    assert re.search(r"elapsed +1:33\n", re.sub(r" +\n", "\n", shown))
    assert re.search(r"left +not known yet", shown)


def test_the_live_view_shows_progress_running_trials_best_and_places() -> None:
    live = LiveScreen(tally(), console(terminal=True), {"ledger": "runs/s"})
    for record in RECORDS[:3]:
        live.started(record)
        live.ended(record)
    live.started(running(3))
    live.progressed(3, epoch=7, best=0.625)
    live.console.print(live._render())
    shown = printed(live.console)
    for words in (
        "3/4",
        "best ap on val",
        "0.7500  trial 1: lr=0.00123 d_proj=64",
        "3: epoch 7, 0.625",
        "pruned 1",
        "failed 1",
        "workers busy",
        f"trial 2: {REASON}",
        "runs/s",
    ):
        assert words in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_a_reason_with_brackets_is_shown_as_it_is(terminal: bool) -> None:
    screen = open_screen(tally(), console(terminal=terminal), {})
    screen.lost(FAILED, REASON)
    assert f"trial 2 lost an attempt and will be retried: {REASON}" in printed(screen.console)


def test_a_terminal_gets_the_live_view_and_a_file_gets_lines() -> None:
    assert isinstance(open_screen(tally(), console(terminal=True), {}), LiveScreen)
    assert isinstance(open_screen(tally(), console(), {}), PlainScreen)


def test_earlier_sessions_count_without_a_word() -> None:
    plain = PlainScreen(tally(10), console())
    plain.restore(RECORDS)
    assert plain.tally.ended == plain.tally.resumed == 4
    assert plain.tally.left() is None
    assert printed(plain.console) == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_the_time_left_stands_with_its_interval(terminal: bool) -> None:
    file = StudyFile.model_validate(yaml.safe_load(SMALL_STUDY))
    known = first_proposals(file, 4)
    counts = tally(10)
    counts.forecaster = Forecaster(file, known)
    shown = console(terminal=terminal)
    with open_screen(counts, shown, {}) as screen:
        for number, params in enumerate(known[:3]):
            curve = [{"epoch": 1.0, "objective": 0.5}] * params["epochs"]
            record = replace(ended(number, 0.5), params=params, curve=curve)
            screen.started(record)
            screen.ended(record)
            for moment in ("_last", "_foretold"):  # what each says at most once a second
                setattr(screen, moment, -math.inf)
    assert re.search(r"left +[\d.]+ \w+ \([\d.]+( \w+)? to [\d.]+ \w+\)", printed(shown))


def test_a_trial_in_one_line() -> None:
    assert describe(FAILED) == f"trial 2 FAILED: {REASON}"
    assert describe(RECORDS[1]).startswith("trial 1 pruned 0.7500 (epoch 1 of 1) in 2.5 s")


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "0:05"), (65.4, "1:05"), (3600, "1:00:00"), (90061, "25:01:01")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.123, "0.1 s"), (5.24, "5.2 s"), (59.7, "60 s"), (99.6, "1.7 min"),
        (600, "10 min"), (5970, "1.7 h"), (19_000, "5.3 h"), (170_000, "47 h"),
        (171_000, "2 days"), (4_342_197, "50 days"), (21_349_434, "250 days"),
    ],
)  # fmt: skip
def test_a_forecast_has_two_digits_and_the_unit_that_fits(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_forecast_says_its_unit_once() -> None:
    assert format_forecast(Forecast(1100, 260, 4600)) == "18 min (4.3 to 77 min)"
    assert format_forecast(Forecast(4_342_197, 883_000, 21_349_434)) == "50 days (10 to 250 days)"
    assert format_forecast(Forecast(5000, 3000, 9000)) == "83 min (50 min to 2.5 h)"
    assert format_forecast(Forecast(0, 0, 0)) == "0 s"


META = StudyMeta("s", "u", "h", {}, {}, "f", "ap", "val", 0.0, None, {}, trials=4)


def small(**changes: Any) -> StudyFile:
    """A study of real features, by what it says; none is read."""
    data = yaml.safe_load(SMALL_STUDY)
    lists = {"train_list": "train.csv", "test_list": "test.csv"}
    data["data"] = {
        "taxonomy": "ucf", "annotations": "a.txt", "text": {"layout": "csv", "root": "t"} | lists,
    }  # fmt: skip
    for name, value in changes.items():
        data[name] = value if name == "data" else data.get(name, {}) | value
    return StudyFile.model_validate(data)


def summary(records: list[TrialRecord], meta: StudyMeta = META, **changes: Any) -> str:
    screen = console()
    print_summary(screen, meta, records, file=small(**changes), folder=Path("runs/s"))
    return printed(screen)


def test_the_end_names_the_best_trial_its_metrics_the_floor_and_the_digest() -> None:
    text = summary(RECORDS)
    assert "4 of 4 trials   1 complete   1 pruned   1 diverged   1 failed" in text
    assert "best trial 1: ap on val = 0.7500 at epoch 1" in text
    row = next(line for line in text.splitlines() if "test AUC of frames" in line)
    assert row.split()[-3:] == ["0.8000", "0.7000", "0.7500"]
    assert f"digest {digest(RECORDS)}" in text
    assert "reproducible" not in text


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_cuts_no_number(width: int) -> None:
    screen = Console(file=io.StringIO(), width=width, color_system=None)
    found = TestVideos(
        digest="d",
        baselines={n: BaselineRow(note="", metrics={"auc": 0.8123}) for n in NAMES},
        missing="",
        subjects={},
    )
    options: Any = {"file": small(), "folder": Path("runs/s")}
    print_summary(screen, META, RECORDS, found, **options)
    variants = [
        replace(r, params={"arm": f"a name of many letters {r.number}", "replicate": 0})
        for r in RECORDS
    ]
    print_summary(screen, META, variants, found, **options)
    text = printed(screen)
    assert "…" not in text
    for number in ("0.8000", "0.7000", "0.7500", "0.8123", "0.5000"):
        assert number in text


def test_what_weakens_a_result_is_said() -> None:
    assert "selected on test" in summary(RECORDS, replace(META, split="test"))
    assert "not reproducible" in summary(RECORDS, execution={"deterministic": False})
    assert "synthetic" not in summary(RECORDS)
    assert "synthetic" in summary(RECORDS, data={"synthetic": "ucf-like"})
    other = ended(4, 0.1, worker={"device": "cpu", "processor": "B", "host": "h2"})
    assert "more than one kind of hardware" in summary([*RECORDS, other])
    assert "no trial has a result yet" in summary([FAILED])


def test_a_hyperparameter_that_is_off_is_not_shown_as_the_best_trials() -> None:
    space = {"d_proj": {"int": [8, 64], "when": {"injection": "cross_attention"}}}
    assert "d_proj=64" in summary(RECORDS, space=space)
    off = summary(RECORDS, space=space, model={"injection": "none"})
    assert "lr=0.00123" in off
    assert "d_proj" not in off


def test_hosts_are_no_kind_of_hardware() -> None:
    moved = ended(4, 0.1, worker={"device": "cpu", "processor": "A", "host": "h2"})
    assert len(hardware_kinds([RECORDS[0], moved])) == 1


def test_the_table_holds_no_times_or_places() -> None:
    again = [ended(0, 0.5, started=99.0, finished=999.0, worker={"host": "elsewhere"})]
    assert trials_table(again).to_csv() == trials_table(RECORDS[:1]).to_csv()
    assert len(trials_table([*RECORDS, running(4)])) == 4
