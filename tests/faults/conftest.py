"""Fault tests: a study is disturbed, resumed, and held against the undisturbed one.

``make test`` runs a quick selection, ``make faults`` all of them; the rest are marked ``slow``.
Each writes a row of ``benchmarks/results/faults.md`` through the fixture ``fault``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.table import Row, write_table
from tests.support.small_data import study_text
from tests.support.workspace import Workspace

ROWS = pytest.StashKey[list[Row]]()


@dataclass
class Fault:
    """A row of the table; a test fills it in as it goes."""

    done: str = ""
    """What was done to the study."""
    how: str = ""
    """How: where, when, with which seed."""
    seen: str = ""
    """What the user saw, and what the study had at that moment."""
    after: str = ""
    """What was checked after resuming (``ends_undisturbed`` returns it)."""


FAULT = pytest.StashKey[Fault]()


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Fault:
    noted = Fault()
    request.node.stash[FAULT] = noted
    return noted


@pytest.fixture
def workspace(tmp_path: Path, stores: Path, data: Path) -> Iterator[Workspace]:
    """A workspace with the small study; whatever a test leaves running is ended."""
    (tmp_path / "small.yaml").write_text(study_text(data))
    workspace = Workspace(tmp_path, stores)
    yield workspace
    for process in workspace.processes():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", metavar="FILE", help="write the table of faults to FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when == "call" or not report.passed:
        noted = item.stash.get(FAULT, Fault())
        area = (item.module.__doc__ or item.module.__name__).splitlines()[0]
        done = noted.done or item.name.removeprefix("test_").replace("_", " ")
        after = noted.after
        if report.failed:
            what = report.longrepr.reprcrash.message if report.longrepr else "?"
            after = f"**FAILED**: {what.splitlines()[0]}"
        elif report.skipped:
            after = f"not run here: {report.longrepr[2].removeprefix('Skipped: ')}"
        item.config.stash[ROWS].append(Row(area, done, noted.how, noted.seen, after))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--faults-table", default=None)
    if path:
        write_table(Path(path), session.config.stash[ROWS])
