"""A trial's time is what it computes, not how long it had to wait for a processor."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from study.backend import tune
from study.ledger.records import (
    OUT_OF_MEMORY,
    TIMED_OUT,
    WORKER_DIED,
    TrialRecord,
    ended_by_machine,
)
from study.trials import time_limit
from study.trials.time_limit import TimeLimit
from tests.support.workspace import SMALL_STUDY, Workspace, digest_of

ENFORCED = """
import sys, time
from study.trials.time_limit import TimeLimit
limit = TimeLimit(float(sys.argv[1]), threads=1)
limit.enforce()
{body}
limit.lift()
print("ended well", flush=True)
"""


def enforced(seconds: float, body: str) -> subprocess.CompletedProcess[str]:
    code = ENFORCED.format(body=body)
    return subprocess.run(
        [sys.executable, "-c", code, str(seconds)], capture_output=True, text=True, timeout=120
    )


def test_waiting_is_not_computing() -> None:
    done = enforced(0.5, "time.sleep(3)")
    assert done.stdout == "ended well\n", done.stderr


def test_who_computes_longer_than_the_limit_is_ended_whatever_it_does() -> None:
    done = enforced(0.5, "sum(range(10**10))  # one call, which no other thread can interrupt")
    assert done.returncode == -signal.SIGXCPU
    assert done.stdout == ""


def test_who_makes_no_progress_is_ended_by_the_clock() -> None:
    done = enforced(0.2, "limit.progressed(); time.sleep(60)")
    assert done.returncode == 1
    assert "Timeout" in done.stderr


def test_who_makes_progress_is_not_ended_by_the_clock() -> None:
    done = enforced(0.2, "for _ in range(8): time.sleep(0.5); limit.progressed()")
    assert done.stdout == "ended well\n", done.stderr


def test_a_limit_of_the_user_s_own_comes_back() -> None:
    code = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_CPU)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (900, hard))\n"
        "from study.trials.time_limit import TimeLimit\n"
        "def soft(): return resource.getrlimit(resource.RLIMIT_CPU)[0]\n"
        "limit = TimeLimit(50.0, threads=1); limit.enforce(); during = soft(); limit.lift()\n"
        "far = TimeLimit(5000.0, threads=1); far.enforce()\n"
        "print(during < 900, soft())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True 900\n", done.stderr


def test_an_actor_counts_each_trial_anew_and_every_epoch_as_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []

    class Recorder:
        def __init__(self, seconds: float | None, threads: int) -> None:
            said.append(f"begun {seconds:g} {threads}")

        def enforce(self) -> None:
            said.append("enforced")

        def progressed(self) -> None:
            said.append("progressed")

        @staticmethod
        def lift() -> None:
            said.append("lifted")

    class Runner:
        def __init__(self, runs: object, spec: object) -> None:
            self.epoch, self.best, self.done = 0, 0.5, False

        def advance(self) -> None:
            self.epoch += 1
            self.done = self.epoch == 2

        def outcome(self) -> str:
            return "outcome"

    monkeypatch.setattr(tune, "TimeLimit", Recorder)
    monkeypatch.setattr(tune, "TrialRunner", Runner)
    actor = object.__new__(tune.TrialTrainable)
    actor.setup({"spec": 0}, runs=None, limit=(5.0, 2))
    assert [actor.step()["done"], actor.step()["done"]] == [False, True]
    assert said == ["lifted", "begun 5 2", "enforced", "progressed", "progressed", "lifted"]
    actor.reset_config({"spec": 1})
    assert said[6:] == ["lifted", "begun 5 2", "enforced"]


def test_without_a_limit_nothing_ends_anything() -> None:
    limit = TimeLimit(None, threads=1)
    limit.enforce()
    limit.progressed()
    assert not limit.reached
    limit.lift()


def test_threads_share_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 107.9, 108.0])
    monkeypatch.setattr(time_limit.time, "process_time", lambda: next(now))
    limit = TimeLimit(2.0, threads=4)
    assert [limit.reached, limit.reached] == [False, True]


def failed(number: int, reason: str) -> TrialRecord:
    return TrialRecord(number, f"s/{number}", {}, 0, "FAILED", reason=reason)


def test_what_the_machine_ended_is_counted() -> None:
    own = [failed(0, "ValueError: no"), TrialRecord(1, "s/1", {}, 0, "COMPLETE", objective=0.5)]
    assert ended_by_machine(own) == ""
    late = [failed(2, f"{TIMED_OUT} after 5 s"), failed(3, f"{TIMED_OUT} after 5 s")]
    assert ended_by_machine([*own, *late]).startswith("trials failed: 2 by time-out; ")
    gone = [failed(4, WORKER_DIED), failed(5, OUT_OF_MEMORY)]
    assert ended_by_machine([*own, *late, *gone]).startswith(
        "trials failed: 2 by time-out and 2 with their worker; "
    )


def test_a_study_with_a_time_out_says_that_it_is_not_reproducible(
    tmp_path: Path, stores: Path
) -> None:
    """One trial is far longer than the limit; the others end."""
    workspace = Workspace(tmp_path, stores, here=True)
    text = SMALL_STUDY.replace("trials: 10", "trials: 3").replace("retries: 1", "retries: 0")
    text = text.replace("pruning: {percentile: 40, warmup_epochs: 1, after_trials: 3}\n", "")
    epochs = "epochs: {choice: [2, 2000]}"
    workspace.space.write_text(text.replace("epochs: {int: [2, 4]}", epochs).replace("5m", "6s"))
    run = workspace.run("--workers", "1")
    assert run.returncode == 0, run.stderr
    assert "failed: timed out after 6 s" in run.stdout or "timed out after 6 s" in run.stdout
    (line,) = [text for text in run.stdout.splitlines() if text.startswith("digest ")]
    assert "(not reproducible: trials failed: " in line
    assert digest_of(run)
    checked = subprocess.run(
        [sys.executable, "-m", "study.verify", "--study", str(workspace.study), "--sample", "0"],
        cwd=tmp_path,
        env=workspace.environment(),
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "verified: all checks passed" in checked.stdout
    assert "but not reproducible: trials failed: " in checked.stdout
