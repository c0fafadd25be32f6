"""Writing a study's files so that an error says which, and leaves what was there before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refinevad.errors import Stopped


class CannotWrite(OSError):
    """A file of the study cannot be written: the disk is full, the folder is read-only, …

    What the study had before is whole; the same command goes on once the cause is gone.
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
        CannotWrite: And the old file is still there.
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
        CannotWrite: It is there still.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(path, error) from error


@contextmanager
def or_stop(path: Path) -> Iterator[None]:
    """What cannot be written ends a command that only reads a study, with one line.

    Raises:
        Stopped: Instead of an OSError.
    """
    try:
        yield
    except CannotWrite as error:
        raise Stopped(f"{error}; the study itself is untouched") from error
    except OSError as error:
        raise Stopped(f"{CannotWrite(path, error)}; the study itself is untouched") from error
