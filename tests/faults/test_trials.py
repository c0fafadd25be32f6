"""Trials that go wrong"""

from __future__ import annotations

import pytest

from study.ledger.reader import LedgerReader
from tests.faults.checks import ends_undisturbed
from tests.faults.conftest import Fault
from tests.support.workspace import Workspace, run_undisturbed, wait_for_results

pytestmark = pytest.mark.slow


def test_trials_that_diverge(fault: Fault, workspace: Workspace, calm: Workspace) -> None:
    fault.done = "trials diverge: loss not finite"
    fault.how = "`lr: {choice: [1.0e-3, 1.0e+30]}`, and the driver killed after 4 results"
    text = workspace.space.read_text().replace(
        "log_uniform: [1.0e-5, 1.0e-1]", "choice: [1e-3, 1e+30]"
    )
    assert "1e+30" in text
    workspace.space.write_text(text)
    expected = run_undisturbed(workspace)
    diverged = [r for r in LedgerReader(workspace.study).trials() if r.diverged]
    assert {(r.state, r.objective, r.params["lr"]) for r in diverged} == {("COMPLETE", 0.0, 1e30)}
    workspace.study.rename(workspace.folder / "expected")
    driver = workspace.start("--workers", "2")
    wait_for_results(workspace, 4)
    driver.kill()
    driver.communicate()
    fault.seen = f"{len(diverged)} of 10 COMPLETE with objective 0, diverged; the others as ever"
    fault.after = ends_undisturbed(workspace, expected)
    again = [r.number for r in LedgerReader(workspace.study).trials() if r.diverged]
    assert again == [r.number for r in diverged]
