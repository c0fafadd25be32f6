"""The driver killed

``kill -9``, at exact moments of a trial's way through the driver and at random ones.
"""

from __future__ import annotations

import random
import shutil
import signal
import time

import pytest

from tests.faults.checks import (
    ended_undisturbed,
    ends_undisturbed,
    nothing_left_running,
    only_line,
    short,
)
from tests.faults.conftest import Fault
from tests.support.workspace import Undisturbed, Workspace, digest_of, wait_for_results

MOMENTS = {
    "asked:3": "trial 2 asked, not yet started",
    "result:3": "third result at hand, not yet written",
    "checkpoint:2": "half of the second checkpoint on the disk",
    "checkpoint-kept:2": "second checkpoint kept, its trial's record not yet written",
    "recorded:5": "fifth record written, checkpoints not yet ranked",
    "ranked:6": "sixth record ranked, not yet on the screen",
    "write:1": "half of the study's first line on the disk",
    "write:2": "half of the study's description on the disk",
    "write:3": "half of the first trial's line on the disk",
    "write:9": "half of the ledger's ninth write on the disk",
    "written:12": "the ledger's twelfth write on the disk, nothing after it",
    "created": "the Optuna study made, its description not yet written",
    "study.yaml": "half of study.yaml on the disk",
    "trials.csv": "half of trials.csv on the disk",
    "summary": "in the middle of the summary",
    "summary-said": "after the summary",
}
QUICK = {"write:9"}


def quick(value: object, chosen: bool) -> object:
    return pytest.param(value, marks=[] if chosen else [pytest.mark.slow])


@pytest.mark.parametrize("moment", [quick(m, m in QUICK) for m in MOMENTS])
def test_killed_at_an_exact_moment(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, moment: str
) -> None:
    fault.done = f"kill -9: {MOMENTS[moment]}"
    fault.how = f"`tests.faults.sabotage {moment}`"
    killed = workspace.run("--workers", "1", program=("tests.faults.sabotage", moment, "--"))
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    fault.seen = f"killed with {workspace.results()} of 10 results"
    fault.after = ends_undisturbed(workspace, undisturbed)


SEED = 20
KILLS = [1, 4, 5, 5, 5]
"""Of one study each: twenty in all."""


@pytest.mark.parametrize("chain", [quick(n, n == 0) for n in range(len(KILLS))], ids=str)
def test_killed_at_random_moments(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, chain: int
) -> None:
    draw = random.Random(SEED + chain)
    how, seen = [], []
    for kill in range(KILLS[chain]):
        driver = workspace.start("--workers", "1")
        if kill == 1:  # while Ray starts
            seconds, after = draw.uniform(0.5, 8), "the start"
        else:
            seconds, after = draw.uniform(0, 0.15), "one more result"
            wait_for_results(workspace, min(10, workspace.results() + 1))
        time.sleep(seconds)
        driver.kill()
        driver.communicate()
        if driver.returncode == 0:
            break  # it was quicker
        how.append(f"{seconds:.2f} s after {after}")
        seen.append(str(workspace.results()))
    row = f"{len(seen)} sessions in a row" if len(seen) > 1 else "a session"
    fault.done = f"kill -9 of {row} at random moments"
    fault.how = f"{', '.join(how)} (seed {SEED + chain})"
    fault.seen = f"killed with {', '.join(seen)} of 10 results"
    assert seen
    fault.after = ends_undisturbed(workspace, undisturbed)


@pytest.mark.slow
def test_started_again_while_the_dead_drivers_workers_linger(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "kill -9, and the command given again at once"
    fault.how = "after 3 results; Ray's processes of the first session may still run"
    first = workspace.start("--workers", "1")
    wait_for_results(workspace, 3)
    first.kill()
    first.wait()
    lingering = len(workspace.processes())
    again = workspace.run("--workers", "1")
    assert digest_of(again) == undisturbed.digest
    nothing_left_running(workspace)
    fault.seen = f"{lingering} of its processes were there when the second began; none is left"
    fault.after = ended_undisturbed(workspace, undisturbed)


@pytest.mark.slow
def test_two_drivers_at_once(fault: Fault, workspace: Workspace, undisturbed: Undisturbed) -> None:
    fault.done = "a second driver, and a third after `owner.json` was deleted"
    fault.how = "while the first runs, after 1 result"
    first = workspace.start("--workers", "1")
    wait_for_results(workspace, 1)
    first.send_signal(signal.SIGSTOP)  # it cannot end meanwhile
    second = workspace.run()
    (workspace.study / "owner.json").unlink()
    third = workspace.run()
    first.send_signal(signal.SIGCONT)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert (second.returncode, third.returncode) == (2, 2)
    line = only_line(second.stderr)
    assert f"process {first.pid} on host" in line
    assert "another process is running this study" in only_line(third.stderr)
    fault.seen = f"both refused, exit 2: {short(line, workspace)}"
    fault.after = ended_undisturbed(workspace, undisturbed)


@pytest.mark.slow
def test_the_folder_replaced_under_the_driver(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "the study's folder moved away under the running driver, and a copy put there"
    fault.how = "after 2 results"
    driver = workspace.start("--workers", "1")
    wait_for_results(workspace, 2)
    driver.send_signal(signal.SIGSTOP)
    workspace.study.rename(workspace.folder / "moved")
    shutil.copytree(workspace.folder / "moved", workspace.study)
    driver.send_signal(signal.SIGCONT)
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 1
    line = only_line(output)
    assert "another file took its place" in line
    fault.seen = f"exit 1: {short(line, workspace)}"
    fault.after = ends_undisturbed(workspace, undisturbed)
