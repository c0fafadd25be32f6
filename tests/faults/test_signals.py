"""Signals, and the reader of the output gone"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.checks import (
    ended_undisturbed,
    ends_undisturbed,
    nothing_left_running,
)
from tests.faults.conftest import Fault
from tests.support.workspace import Undisturbed, Workspace, wait_for_results

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("signum", "times"), [("SIGINT", 1), ("SIGINT", 2), ("SIGTERM", 1)])
def test_signals_stop_a_study(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, signum: str, times: int
) -> None:
    fault.done = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM"}[signum] + (" twice" * (times == 2))
    fault.how = "after 2 results, to the whole process group as a terminal does it"
    driver = workspace.start("--workers", "2")
    wait_for_results(workspace, 2)
    for _ in range(times):
        os.killpg(driver.pid, signal.Signals[signum])
        time.sleep(0.05)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, output
    assert "Stopping" in output
    assert "Traceback" not in output
    nothing_left_running(workspace)
    fault.seen = f"exit 130 with {workspace.results()} results, no process left"
    fault.after = ends_undisturbed(workspace, undisturbed)


@pytest.mark.parametrize("seconds", [0.3, 2.0, 4.0, 6.0])
def test_ctrl_c_during_start_up(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, seconds: float
) -> None:
    fault.done = "Ctrl-C during start-up"
    fault.how = f"{seconds} s after the start"
    driver = workspace.start("--workers", "2")
    time.sleep(seconds)
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=90)
    assert driver.returncode in (130, -signal.SIGINT), output
    nothing_left_running(workspace)
    begun = "study begun" if workspace.journal.exists() else "nothing written yet"
    fault.seen = f"exit {driver.returncode}, {begun}, no process left"
    fault.after = ends_undisturbed(workspace, undisturbed)


@pytest.mark.parametrize("moment", ["summary", "trials.csv"])
def test_ctrl_c_during_the_end(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, moment: str
) -> None:
    fault.done = f"Ctrl-C at the end: {moment}"
    fault.how = f"`tests.faults.sabotage {moment}` with SIGINT in place of SIGKILL"
    run = workspace.run(
        *("--workers", "1"), program=("tests.faults.sabotage", moment, "--"), SABOTAGE="SIGINT"
    )
    assert run.returncode == 130, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    nothing_left_running(workspace)
    fault.seen = f"exit 130 with {workspace.results()} results, no process left"
    fault.after = ends_undisturbed(workspace, undisturbed)


def test_the_terminal_closed(fault: Fault, workspace: Workspace, undisturbed: Undisturbed) -> None:
    fault.done = "terminal closed (SIGHUP to the whole group, no terminal to write to)"
    fault.how = "study started on a pseudo-terminal, whose other end is closed after 2 results"
    shown, terminal = pty.openpty()
    slowly = ("tests.faults.troubles", json.dumps({-1: "pauses"}))  # else it may just have ended
    driver = subprocess.Popen(
        workspace.command("--tracking-uri", "none", "--workers", "2", program=slowly),
        cwd=workspace.folder,
        env=workspace.environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    os.set_blocking(shown, False)
    while workspace.results() < 2:
        time.sleep(0.05)
        read(shown)
    os.close(shown)
    os.killpg(driver.pid, signal.SIGHUP)  # the terminal is not the controlling one here
    assert driver.wait(60) == 130
    nothing_left_running(workspace)
    fault.seen = f"exit 130 with {workspace.results()} results, no process left"
    fault.after = ends_undisturbed(workspace, undisturbed)


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def test_nobody_reads_the_output(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "the reader of the output is gone (`| head`, or a `tee` that Ctrl-C ended)"
    fault.how = "the pipe closed after 1 result"
    driver = workspace.start("--workers", "2")
    wait_for_results(workspace, 1)
    assert driver.stdout
    driver.stdout.close()
    assert driver.wait(120) == 0
    fault.seen = "the study goes on to its end, exit 0"
    fault.after = ended_undisturbed(workspace, undisturbed)


def test_ctrl_c_when_nobody_reads_the_output(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "Ctrl-C when `| tee log` is gone already"
    fault.how = "the pipe closed after 1 result, then SIGINT"
    driver = workspace.start("--workers", "2")
    wait_for_results(workspace, 1)
    assert driver.stdout
    driver.stdout.close()
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(60) == 130
    nothing_left_running(workspace)
    fault.seen = f"exit 130 with {workspace.results()} results, no process left"
    fault.after = ends_undisturbed(workspace, undisturbed)


def test_the_disk_behind_the_output_is_full(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "`> log` on a full disk"
    fault.how = "standard output is /dev/full"
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(
            workspace.command("--tracking-uri", "none", "--workers", "2"),
            cwd=workspace.folder,
            env=workspace.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
    assert run.returncode == 0, run.stderr
    fault.seen = "the study goes on to its end, exit 0"
    fault.after = ended_undisturbed(workspace, undisturbed)
