"""A disk that is full or cannot be written to

The study stops with one line and writes nothing more; once there is room, the same command goes
on.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.checks import (
    ends_undisturbed,
    final_records,
    nothing_left_running,
    only_line,
    short,
)
from tests.faults.conftest import Fault
from tests.support.workspace import Undisturbed, Workspace, digest_of, wait_for_results

pytestmark = pytest.mark.slow

PAGE = 4096
KEEP_NONE = ("--set", "execution.keep_checkpoints=0")


def mount(*options: str) -> None:
    found = subprocess.run(["mount", *options], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"mounting needs more rights: {found.stderr.strip()}")


@pytest.fixture
def small_disk(workspace: Workspace) -> Iterator[Path]:
    """A disk of 4 MB, mounted where the workspace's studies lie."""
    runs = workspace.folder / "runs"
    runs.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(runs))
    yield runs
    subprocess.run(["umount", "--lazy", str(runs)], check=True)


def leave(disk: Path, pages: int) -> Path:
    """Fills a disk but for some pages; returns the file to delete."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free // PAGE
    ballast.write_bytes(bytes((free - pages) * PAGE))
    assert shutil.disk_usage(disk).free == pages * PAGE
    return ballast


def pages(path: Path) -> int:
    return -(-path.stat().st_size // PAGE)


@pytest.mark.parametrize("room", [0, 1, 2, 4, 6])
def test_the_disk_fills_up_at_the_ledger(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, small_disk: Path, room: int
) -> None:
    fault.done = "disk full"
    fault.how = f"a tmpfs of 4 MB with {room * PAGE // 1024} kB left, no checkpoints"
    ballast = leave(small_disk, room)
    run = workspace.run("--workers", "1", *KEEP_NONE)
    assert run.returncode == 1, run.stdout + run.stderr
    line = only_line(run.stderr)
    assert "No space left on device" in line
    assert "Finished trials are saved; fix this and run the same command to resume" in line
    nothing_left_running(workspace)
    fault.seen = f"exit 1 with {workspace.results()} results: {short(line, workspace)}"
    ballast.unlink()
    fault.after = ends_undisturbed(workspace, undisturbed, *KEEP_NONE)


def test_the_disk_is_still_full_at_the_next_start(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, small_disk: Path
) -> None:
    fault.done = "disk full, and the same command given again before there is room"
    fault.how = "the ledger torn in its last line besides"
    ballast = leave(small_disk, 6)
    first = workspace.run("--workers", "1", *KEEP_NONE)
    assert first.returncode == 1
    with workspace.journal.open("r+b") as journal:
        journal.truncate(workspace.journal.stat().st_size - 9)
    torn = workspace.journal.read_bytes()
    rest = small_disk / "rest"
    free = shutil.disk_usage(small_disk).free
    rest.write_bytes(bytes(free))
    again = workspace.run("--workers", "1", *KEEP_NONE)
    assert again.returncode == 1, again.stdout
    line = only_line(again.stderr)
    assert workspace.journal.read_bytes() == torn
    fault.seen = f"exit 1: {short(line, workspace)}"
    ballast.unlink()
    rest.unlink()
    fault.after = ends_undisturbed(workspace, undisturbed, *KEEP_NONE)


def test_the_disk_fills_up_at_a_checkpoint(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, calm: Workspace, small_disk: Path
) -> None:
    fault.done = "disk full at a checkpoint"
    room = 3 + pages(next((calm.study / "checkpoints").iterdir())) // 2
    fault.how = f"a tmpfs of 4 MB with {room * PAGE // 1024} kB left"
    ballast = leave(small_disk, room)
    run = workspace.run("--workers", "1")
    assert run.returncode == 1, run.stdout + run.stderr
    line = only_line(run.stderr)
    assert ".safetensors" in line
    fault.seen = f"exit 1 with {workspace.results()} results: {short(line, workspace)}"
    ballast.unlink()
    fault.after = ends_undisturbed(workspace, undisturbed)
    kept = {path.name for path in (workspace.study / "checkpoints").iterdir()}
    assert kept == {path.name for path in (calm.study / "checkpoints").iterdir()}


def test_the_disk_fills_up_at_the_table(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, small_disk: Path
) -> None:
    fault.done = "disk full at trials.csv"
    fault.how = "filled to the last page in the finished study, trials.csv removed"
    digest_of(workspace.run("--workers", "1", *KEEP_NONE))
    (workspace.study / "trials.csv").unlink()
    ballast = leave(small_disk, 1)
    run = workspace.run("--workers", "1", *KEEP_NONE)
    assert run.returncode == 1, run.stdout + run.stderr
    line = only_line(run.stderr)
    assert "trials.csv" in line
    assert not (workspace.study / "trials.csv").exists()
    fault.seen = f"exit 1: {short(line, workspace)}"
    ballast.unlink()
    fault.after = ends_undisturbed(workspace, undisturbed, *KEEP_NONE)


def test_the_disk_fills_up_while_features_are_packed(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, small_disk: Path
) -> None:
    fault.done = "disk full while features are packed"
    fault.how = "a tmpfs of 4 MB with 8 kB left for --stores"
    workspace.stores = small_disk / "stores"
    ballast = leave(small_disk, 2)
    run = workspace.run("--workers", "1")
    assert run.returncode == 1, run.stdout + run.stderr
    line = only_line(run.stderr)
    assert "No space left on device" in line
    fault.seen = f"exit 1: {short(line, workspace)}"
    ballast.unlink()
    fault.after = ends_undisturbed(workspace, undisturbed)


def test_a_file_may_not_grow(fault: Fault, workspace: Workspace, undisturbed: Undisturbed) -> None:
    fault.done = "a limit on the size of files reached in the middle of a record"
    fault.how = "RLIMIT_FSIZE set on the running driver after 2 results: 100 bytes more"
    driver = workspace.start("--workers", "1", *KEEP_NONE)
    wait_for_results(workspace, 2)
    limit = workspace.journal.stat().st_size + 100
    _, hard = resource.prlimit(driver.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(driver.pid, resource.RLIMIT_FSIZE, (limit, hard))
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 1, output
    line = only_line(output)
    assert "File too large" in line
    assert workspace.journal.read_bytes().endswith(b"\n")
    nothing_left_running(workspace)
    fault.seen = f"exit 1 with {workspace.results()} results: {short(line, workspace)}"
    fault.after = ends_undisturbed(workspace, undisturbed, *KEEP_NONE)


def test_the_folder_turns_read_only(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, small_disk: Path
) -> None:
    fault.done = "the disk turns read-only under a running study, as after an error of it"
    fault.how = "after 2 results, by closing the ledger's disk to writers"
    driver = workspace.start("--workers", "1", *KEEP_NONE)
    wait_for_results(workspace, 2)
    # A disk with files open for writing cannot be remounted: what it holds is copied to one
    # that is read-only, and mounted over it.
    copy = workspace.folder / "copy"
    shutil.copytree(small_disk, copy)
    mount("--bind", str(copy), str(small_disk))
    mount("-o", "remount,bind,ro", str(small_disk))
    output, _ = driver.communicate(timeout=120)
    refused = workspace.run("--workers", "1", *KEEP_NONE)
    subprocess.run(["umount", "--lazy", str(small_disk)], check=True)
    assert driver.returncode == 1, output
    only_line(output)
    assert refused.returncode == 1
    line = only_line(refused.stderr)
    assert "Read-only file system" in line
    fault.seen = f"exit 1; the next start: exit 1: {short(line, workspace)}"
    assert set(final_records(workspace).values()) == {1}
    fault.after = ends_undisturbed(workspace, undisturbed, *KEEP_NONE)


def test_no_permission(fault: Fault, workspace: Workspace, undisturbed: Undisturbed) -> None:
    fault.done = "a folder that must not be written to"
    fault.how = "chattr +i on runs/"
    runs = workspace.folder / "runs"
    runs.mkdir()
    if subprocess.run(["chattr", "+i", str(runs)], capture_output=True).returncode:
        pytest.skip("this file system has no immutable folders")
    try:
        run = workspace.run("--workers", "1")
    finally:
        subprocess.run(["chattr", "-i", str(runs)], check=True)
    assert run.returncode == 1
    line = only_line(run.stderr)
    fault.seen = f"exit 1: {short(line, workspace)}"
    fault.after = ends_undisturbed(workspace, undisturbed)


def test_the_temporary_folder_fills_up(
    fault: Fault,
    workspace: Workspace,
    undisturbed: Undisturbed,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fault.done = "disk full where Ray keeps its own files"
    fault.how = "TMPDIR on a tmpfs that is filled after 1 result"
    disk = Path("/tmp") / f"t{time.time_ns() % 10**6}"  # sockets have short names
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk))
    try:
        driver = workspace.start("--workers", "2", TMPDIR=str(disk), RAY_TMPDIR=str(disk))
        wait_for_results(workspace, 1)
        leave(disk, 0)
        output, _ = driver.communicate(timeout=120)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()
    nothing_left_running(workspace)
    assert driver.returncode in (0, 1), output
    said = "the study goes on to its end" if driver.returncode == 0 else only_line(output)
    fault.seen = f"exit {driver.returncode}: {said}"
    fault.after = ends_undisturbed(workspace, undisturbed)
