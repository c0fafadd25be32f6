"""Watches Ray under a running study; when Ray ends, prints one line and ends the driver.

Ray's own library ends the process of a driver whose raylet or GCS is gone: from a C++ thread, after
ten or sixty seconds, with no message that helps the user. So this module looks first.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import ray

from refinevad import cli
from study._private.ray import raylet_socket
from study.backend.cluster import kill_ray
from study.backend.interrupt import Interrupt

LOOK_SECONDS = 0.5
LOCAL_TIMEOUT_S = 3.0
CLUSTER_TIMEOUT_S = 30.0
"""Seconds a cluster's GCS may be away: on Kubernetes it is restarted. Ray gives up after 60."""


@contextmanager
def watching(
    interrupt: Interrupt, before_exit: Callable[[], None], *, owns_ray: bool
) -> Iterator[None]:
    """Ends this process with one line and exit code 1 if Ray ends while the block runs.

    The thread that waits for Ray cannot be woken, so the process must end. The ledger is durable at
    every moment.

    Args:
        interrupt: If a stop was requested, the signal may have ended Ray as well.
        before_exit: Called first, to restore the terminal.
        owns_ray: True: Ray was started for this study. False: Ray is a cluster, whose GCS may come
            back.
    """
    over = threading.Event()
    gcs: str = ray.get_runtime_context().gcs_address
    raylet = _connect(raylet_socket())

    patience = LOCAL_TIMEOUT_S if owns_ray else CLUSTER_TIMEOUT_S
    back = "" if owns_ray else " once the cluster is back"

    def look() -> None:
        heard = time.monotonic()
        while not over.wait(LOOK_SECONDS):
            if _is_listening(gcs, patience / 6):
                heard = time.monotonic()
            if _has_ended(raylet):
                gone = "Ray's process on this machine (the raylet) has ended"
            elif time.monotonic() - heard > patience:
                gone = f"Ray's head (the GCS at {gcs}) has not answered for {patience:g} s"
            else:
                continue
            if not over.wait(LOOK_SECONDS):  # a signal's handler may come later than its effect
                before_exit()
                if owns_ray:
                    kill_ray()
                saved = "Finished trials are saved"
                if interrupt.requested:
                    again = "To resume, run the same command again."
                    print(f"Stopped. {saved}. {again}", file=sys.stderr, flush=True)
                    os._exit(cli.INTERRUPTED)
                resume = f"run the same command again{back} to resume"
                print(f"error: {gone}. {saved}; {resume}", file=sys.stderr, flush=True)
                os._exit(1)

    with closing(raylet):
        thread = threading.Thread(target=look, name="watch-ray", daemon=True)
        thread.start()
        try:
            yield
        except Exception:
            if _has_ended(raylet) or not _is_listening(gcs, patience / 6):
                thread.join(patience + 2.0)  # not the error it is, but Ray's end: said there
            raise
        finally:
            over.set()
            thread.join()


def _connect(path: str) -> socket.socket:
    """An open connection. The kernel reports its end at once, however the other process died."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.setblocking(False)
    return connection


def _has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:  # nothing to read: it lives
        return False
    except OSError:
        return True


def _is_listening(address: str, seconds: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except OSError:
        return False
    return True
