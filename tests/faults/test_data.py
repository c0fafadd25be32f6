"""The packed data changed under a running study

A result must be of the data the study began with, and no trial is to blame for others.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.ledger.reader import LedgerReader
from tests.faults.checks import ends_undisturbed, nothing_left_running, only_line, short
from tests.faults.conftest import Fault
from tests.support.small_data import study_text, write_data
from tests.support.workspace import REPOSITORY, Undisturbed, Workspace, digest_of, wait_for_results

pytestmark = pytest.mark.slow


@pytest.fixture
def own(tmp_path: Path, workspace: Workspace) -> Workspace:
    """The workspace with raw features and a packed store of its own."""
    write_data(tmp_path / "data")
    workspace.space.write_text(study_text(tmp_path / "data"))
    workspace.stores = tmp_path / "stores"
    return workspace


def features(workspace: Workspace) -> Path:
    return next(workspace.stores.glob("*/train_features.npy"))


def flip(path: Path) -> None:
    """Inverts the middle byte of a file, in place."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))


def cut(path: Path) -> None:
    """Cuts a file short while it is mapped: reading beyond its end kills a process."""
    os.truncate(path, 128)


FAULTS: dict[str, tuple[str, Callable[[Workspace], None], bool]] = {
    "flipped": ("a byte of train_features.npy flipped", lambda d: flip(features(d)), False),
    "cut": ("train_features.npy cut short under the memory map", lambda d: cut(features(d)), True),
    "removed": ("the packed store deleted", lambda d: shutil.rmtree(d.stores), True),
}


@pytest.mark.parametrize("what", FAULTS)
def test_the_store_changed(
    fault: Fault, own: Workspace, undisturbed: Undisturbed, what: str
) -> None:
    fault.done, spoil, repacked = FAULTS[what]
    fault.how = "after 2 results, with the driver stopped for that moment"
    driver = own.start("--workers", "1")
    wait_for_results(own, 2)
    driver.send_signal(signal.SIGSTOP)
    spoil(own)
    driver.send_signal(signal.SIGCONT)
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 2, output
    line = only_line(output)
    assert "packed store" in line
    nothing_left_running(own)
    records = LedgerReader(own.study).trials()
    assert not any(r.state == "FAILED" or r.attempts for r in records)
    fault.seen = f"exit 2 with {own.results()} results: {short(line, own)}"
    if not repacked:  # sizes are right: only its content betrays it
        again = own.run("--workers", "1")
        assert again.returncode == 2
        assert "changed since it was packed" in only_line(again.stderr)
        shutil.rmtree(own.stores)
    fault.after = ends_undisturbed(own, undisturbed)


def test_packed_anew_with_other_data(
    fault: Fault, own: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "a feature file replaced, and the store packed anew"
    fault.how = "by `refinevad.prepare` after 2 results, with the driver stopped meanwhile"
    driver = own.start("--workers", "1")
    wait_for_results(own, 2)
    driver.send_signal(signal.SIGSTOP)
    source = sorted((own.folder / "data" / "features").glob("*train*"))[0]
    before = source.read_bytes()
    np.save(source, np.load(source) + 1)
    prepared = subprocess.run(
        [sys.executable, "-m", "refinevad.prepare", "--config", own.space, "--stores", own.stores],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert prepared.returncode == 0, prepared.stderr
    driver.send_signal(signal.SIGCONT)
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 2, output
    line = only_line(output)
    again = own.run("--workers", "1")
    assert again.returncode == 2
    assert "the data: fingerprint was" in again.stderr
    fault.seen = f"exit 2: {short(line, own)}; again: exit 2, the fingerprint was another"
    source.write_bytes(before)
    fault.after = ends_undisturbed(own, undisturbed)


def test_damaged_between_two_sessions(
    fault: Fault, own: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "a byte of the store flipped between two sessions"
    fault.how = "after `--trials 4`, keeping the file's size and time"
    digest_of(own.run("--trials", "4", "--workers", "1"))
    path = features(own)
    times = path.stat()
    flip(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = own.run("--workers", "1")
    assert again.returncode == 2
    line = only_line(again.stderr)
    assert own.results() == 4
    shutil.rmtree(own.stores)
    fault.seen = f"exit 2, no trial begun: {short(line, own)}"
    fault.after = ends_undisturbed(own, undisturbed)
