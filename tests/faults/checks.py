"""What must be true after any fault."""

from __future__ import annotations

import json
import re
import time
from collections import Counter

from optuna.trial import TrialState

from study._private.optuna import JournalOperation
from tests.support.workspace import Undisturbed, Workspace, digest_of


def ends_undisturbed(
    workspace: Workspace, undisturbed: Undisturbed, *arguments: str, **env: str
) -> str:
    """Resumes with the real command and compares the end with the undisturbed study's.

    Returns:
        What was checked, for the table.
    """
    again = workspace.run("--workers", "1", *arguments, **env)
    assert digest_of(again) == undisturbed.digest
    return ended_undisturbed(workspace, undisturbed)


def ended_undisturbed(workspace: Workspace, undisturbed: Undisturbed) -> str:
    """The study on disk is whole: same table, one final record per trial, no unfinished file."""
    assert (workspace.study / "trials.csv").read_text() == undisturbed.table
    trials = undisturbed.table.count("\n") - 1
    assert final_records(workspace) == dict.fromkeys(range(trials), 1)
    unfinished = [path.name for path in workspace.study.rglob("*") if path.name.endswith(".part")]
    assert not unfinished
    return f"digest and trials.csv equal; one final record for each of {trials} trials"


def final_records(workspace: Workspace) -> dict[int, int]:
    """Trial -> final records in the raw journal, read without any code of ours.

    A final record is a result and the state that closes the trial; the two must be as many.
    """
    results: Counter[int] = Counter()
    closed: Counter[int] = Counter()
    for line in workspace.journal.read_text().splitlines():
        entry = json.loads(line)
        if entry["op_code"] == JournalOperation.SET_TRIAL_USER_ATTR:
            results[entry["trial_id"]] += "result" in entry["user_attr"]
        elif entry["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES:
            closed[entry["trial_id"]] += TrialState(entry["state"]).is_finished()
    assert +results == +closed
    return dict(sorted((+results).items()))


def nothing_left_running(workspace: Workspace, seconds: float = 60) -> None:
    """All processes of the workspace's commands are gone, at the latest after ``seconds``."""
    deadline = time.monotonic() + seconds
    while left := workspace.processes():
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.2)


def only_line(text: str, start: str = "error: ") -> str:
    """The one line of ``text`` that begins with ``start``; there is no traceback."""
    assert "Traceback" not in text, text
    lines = [line for line in text.splitlines() if line.startswith(start)]
    assert len(lines) == 1, text
    return lines[0]


def short(line: str, workspace: Workspace) -> str:
    """A line of output without the folders and the time of this test, for the table."""
    line = line.replace(f"{workspace.stores}/", "stores/").replace(f"{workspace.folder}/", "")
    return re.sub(r"torn-[\d-]+", "torn-<time>", line)


def unplaced(line: str) -> str:
    """A line for the table, without the addresses of the machine that wrote it."""
    return re.sub(r" at [\w.]+:\d+", "", line)
