"""The ledger's file: an Optuna journal with one writer, one fsync per record, and a clean end."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from refinevad.errors import InputError

JOURNAL = "journal.log"
LOCK = "driver.lock"


class _HeldByDriver(JournalFileOpenLock):
    """No lock per write: the driver's lock on the study holds for all of them."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class BatchingJournal(JournalFileBackend):
    """Optuna's journal file; what is written within :meth:`batch` is one write and one fsync."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=_HeldByDriver(str(path)))
        self._pending: list[dict[str, Any]] | None = None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._pending is None:
            super().append_logs(logs)
        else:
            self._pending.extend(logs)

    @contextmanager
    def batch(self) -> Iterator[None]:
        self._pending = []
        try:
            yield
        finally:
            pending, self._pending = self._pending, None
        super().append_logs(pending)


def reading_journal(path: Path) -> JournalFileBackend:
    return JournalFileBackend(str(path), lock_obj=_HeldByDriver(str(path)))


def lock_study(folder: Path) -> int:
    """Takes the study for this process; the lock dies with it, however it dies."""
    path = folder / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        try:
            holder = json.loads(path.read_text())
            who = f"process {holder['pid']} on host {holder['host']}"
        except (OSError, ValueError, KeyError):
            who = "another process"
        raise InputError(
            f"{folder}: {who} is running this study; wait for it, or stop it first"
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
    return handle


def cut_torn_tail(path: Path) -> str | None:
    """Cuts off what a crash left of a line at the end, and keeps it beside the file.

    Optuna appends to such a fragment and so corrupts the next line as well.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    keep = content.rfind(b"\n") + 1
    while keep > 0:  # a whole line of rubbish (blocks never written) is torn as well
        start = content.rfind(b"\n", 0, keep - 1) + 1
        try:
            json.loads(content[start:keep])
            break
        except ValueError:
            keep = start
    if keep == len(content):
        return None
    backup = path.with_name(f"{path.name}.torn-{time.strftime('%Y%m%d-%H%M%S')}")
    backup.write_bytes(content[keep:])
    with path.open("r+b") as journal:
        journal.truncate(keep)
        os.fsync(journal.fileno())
    return (
        f"the ledger ended in a torn line of {len(content) - keep} bytes: cut off, kept as {backup}"
    )
