"""The processes of a workspace's own Ray, found by their parents: others may run here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.workspace import Workspace


def named(workspace: Workspace, word: str) -> list[int]:
    """Processes of the workspace with ``word`` in their command line."""
    return [pid for pid, line in workspace.processes().items() if word in line]


def workers(workspace: Workspace) -> list[int]:
    """Processes that run trials. (Their titles overwrite their environment.)"""
    return children(named(workspace, "raylet/raylet"), "Trainable")


def children(parents: list[int], word: str) -> list[int]:
    """Children of ``parents`` with ``word`` in their title."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in parents and word in (process / "cmdline").read_text():
                found.append(int(process.name))
        except OSError:  # it has just ended
            continue
    return sorted(found)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def until(condition: Callable[[], object], *, seconds: float = 120) -> None:
    """Waits; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
