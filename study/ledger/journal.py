"""The ledger's file: an Optuna journal with one writer, one fsync per record, and a clean end."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from refinevad.errors import InputError
from refinevad.files import CannotWrite, write_all, write_whole
from study._private.optuna import JournalOperation, forget_places

JOURNAL = "journal.log"
OWNER_FILE = "owner.json"

_END_OF_A_TRIAL = {
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
    JournalOperation.SET_TRIAL_STATE_VALUES,
}


class _NoLock(JournalFileOpenLock):
    """No lock per write: the driver's lock on the study holds for all of them."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class BatchingJournal(JournalFileBackend):
    """Optuna's journal file; what is written within :meth:`batch` is one write and one fsync.

    Args:
        path: The file.
        handle: The same file, open for appending (:func:`lock_study`).
    """

    def __init__(self, path: Path, handle: int) -> None:
        super().__init__(str(path), lock_obj=_NoLock(str(path)))
        self._path = path
        self._handle = handle
        self._pending: list[dict[str, Any]] | None = None
        self._failure: CannotWrite | None = None

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        try:
            for log in super().read_logs(log_number_from):
                yield _with_shared_keys(log)
        except OSError as error:  # it was moved away
            raise CannotWrite(self._path, error) from error
        forget_places(self)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends whole lines, or nothing.

        Raises:
            CannotWrite: The write failed. Every later call fails too: the end of the file may be
                torn, and a line after it would be lost as well.
        """
        if self._pending is not None:
            self._pending.extend(logs)
            return
        if self._failure is not None:
            raise self._failure
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        content = "".join(f"{line}\n" for line in lines).encode()
        whole = os.fstat(self._handle).st_size
        try:
            self._still_there()
            write_all(self._handle, content)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, whole)  # else the next session cuts it off
            self._failure = CannotWrite(self._path, error)
            raise self._failure from error

    def _still_there(self) -> None:
        """Raises an error if the file was deleted or replaced, where writes would be lost."""
        held, named = os.fstat(self._handle), self._path.stat()
        if (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino):
            raise OSError(errno.ESTALE, "another file took its place while the study ran")

    @contextmanager
    def batch(self) -> Iterator[None]:
        self._pending = []
        try:
            yield
        finally:
            pending, self._pending = self._pending, None
        self.append_logs(pending)


def _with_shared_keys(value: Any) -> Any:
    """The same with every key kept once."""
    if isinstance(value, dict):
        return {sys.intern(key): _with_shared_keys(item) for key, item in value.items()}
    return [_with_shared_keys(item) for item in value] if isinstance(value, list) else value


def reading_journal(path: Path) -> JournalFileBackend:
    return JournalFileBackend(str(path), lock_obj=_NoLock(str(path)))


def lock_study(folder: Path) -> int:
    """Takes the study for this process and opens its journal for appending.

    The lock is on the journal itself and dies with the process, however that dies. A file beside
    it says who holds it; deleting that file changes nothing.

    Raises:
        InputError: Another process has it, or the file system has no locks.
    """
    path, holder = folder / JOURNAL, folder / OWNER_FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise CannotWrite(path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        try:
            who = "process {pid} on host {host}".format(**json.loads(holder.read_text()))
        except (OSError, ValueError, LookupError, TypeError):
            who = "another process"
        raise InputError(
            f"{folder}: {who} is running this study; wait for it, or stop it first"
        ) from None
    except OSError as error:
        os.close(handle)
        raise InputError(
            f"{folder}: this file system cannot lock files ({error.strerror}), so two "
            "drivers could write to one study; give --runs a folder on another file system"
        ) from None
    with suppress(OSError):
        holder.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
    return handle


def cut_torn_tail(path: Path) -> str | None:
    """Cuts off the fragment of a write that a crash interrupted, and keeps it beside the file.

    Optuna appends to such a fragment and so corrupts the next line as well.

    Raises:
        CannotWrite: There is no room to keep the fragment; nothing was cut.
    """
    content = path.read_bytes()
    keep = whole_length(content)
    if keep == len(content):
        return None
    backup = path.with_name(f"{path.name}.torn-{time.strftime('%Y%m%d-%H%M%S')}")
    write_whole(backup, content[keep:])
    with path.open("r+b") as journal:
        journal.truncate(keep)
        os.fsync(journal.fileno())
    return (
        f"The ledger ended in a torn line of {len(content) - keep} bytes; it was moved to {backup}"
    )


def whole_length(content: bytes) -> int:
    """Length of the journal without the write that a crash interrupted.

    Blocks reach a disk in any order: a write of several lines can have a hole, with whole lines
    after it. Only the last write can; damage before it is left for Optuna to name.
    """
    keep = at = content.rfind(b"\n") + 1
    trials: set[Any] = set()
    while at > 0 and len(trials) <= 1:
        start = content.rfind(b"\n", 0, at - 1) + 1
        try:
            entry = json.loads(content[start:at])
            if entry["op_code"] not in _END_OF_A_TRIAL:
                break
            trials.add(entry["trial_id"])
        except (ValueError, LookupError, TypeError):
            keep = start
        at = start
    return keep
