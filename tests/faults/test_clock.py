"""Clocks that jump

The wall clocks of the driver and of every worker jump by up to two days, back and forth.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from study.ledger.reader import LedgerReader
from tests.faults.checks import ended_undisturbed
from tests.faults.conftest import Fault
from tests.support.workspace import REPOSITORY, Undisturbed, Workspace, digest_of

pytestmark = pytest.mark.slow

JUMPING = """
import os, random, time
_real, _draw = time.time, random.Random(os.getpid())
def jumping():
    return _real() + _draw.choice((-172800, -3600, 0, 3600, 172800))
time.time = jumping
time.time_ns = lambda: int(jumping() * 1e9)
open(os.path.join(os.environ["TEST_WORKSPACE"], "jumped"), "a").write(f"{os.getpid()}\\n")
"""


def test_clocks_that_jump(fault: Fault, workspace: Workspace, undisturbed: Undisturbed) -> None:
    fault.done = "clocks of all Python processes jump at every look, by hours or days"
    fault.how = "time.time and time_ns replaced in sitecustomize, seeded by the process number"
    (workspace.folder / "site").mkdir()
    (workspace.folder / "site" / "sitecustomize.py").write_text(JUMPING)
    path = os.pathsep.join([str(workspace.folder / "site"), str(REPOSITORY)])
    run = workspace.run("--workers", "1", PYTHONPATH=path)
    assert digest_of(run) == undisturbed.digest
    jumped = Path(workspace.folder / "jumped").read_text().split()
    assert len(jumped) >= 3  # the driver and its workers
    durations = [r.duration_s for r in LedgerReader(workspace.study).trials()]
    assert all(duration is not None and 0 <= duration < 60 for duration in durations)
    fault.seen = f"{len(jumped)} processes with such a clock; no duration below 0 or above 60 s"
    fault.after = ended_undisturbed(workspace, undisturbed)
