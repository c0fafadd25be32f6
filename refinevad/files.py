"""Files: written whole or not at all, durable, locked; an error says which file."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refinevad.errors import Stopped


class CannotWrite(OSError):
    """A file of the study cannot be written: the disk is full, the folder is read-only, …

    The study's earlier content is undamaged; the same command resumes once the cause is fixed.
    """

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(error.errno, error.strerror, str(path))

    def __str__(self) -> str:
        return f"cannot write {self.filename}: {self.strerror}"


def write_all(handle: int, content: bytes) -> None:
    """Writes all of ``content`` to an open file and makes it durable."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file in one step: at any moment it is the old one or the new one.

    Its folder is made when absent.

    Raises:
        CannotWrite: The file cannot be written; the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_all(handle, content)
        finally:
            os.close(handle)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CannotWrite(path, error) from error


def remove(path: Path) -> None:
    """Removes a file if it is there.

    Raises:
        CannotWrite: The file cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(path, error) from error


@contextmanager
def or_stop(path: Path) -> Iterator[None]:
    """Ends a command that only reads a study with one line if an output cannot be written.

    Raises:
        Stopped: In place of an OSError.
    """
    try:
        yield
    except CannotWrite as error:
        raise Stopped(f"{error}; the study itself is untouched") from error
    except OSError as error:
        raise Stopped(f"{CannotWrite(path, error)}; the study itself is untouched") from error


def write_durably(path: Path, text: str) -> None:
    """Writes a text file and waits until it is on disk."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def fsync_folder(folder: Path) -> None:
    """Makes a folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, waiting: str | None = None) -> Iterator[None]:
    """Holds the lock file ``path``; prints ``waiting`` to stderr while another process has it.

    It is not re-entrant: a process that takes it twice waits for itself.
    """
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                print(waiting, file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
