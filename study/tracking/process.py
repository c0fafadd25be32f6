"""The publisher's process: started by a session, follows a ledger, ends with its parent."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from refinevad.errors import InputError
from study.tracking import DEFAULT_URI, Publisher, TrackingUnavailable, redact

if TYPE_CHECKING:
    from study.ledger.reader import LedgerReader


POLL_SECONDS = 1.0
LONGEST_PAUSE = 30.0  # between two attempts to reach MLflow
LAST_ATTEMPTS = 30.0  # how long to go on trying when the study is over
NICE = 10  # trials come first
LOG = "publisher.log"

log = logging.getLogger("study.publish")


def start_publisher(folder: Path, tracking_uri: str) -> subprocess.Popen[bytes]:
    """Starts publishing the study in ``folder`` beside the running study.

    The process has a session of its own, so that Ctrl-C does not reach it, and the address is
    passed in the environment, where no other user can read a password.
    """
    command = [sys.executable, "-m", "study.publish", "--study", str(folder), "--follow"]
    with (folder / LOG).open("ab") as output:
        return subprocess.Popen(
            [*command, "--parent-pid", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=os.environ | {"MLFLOW_TRACKING_URI": tracking_uri},
            start_new_session=True,
        )


def wait_publisher(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Tells the publisher that the study is over; returns True if MLflow has all of it.

    False: MLflow could not be reached, or ``timeout`` seconds were not enough and the publisher is
    still at work. No trial is lost either way: `python -m study.publish` publishes the rest.
    """
    if process.stdin:
        process.stdin.close()
    try:
        return process.wait(timeout) == 0
    except subprocess.TimeoutExpired:
        return False


@contextlib.contextmanager
def exclusive(folder: Path, *, wait: bool) -> Iterator[None]:
    """Holds the right to publish the study in ``folder``; it ends with the process.

    Raises:
        InputError: Another process is publishing it and ``wait`` is false.
    """
    with (folder / "publisher.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InputError(
                f"{folder}: the study is being published by another process "
                f"(see {folder / LOG}); nothing to do while it runs"
            ) from None
        yield


def publish_once(reader: LedgerReader, uri: str, *, rebuild: bool) -> str:
    """Publishes the trials that MLflow is missing, or all again; returns a message for the user."""
    publisher = Publisher(reader, uri)
    erased = publisher.erase() if rebuild else 0
    count = publisher.finish()
    done = f"published {count}"
    if rebuild:
        done = f"deleted {erased} runs (the study's own too) and {done}"
    if uri.startswith("http"):
        where = redact(uri).rstrip("/") + publisher.page
    else:
        start = (
            "mlflow ui" if uri == DEFAULT_URI else f"mlflow ui --backend-store-uri {redact(uri)}"
        )
        where = f"run `{start}`, open http://127.0.0.1:5000{publisher.page}"
    ended = sum(trial.ended for trial in reader.trials())
    there = f"; the other {ended - count} were there already" if ended > count else ""
    return (
        f"{reader.meta.name}: {done} of {ended} ended trials to {redact(uri)}{there}"
        f"\nTo view it: {where}"
    )


def follow(reader: LedgerReader, uri: str, over: Callable[[], bool]) -> bool:
    """Publishes trials as they finish until ``over()``; returns True if MLflow then shows them all.

    While MLflow cannot be reached, publishing is retried with growing pauses. The log has one line
    when MLflow goes away and one when it is back. After ``over()``, retries last for
    `LAST_ATTEMPTS` seconds.
    """
    publisher = Publisher(reader, uri)
    away = False
    pause = POLL_SECONDS
    deadline = None
    while True:
        if deadline is None and over():
            deadline = time.monotonic() + LAST_ATTEMPTS
        try:
            count = publisher.publish_new() if deadline is None else publisher.finish()
        except TrackingUnavailable as error:
            if not away:
                log.warning("cannot publish to %s, will retry: %s", redact(uri), error)
            away = True
            if deadline is not None and time.monotonic() > deadline:
                log.error(
                    "giving up; to publish the rest later, run: "
                    "python -m study.publish --study %s --tracking-uri %s",
                    reader.folder,
                    redact(uri),
                )
                return False
            pause = min(2 * pause, LONGEST_PAUSE) if deadline is None else POLL_SECONDS
        else:
            if away:
                log.warning("publishing to %s again", redact(uri))
            if count:
                log.info("published: %d", count)
            if deadline is not None:
                return True
            away = False
            pause = POLL_SECONDS
        wake = time.monotonic() + pause
        while time.monotonic() < wake and (deadline is not None or not over()):
            time.sleep(min(POLL_SECONDS / 10, pause))


def parent_over(parent: int) -> Callable[[], bool]:
    """A test that is true once the study's process is gone or closed its pipe, or on SIGTERM."""
    closed = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: closed.set())

    def until_end_of_file() -> None:
        sys.stdin.buffer.read()
        closed.set()

    threading.Thread(target=until_end_of_file, daemon=True).start()
    return lambda: closed.is_set() or not _alive(parent)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so it is there
        return True
    return True


def all_ended(reader: LedgerReader) -> bool:
    reader.refresh()
    return sum(trial.ended for trial in reader.trials()) >= reader.meta.trials
