"""Workers killed, hung, out of memory; Ray's own processes killed"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from study.ledger.reader import LedgerReader
from tests.faults.checks import (
    ended_undisturbed,
    ends_undisturbed,
    final_records,
    nothing_left_running,
    only_line,
    unplaced,
)
from tests.faults.conftest import Fault
from tests.faults.processes import kill, named, until, workers
from tests.support.workspace import Undisturbed, Workspace, digest_of, wait_for_results


def troubled(troubles: dict[int, str]) -> tuple[str, ...]:
    """`study.run` with trials that come to grief; -1 is every trial."""
    return ("tests.faults.troubles", json.dumps(troubles))


def attempts(workspace: Workspace) -> dict[int, int]:
    """Trial -> attempts that were lost, where any were."""
    return {r.number: r.attempts for r in LedgerReader(workspace.study).trials() if r.attempts}


@pytest.mark.slow
def test_a_worker_is_killed_again_and_again(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    chance = random.Random(5)
    after = (1, 3, 5)
    fault.done = "kill -9 of a worker in mid-trial, three times"
    fault.how = f"after {', '.join(map(str, after))} results, which of the two by seed 5"
    driver = workspace.start(
        *("--workers", "2", "--set", "execution.retries=9"), program=troubled({-1: "pauses"})
    )
    for results in after:
        wait_for_results(workspace, results)
        until(lambda: workers(workspace))
        kill(chance.choice(workers(workspace)))
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, output
    lost = output.count("its worker process or node died")
    assert 1 <= lost <= len(after), output
    assert sum(attempts(workspace).values()) == lost
    fault.seen = f"{lost} attempts lost and run again, exit 0"
    fault.after = ended_undisturbed(workspace, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "what"),
    [
        ("raylet/raylet", "the raylet"),
        ("gcs_server", "the GCS"),
    ],
)
def test_rays_own_process_is_killed(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, process: str, what: str
) -> None:
    fault.done = f"kill -9 of {what} of the study's own Ray"
    fault.how = "after 3 results"
    driver = workspace.start("--workers", "2", program=troubled({-1: "pauses"}))
    wait_for_results(workspace, 3)
    at_work = workers(workspace)
    assert at_work
    killed = time.monotonic()
    for pid in named(workspace, process):
        kill(pid)
    output, _ = driver.communicate(timeout=60)
    seconds = time.monotonic() - killed
    assert driver.returncode == 1, output
    line = only_line(output)
    assert "run the same command again to resume" in line
    assert "state-dump" not in output, "Ray's own pages"
    nothing_left_running(workspace)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in at_work))
    fault.seen = f"{seconds:.1f} s later: {unplaced(line)}; no process left"
    fault.after = ends_undisturbed(workspace, undisturbed)


@pytest.mark.slow
def test_a_trial_that_hangs(fault: Fault, workspace: Workspace, undisturbed: Undisturbed) -> None:
    fault.done = "a trial hangs in native code, holding the interpreter's lock"
    fault.how = "in its second epoch, the first time; execution.trial_timeout 15 s"
    run = workspace.run(
        *("--workers", "2", "--set", "execution.trial_timeout=15s"),
        program=troubled({3: "hangs once"}),
    )
    assert digest_of(run) == undisturbed.digest
    assert "trial 3 lost an attempt and will be retried: timed out after 15 s" in run.stdout
    assert attempts(workspace) == {3: 1}
    fault.seen = "trial 3 lost an attempt and will be retried: timed out after 15 s"
    fault.after = ended_undisturbed(workspace, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "what", "reason"),
    [
        ("raises", "raises", "ValueError: no such [thing] in [/data/x.npy]"),
        ("limited", "asks for more memory than its process may have", "MemoryError"),
        ("dies", "is killed (kill -9)", "its worker process or node died"),
    ],
)
def test_a_trial_that_always_fails(
    fault: Fault,
    workspace: Workspace,
    undisturbed: Undisturbed,
    trouble: str,
    what: str,
    reason: str,
) -> None:
    fault.done = f"a trial {what}, whenever it runs"
    fault.how = "trial 3, in its second epoch"
    run = workspace.run("--workers", "2", program=troubled({3: trouble}))
    assert run.returncode == 0, run.stderr
    assert f"trial 3 lost an attempt and will be retried: {reason}\n" in run.stdout
    assert "more than one kind of hardware" not in run.stdout
    records = LedgerReader(workspace.study).trials()
    assert [r.number for r in records if r.state == "FAILED"] == [3]
    assert records[3].reason == reason
    assert final_records(workspace) == dict.fromkeys(range(10), 1)
    fault.seen = f"one attempt lost, the second FAILED: {reason}; the study goes on, exit 0"
    fault.after = "one final record for each of 10 trials, nine of them with a result"


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["raises", "limited", "dies"])
def test_a_trial_that_fails_once(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, trouble: str
) -> None:
    fault.done = f"a trial {trouble} once"
    fault.how = "trials 0, 3 and 9, in their second epoch"
    troubles = dict.fromkeys((0, 3, 9), f"{trouble} once")
    run = workspace.run("--workers", "2", program=troubled(troubles))
    assert digest_of(run) == undisturbed.digest
    assert set(attempts(workspace)) <= set(
        troubles
    )  # one that was pruned before had no second epoch
    assert 3 in attempts(workspace)
    fault.seen = f"{sum(attempts(workspace).values())} attempts lost, exit 0"
    fault.after = ended_undisturbed(workspace, undisturbed)


def spare_memory() -> tuple[int, int]:
    """(bytes in use, bytes in all) of this machine."""
    lines = (line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {name: int(value.split()[0]) for name, value in lines}
    total = kilobytes["MemTotal"]
    return (total - kilobytes["MemAvailable"]) * 1024, total * 1024


@pytest.mark.slow
def test_a_trial_that_eats_the_machines_memory(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    used, total = spare_memory()
    if total - used < 6 * 1024**3:
        pytest.skip("needs 6 GB of free memory")
    fault.done = "a trial takes all the memory it can get, once"
    fault.how = "Ray's memory monitor set to act 3 GB above what is in use"
    run = workspace.run(
        *("--workers", "2", "--set", "execution.retries=9"),
        program=troubled({3: "devours once"}),
        RAY_memory_usage_threshold=f"{(used + 3 * 1024**3) / total:.3f}",
        RAY_memory_monitor_refresh_ms="100",
    )
    assert digest_of(run) == undisturbed.digest
    reason = "its worker was killed: its node ran out of memory"
    assert f"trial 3 lost an attempt and will be retried: {reason}\n" in run.stdout
    assert 3 in attempts(workspace)
    fault.seen = f"trial 3 lost an attempt and will be retried: {reason}"
    fault.after = ended_undisturbed(workspace, undisturbed)
